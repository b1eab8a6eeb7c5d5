/** What is told of a fine-tuning, on the terminal and on its page. */

import { cell, text } from '@observablehq/plot';
import { formatBytes, formatCount, formatPercent, formatSeconds } from '../../command/format.ts';
import type { Table } from '../../command/text-table.ts';
import { type Curve, type CurvesPanel, drawCurves } from '../report/curves.ts';
import { gradesInWords, splitHalfInWords } from '../report/explanations.ts';
import { palette } from '../report/palette.ts';
import { drawPanels } from '../report/panels.ts';
import type { Document, Picture } from '../report/sections.ts';
import { drawSignals, type Place, type Sample, type WatchedRun } from '../report/watched.ts';
import type { Accuracy } from './choice-scores.ts';
import type { PrefixSavings, Scores } from './fine-tuning.ts';

/** As `summary.json` and `--json` hold it. */
export interface FineTuningResults extends WatchedRun {
  readonly model: string;
  /** `lora`, `full` or `layers`, and `+` the policy. */
  readonly arm: string;
  readonly device: { kind: string; adapter: string };
  readonly config: object;
  readonly before: Scores;
  readonly after: Scores;
  readonly best: Sample | null;
  readonly losses: readonly Sample[];
  readonly validation: readonly Sample[];
  /** Tokens a second, without padding. */
  readonly speeds: readonly Sample[];
  /** Bytes live at the end of a step. */
  readonly memory: readonly Sample[];
  readonly peakBytes: number;
  readonly tokens: number;
  readonly seconds: { train: number; evaluate: number };
  readonly operations: { forward: number; backward: number; optimizer: number; forwardSaved: number };
  /** By freezing, reckoned from the operations of a position before the first freeze. */
  readonly operationsSaved: number;
  /** Of blocks that were not run again; null without `--prefix-cache`. */
  readonly prefix: PrefixSavings | null;
  readonly trained: number;
  /** All matrices that trained at the start. */
  readonly matrices: readonly Place[];
  /** Step before which nothing may freeze. */
  readonly grace: number | null;
  /** Where the adapter or the model lies. */
  readonly written: string;
}

export function fineTuningDocument(results: FineTuningResults): Document {
  const { matrices, freezes, signals, model, arm } = results;
  const frozen = frozenOf(results);
  const watched: Picture[] = [
    {
      file: 'alive.svg',
      heading: `What still learns: ${frozen} of ${matrices.length} matrices frozen`,
      caption:
        'A row a block, the lowest at the bottom. A cold cell is frozen, with the step of its freeze; a warm one learned to the end.',
      draw: (title) => drawMap(title, matrices, freezes),
    },
  ];
  if (signals.length > 0) {
    watched.push({
      file: 'signals.svg',
      heading: 'Signal of the matrices, relative to its own peak',
      caption: `${splitHalfInWords} Of a model of many blocks a few are shown, from the lowest to the highest.`,
      draw: (title) => drawSignals(title, [{ ...results, signals: ofSomeBlocks(signals) }], results.grace),
    });
  }
  return {
    title: `Fine-tuning of ${model}: ${arm}`,
    introduction: signals.length > 0 ? [gradesInWords] : [],
    summary: [{ heading: 'What came of it', paragraphs: [inWords(results)], table: resultsTable(results) }],
    notes: [
      'One seed. The spread between seeds is larger than small differences.',
      'What freezing saved is reckoned from the operations that a token took before the first freeze, padding included.',
    ],
    parts: [
      {
        file: 'curves.svg',
        heading: 'Loss, speed and memory',
        caption:
          'The training loss is that of each batch. The validation loss is measured on a part of valid.jsonl. Tokens count ' +
          'without padding.',
        draw: (title) => drawQuantities(title, results),
      },
      ...(matrices.length > 0 ? watched : []),
    ],
  };
}

function frozenOf({ freezes, matrices }: FineTuningResults): number {
  return matrices.filter(({ name }) => freezes.some((freeze) => freeze.name === name)).length;
}

function resultsTable(results: FineTuningResults): Table {
  const { before, after, operations, operationsSaved, seconds, tokens, peakBytes, prefix } = results;
  const total = operations.forward + operations.backward + operations.optimizer;
  const accuracy = (name: string, of: (scores: Scores) => Accuracy | null) => {
    const [was, is] = [of(before), of(after)];
    return was && is ? [[name, inPercent(was), inPercent(is)]] : [];
  };
  return {
    columns: ['', 'before', 'after'].map((title) => ({ title })),
    rows: [
      ...accuracy('accuracy on test (acc)', ({ acc }) => acc),
      ...accuracy('accuracy on test (acc_norm)', ({ accNorm }) => accNorm),
      ['loss on test', before.loss.toFixed(4), after.loss.toFixed(4)],
      ['perplexity on test', Math.exp(before.loss).toPrecision(4), Math.exp(after.loss).toPrecision(4)],
      ['steps', '', `${results.steps} of ${results.scheduleSteps}`],
      ['tokens', '', formatCount(tokens)],
      ['training time', '', formatSeconds(seconds.train)],
      ['tokens a second', '', formatCount(tokens / seconds.train)],
      ['evaluation time', '', formatSeconds(seconds.evaluate)],
      ['floating-point operations', '', formatCount(total, 'FLOP')],
      [
        'saved by freezing',
        '',
        `${formatCount(operationsSaved, 'FLOP')} (${formatPercent(operationsSaved / (total + operationsSaved))})`,
      ],
      ...(prefix
        ? [
            [
              'of it by blocks not run again',
              '',
              `${formatCount(prefix.operations, 'FLOP')} (${formatPercent(prefix.share)} of forward)`,
            ],
            ['time that took away, reckoned', '', formatSeconds(prefix.seconds)],
            ['kept of those blocks', '', `${formatBytes(prefix.bytes)}, below block ${prefix.block}`],
          ]
        : []),
      ['peak device memory', '', formatBytes(peakBytes)],
    ],
  };
}

