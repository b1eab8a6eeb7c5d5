/** The runs of an ablation as one grid of thresholds and grace periods for each signal. */

import { mean, standardDeviation } from '../compare/bootstrap.ts';
import type { Ablation } from '../compare/results.ts';
import { grouped, pairsOf, ratioOf, totalOperations } from '../compare/statistics.ts';

/** All settings of one signal, each a share of its own peak: thresholds of different signals cannot be compared. */
export interface Grid {
  signal: string;
  thresholds: readonly number[];
  graces: readonly number[];
  /** In the order of thresholds, then graces; those that did not run are left out. */
  cells: readonly Cell[];
}

/** One setting over all seeds, beside full training. */
export interface Cell {
  threshold: number;
  grace: number;
  runs: number;
  /** Percent. */
  accuracy: number;
  deviation: number | null;
  /** Points, minus full training of the same seeds. */
  difference: number;
  operationsRatio: number;
  seconds: number;
  /** Of the watched matrices, and of the schedule. */
  frozenShare: number;
  stepsShare: number;
}

/** A grid a signal, in the order in which they first appear. */
export function gridsOf({ settings, arms }: Ablation): Grid[] {
  return grouped(Object.entries(settings), ([, { signal }]) => signal).map(([signal, ofSignal]) => ({
    signal,
    thresholds: ascending(ofSignal.map(([, { threshold }]) => threshold)),
    graces: ascending(ofSignal.map(([, { grace }]) => grace)),
    cells: ofSignal.flatMap(([arm, { threshold, grace }]): Cell[] => {
      const pairs = pairsOf(arms, arm, 'full');
      if (pairs.length === 0) return [];
      const runs = pairs.map((pair) => pair.arm);
      const frozen = runs.map(
        ({ freezes, signals }) => freezes.filter(({ value }) => value !== null).length / signals.length,
      );
      return [
        {
          ...{ threshold, grace, runs: runs.length },
          accuracy: 100 * mean(runs.map(({ accuracy }) => accuracy)),
          deviation: standardDeviation(runs.map(({ accuracy }) => 100 * accuracy)),
          difference: 100 * mean(pairs.map(({ arm, base }) => arm.accuracy - base.accuracy)),
          operationsRatio: ratioOf(pairs, totalOperations) ?? Number.NaN,
          seconds: mean(runs.map(({ timing }) => timing?.seconds.train ?? Number.NaN)),
          frozenShare: mean(frozen),
          stepsShare: mean(runs.map(({ steps, scheduleSteps }) => steps / scheduleSteps)),
        },
      ];
    }),
  }));
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
