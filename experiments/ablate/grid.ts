/** The results of an ablation, and its runs as one grid of thresholds and grace periods for each signal. */

import { mean, standardDeviation } from '../compare/bootstrap.ts';
import type { AblationRun, Circumstances } from '../compare/results.ts';
import { grouped } from '../compare/statistics.ts';

/** One run of the rule beside the full run of the same seed. */
export interface AblationRow extends Omit<AblationRun, 'setting' | 'seconds'> {
  /** What is watched, as a share of its own peak. */
  signal: string;
  /** The paper's τ, and its α: share of the schedule before anything may freeze. */
  threshold: number;
  grace: number;
  fullAccuracy: number;
  fullOperations: number;
  scheduleSteps: number;
  /** Absent where it was not timed. */
  seconds?: number;
}

export interface Ablation extends Circumstances {
  task: string;
  rows: readonly AblationRow[];
}

/** All runs of one signal: thresholds of different signals cannot be compared. */
export interface Grid {
  signal: string;
  thresholds: readonly number[];
  graces: readonly number[];
  /** A row a threshold, a column a grace; null where nothing ran. */
  cells: readonly (readonly (Cell | null)[])[];
  rows: readonly AblationRow[];
}

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
  /** Null where not every run was timed. */
  seconds: number | null;
  frozenShare: number;
  stepsShare: number;
}

/** A grid a signal, in the order in which they first appear. */
export function gridsOf({ rows }: Ablation): Grid[] {
  return grouped(rows, ({ signal }) => signal).map(([signal, ofGrid]) => {
    const thresholds = ascending(ofGrid.map(({ threshold }) => threshold));
    const graces = ascending(ofGrid.map(({ grace }) => grace));
    const cells = thresholds.map((threshold) =>
      graces.map((grace) => cellOf(ofGrid.filter((row) => row.threshold === threshold && row.grace === grace))),
    );
    return { signal, thresholds, graces, cells, rows: ofGrid };
  });
}

export function cellsOf({ cells }: Grid): Cell[] {
  return cells.flat().filter((cell) => cell !== null);
}

function cellOf(rows: readonly AblationRow[]): Cell | null {
  if (rows.length === 0) return null;
  const meanOf = (value: (row: AblationRow) => number) => mean(rows.map(value));
  return {
    ...{ threshold: rows[0].threshold, grace: rows[0].grace, runs: rows.length },
    accuracy: 100 * meanOf(({ accuracy }) => accuracy),
    deviation: standardDeviation(rows.map(({ accuracy }) => 100 * accuracy)),
    difference: 100 * meanOf(({ accuracy, fullAccuracy }) => accuracy - fullAccuracy),
    operationsRatio: meanOf(({ operations }) => operations) / meanOf(({ fullOperations }) => fullOperations),
    seconds: rows.some(({ seconds }) => seconds === undefined) ? null : meanOf(({ seconds = Number.NaN }) => seconds),
    frozenShare: meanOf(({ frozenShare }) => frozenShare),
    stepsShare: meanOf(({ steps, scheduleSteps }) => steps / scheduleSteps),
  };
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