function inPercent({ value, standardError }: Accuracy): string {
  return formatPercent(value) + (standardError === null ? '' : ` ± ${formatPercent(standardError)}`);
}

function inWords(results: FineTuningResults): string {
  const { matrices, steps, scheduleSteps, trained, best, written } = results;
  const end = steps === scheduleSteps ? 'to the end of the schedule' : `until step ${steps} of ${scheduleSteps}`;
  const ofBest = best ? ` The best validation was at step ${best.step} (loss ${best.value.toFixed(4)}).` : '';
  return (
    `${formatCount(trained)} weights trained, ${end}; ${frozenOf(results)} of ${matrices.length} matrices froze.${ofBest} ` +
    `Written to ${written}.`
  );
}

/** Five blocks at most, evenly from the lowest to the highest. */
function ofSomeBlocks<T extends Place>(places: readonly T[]): T[] {
  const most = 5;
  const blocks = [...new Set(places.map(({ block }) => block))];
  const shown = new Set(
    blocks.length <= most
      ? blocks
      : Array.from({ length: most }, (_, i) => blocks[Math.round((i * (blocks.length - 1)) / (most - 1))]),
  );
  return places.filter(({ block }) => shown.has(block));
}

/** Blocks × kinds: the step at which each matrix froze. */
function drawMap(title: string, matrices: readonly Place[], freezes: WatchedRun['freezes']): string {
  const cells = matrices.map(({ name, kind, block }) => {
    const step = freezes.find((freeze) => freeze.name === name)?.step;
    return { kind, block: String(block ?? '–'), step, name };
  });
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const blocks = [...new Set(cells.map(({ block }) => block))].toReversed();
  const place = { x: 'kind', y: 'block' } as const;
  return drawPanels({
    title,
    description: `${cells.filter(({ step }) => step !== undefined).length} of ${cells.length} frozen`,
    legend: [
      { colour: palette.live, words: 'learned to the end', sample: 'ground' },
      { colour: palette.ice, words: 'frozen, at this step', sample: 'ground' },
    ],
    ...{ columns: 1, xLabel: 'kind', yLabel: 'block', left: 34 },
    xTicks: kinds.length,
    panels: [
      {
        name: '',
        x: { domain: kinds, type: 'band', padding: 0.03 },
        y: { domain: blocks, type: 'band', padding: 0.08 },
        height: 19 * blocks.length,
        marks: [
          cell(cells, {
            ...place,
            fill: ({ step }: (typeof cells)[number]) => (step === undefined ? palette.live : palette.ice),
            title: ({ name, step }: (typeof cells)[number]) =>
              `${name} ${step === undefined ? 'learned' : `froze at step ${step}`}`,
          }),
          text(
            cells.filter(({ step }) => step !== undefined),
            { ...place, text: 'step', fill: palette.frozen, fontWeight: 600 },
          ),
        ],
      },
    ],
  });
}

function drawQuantities(title: string, results: FineTuningResults): string {
  const { arm, scheduleSteps: steps, losses, validation, speeds, memory, best } = results;
  const panel = (
    name: string,
    samples: readonly Sample[],
    rest: Partial<CurvesPanel> & Partial<Curve> = {},
  ): CurvesPanel => {
    const { words, ...others } = rest;
    const largest = samples.reduce((most, { value }) => (Number.isFinite(value) ? Math.max(most, value) : most), 0);
    const y = { domain: [0, largest * 1.1 || 1], nice: true };
    return { name, steps, y, height: 130, curves: [{ arm, samples, words }], ...others };
  };
  const mebibytes = memory.map(({ step, value }) => ({ step, value: value / 2 ** 20 }));
  const rings = best && results.validation.length > 1 ? [{ ...best, words: `best ${best.value.toFixed(4)}` }] : [];
  return drawCurves({ title, legend: [], ...{ columns: 2, ownAxes: true, yTicks: 4 } }, [
    panel('Training loss', losses, { noisy: losses.length > 40 }),
    panel('Validation loss', validation, { rings }),
    panel('Tokens a second', speeds, { noisy: speeds.length > 40 }),
    panel('Live memory, MiB', mebibytes),
  ]);
}
