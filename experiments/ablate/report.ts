/** What is told of an ablation: a table of all settings. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { mean, standardDeviation } from '../compare/bootstrap.ts';
import type { Ablation, ArmResult } from '../compare/results.ts';
import { pairsOf, ratioOf, runsOf, totalOperations } from '../compare/statistics.ts';
import { counted, fixed, signed } from '../report/numbers.ts';
import { beginning, columnsOf, type Document, tableSection } from '../report/sections.ts';

/** Everything that is told of an ablation, in reading order. */
export function ablationDocument(ablation: Ablation): Document {
  const { task, seeds, arms } = ablation;
  const cells = cellsOf(ablation);
  const ran = cells.filter(({ runs }) => runs.length > 0);
  const full = percent(runsOf(arms, 'full'));
  const deviation = standardDeviation(full);
  const spread =
    deviation === null
      ? ' with a single seed, so that no spread is known.'
      : `, standard deviation over the seeds ${fixed(deviation, 2)}: differences of that size between settings say nothing.`;
  return {
    ...beginning(ablation, `Threshold, grace and signal of GradES on ${task}`, [
      ran.length === 0
        ? 'Nothing was run.'
        : `${counted(arms.length - full.length, 'run')}, ${counted(seeds.length, 'seed')}. Full training: ${fixed(mean(full), 2)} %${spread}`,
    ]),
    summary: tableSection(
      'Signals, thresholds τ and grace periods α',
      columnsOf(ran, 3, {
        signal: ({ signal }) => signal,
        τ: ({ threshold }) => String(threshold),
        α: ({ grace }) => String(grace),
        runs: ({ runs }) => String(runs.length),
        accuracy: ({ runs }) => {
          const own = standardDeviation(percent(runs));
          return fixed(mean(percent(runs)), 2) + (own === null ? '' : ` ± ${fixed(own, 2)}`);
        },
        difference: ({ difference }) => signed(difference, 2),
        operations: ({ operationsRatio }) => fixed(operationsRatio, 3),
        time: ({ seconds }) => formatSeconds(seconds),
        frozen: ({ runs }) => formatPercent(mean(runs.map(frozenShare)), 0),
        steps: ({ runs }) => formatPercent(mean(runs.map(({ steps, scheduleSteps }) => steps / scheduleSteps)), 0),
      }),
      [
        'Accuracy in percent, mean ± standard deviation over the seeds; the difference to full training in points, operations over ' +
          'its own. τ is a share of the peak of its signal. The best of many settings is flattered by having been chosen.',
        ...(ran.length < cells.length ? [`${counted(cells.length - ran.length, 'setting')} without a run.`] : []),
      ],
    ),
    parts: [],
  };
}

function cellsOf({ settings, arms }: Ablation) {
  return Object.entries(settings).map(([name, setting]) => {
    const pairs = pairsOf(arms, name, 'full');
    const runs = pairs.map(({ arm }) => arm);
    return {
      ...{ ...setting, runs },
      difference: 100 * mean(pairs.map(({ arm, base }) => arm.accuracy - base.accuracy)),
      operationsRatio: ratioOf(pairs, totalOperations) ?? Number.NaN,
      seconds: mean(runs.map(({ timing }) => timing?.seconds.train ?? Number.NaN)),
    };
  });
}

function percent(runs: readonly ArmResult[]): number[] {
  return runs.map(({ accuracy }) => 100 * accuracy);
}

/** Of the watched matrices. */
function frozenShare({ freezes, signals }: ArmResult): number {
  return freezes.filter(({ value }) => value !== null).length / signals.length;
}
