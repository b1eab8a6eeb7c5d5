/** What is told of an ablation: a table of all settings. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { tableOf } from '../../command/text-table.ts';
import { mean } from '../compare/bootstrap.ts';
import type { Ablation, ArmResult } from '../compare/results.ts';
import { meanPoints, pairsOf, ratioOf, runsOf, totalOperations } from '../compare/statistics.ts';
import { meanAndDeviation } from '../compare/tables.ts';
import { counted, fixed, signed } from '../report/numbers.ts';
import { beginning, type Document } from '../report/sections.ts';

export function ablationDocument(ablation: Ablation): Document {
  const { task, seeds, arms, settings } = ablation;
  const rows = Object.entries(settings).map(([name, setting]) => {
    const pairs = pairsOf(arms, name, 'full');
    return { ...setting, pairs, runs: pairs.map(({ arm }) => arm) };
  });
  const accuracy = (runs: readonly ArmResult[]) =>
    meanAndDeviation(
      runs.map((run) => 100 * run.accuracy),
      2,
    );
  return {
    ...beginning(ablation, `Threshold, grace and signal of GradES on ${task}`, [
      `Accuracy of full training in percent, over ${counted(seeds.length, 'seed')}: ${accuracy(runsOf(arms, 'full'))}.`,
    ]),
    summary: [
      {
        heading: 'Signals, thresholds τ and grace periods α',
        paragraphs: [
          'Accuracy in percent, mean ± standard deviation over the seeds: differences of that size say nothing. The difference to full ' +
            'training is in points, operations are over its own. τ is a share of the peak of its signal. The best of many settings is ' +
            'flattered by having been chosen.',
        ],
        table: tableOf(rows, 3, {
          signal: ({ signal }) => signal,
          τ: ({ threshold }) => String(threshold),
          α: ({ grace }) => String(grace),
          runs: ({ runs }) => String(runs.length),
          accuracy: ({ runs }) => accuracy(runs),
          difference: ({ pairs }) => signed(meanPoints(pairs), 2),
          operations: ({ pairs }) => fixed(ratioOf(pairs, totalOperations) ?? Number.NaN, 3),
          time: ({ runs }) => formatSeconds(mean(runs.map(({ timing }) => timing?.seconds.train ?? Number.NaN))),
          frozen: ({ runs }) => formatPercent(mean(runs.map(frozenShare)), 0),
          steps: ({ runs }) => formatPercent(mean(runs.map(({ steps, scheduleSteps }) => steps / scheduleSteps)), 0),
        }),
      },
    ],
    parts: [],
  };
}

/** Of the watched matrices. */
function frozenShare({ freezes, signals }: ArmResult): number {
  return freezes.filter(({ value }) => value !== null).length / signals.length;
}
