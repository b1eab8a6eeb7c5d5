/** What is told of a run of `npm start`, on the terminal and on its page. */

import { formatBytes, formatCount, formatPercent, formatSeconds } from '../../command/format.ts';
import type { Table } from '../../command/text-table.ts';
import { trainingOperations } from '../compare/run.ts';
import { armLabel } from '../report/arms.ts';
import { type Curve, drawCurves } from '../report/curves.ts';
import { gradesInWords, splitHalfInWords } from '../report/explanations.ts';
import { palette } from '../report/palette.ts';
import type { Document } from '../report/sections.ts';
import { drawAlive, drawSignals, type Sample } from '../report/watched.ts';
import type { RecordedArm } from './arm.ts';

/** As `summary.json` and `--json` hold it. */
export interface StartResults {
  readonly device: { kind: string; adapter: string; software: boolean };
  readonly config: object;
  readonly full: RecordedArm;
  readonly grades: RecordedArm;
}

export function startDocument(results: StartResults): Document {
  const { grades } = results;
  return {
    title: 'File fragments: which matrices converged, and when',
    introduction: [gradesInWords],
    summary: [{ heading: 'What came of it', paragraphs: [inWords(results)], table: resultsTable(results) }],
    notes: [],
    parts: [
      {
        file: 'signals.svg',
        heading: `Split-half signal ρ, relative to its own peak: ${frozenOf(grades)} of ${grades.signals.length} matrices frozen`,
        caption: splitHalfInWords,
        draw: (title) => drawSignals(title, [grades], grades.graceSteps),
      },
      {
        file: 'alive.svg',
        heading: 'What still learns',
        caption: 'A bar a matrix, with the step of its freeze. Where all bars end, the run has ended.',
        draw: (title) => drawAlive(title, [{ name: 'GradES', runs: [grades] }]),
      },
      {
        file: 'curves.svg',
        heading: 'Loss and accuracy',
        caption:
          'Both arms start from the same weights and see the same batches, so that they are one line until the first ' +
          'freeze. A plain stop is full training ended at the operations of GradES. On the way the accuracy is measured on ' +
          'a fixed part of the held-out files; the table has it for all of them.',
        draw: (title) => drawLossAndAccuracy(title, results),
      },
    ],
  };
}

/** Freezes that the rule decided on. */
function frozenOf({ freezes }: RecordedArm): number {
  return freezes.filter(({ value }) => value !== null).length;
}

/** Both arms side by side, with the ratio of each pair. */
function resultsTable({ full, grades }: StartResults): Table {
  const points = (100 * (grades.accuracy - full.accuracy)).toFixed(1);
  const row = (
    title: string,
    of: (arm: RecordedArm) => number,
    format: (value: number) => string,
    comparison?: string,
  ) => [title, format(of(full)), format(of(grades)), comparison ?? (of(grades) / of(full)).toFixed(2)];
  return {
    columns: ['', 'full', 'GradES', 'GradES / full'].map((title) => ({ title })),
    rows: [
      row('accuracy on held-out files', ({ accuracy }) => accuracy, formatPercent, `${points} points`),
      row(
        'loss on held-out files',
        ({ loss }) => loss,
        (loss) => loss.toFixed(4),
      ),
      row('training time', ({ seconds }) => seconds.train, formatSeconds),
      row('evaluation time', ({ seconds }) => seconds.evaluate, formatSeconds),
      row('floating-point operations', trainingOperations, (operations) => formatCount(operations, 'FLOP')),
      row('steps', ({ steps }) => steps, String),
      row('matrices frozen', frozenOf, (count) => `${count} of ${grades.signals.length}`, ''),
      row('peak device memory', ({ peakBytes }) => peakBytes, formatBytes),
    ],
  };
}

/** The result in words, with the comparison that tells whether freezing did more than stopping early. */
function inWords({ full: { plainStop }, grades }: StartResults): string {
  const [frozen, matrices] = [frozenOf(grades), grades.signals.length];
  const end =
    frozen === matrices
      ? `GradES froze all ${matrices} matrices and ended at step ${grades.steps}`
      : `GradES froze ${frozen} of ${matrices} matrices by the end of the schedule`;
  if (!plainStop) return `${end}.`;
  return (
    `${end}, with an accuracy of ${formatPercent(grades.accuracy)}. Simply stopping the full run at the same number of ` +
    `operations, at step ${plainStop.step}, would have reached ${formatPercent(plainStop.accuracy)} ` +
    `(loss ${plainStop.loss.toFixed(4)}). One seed; the spread between seeds is larger than small differences.`
  );
}

function drawLossAndAccuracy(title: string, { full, grades }: StartResults): string {
  const arms = [full, grades];
  const percent = (samples: readonly Sample[]) => samples.map(({ step, value }) => ({ step, value: 100 * value }));
  const accuracies = arms.map(({ arm, curve }): Curve => {
    const samples = percent(curve);
    return { arm, samples, words: `${armLabel(arm)} ${samples.at(-1)?.value.toFixed(1)} %` };
  });
  // Measured on the same part of the files as the curve.
  const plainStop = percent(full.curve.filter(({ step }) => step === full.plainStop?.step));
  const losses = arms.flatMap(({ losses }) => losses.map(({ value }) => value)).filter(Number.isFinite);
  const reached = accuracies.flatMap(({ samples }) => samples.map(({ value }) => value));
  const steps = full.scheduleSteps;
  return drawCurves(
    {
      title,
      legend: [
        { colour: palette.muted, words: 'plain stop at the operations of GradES', sample: 'circle', hollow: true },
      ],
      ...{ columns: 1, ownAxes: true, xTicks: 8, yTicks: 5 },
    },
    [
      {
        name: 'Training loss',
        y: { domain: [0, losses.reduce((a, b) => Math.max(a, b), 0.1)], nice: true },
        ...{ steps, height: 190, noisy: true, curves: arms.map(({ arm, losses: samples }) => ({ arm, samples })) },
      },
      ...(reached.length === 0
        ? []
        : [
            {
              name: 'Accuracy on a part of the held-out files, %',
              y: {
                domain: [10 * Math.floor(Math.min(...reached) / 10), 10 * Math.ceil(Math.max(...reached) / 10 + 0.3)],
              },
              rings: plainStop.map((each) => ({ ...each, words: `plain stop ${each.value.toFixed(1)} %` })),
              ...{ steps, height: 220, curves: accuracies },
            },
          ]),
    ],
  );
}
