import { mean, standardDeviation } from '../compare/bootstrap.ts';
import type { Ablation, AblationRow } from './results.ts';

/** All runs of one watched quantity: thresholds of different quantities cannot be compared. */
export interface Grid {
  quantity: string;
  scale: string;
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
  seconds: number | null;
  frozenShare: number;
  stepsShare: number;
}

/** A grid a quantity and scale, in the order in which they first appear. */
export function gridsOf({ rows }: Ablation): Grid[] {
  const groups = new Map<string, AblationRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.quantity, row.scale]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].map((ofGrid) => {
    const thresholds = ascending(ofGrid.map(({ threshold }) => threshold));
    const graces = ascending(ofGrid.map(({ grace }) => grace));
    return {
      quantity: ofGrid[0]!.quantity,
      scale: ofGrid[0]!.scale,
      thresholds,
      graces,
      cells: thresholds.map((threshold) =>
        graces.map((grace) => cellOf(ofGrid.filter((row) => row.threshold === threshold && row.grace === grace))),
      ),
      rows: ofGrid,
    };
  });
}

export function cellsOf({ cells }: Grid): Cell[] {
  return cells.flat().filter((cell) => cell !== null);
}

function cellOf(rows: readonly AblationRow[]): Cell | null {
  if (rows.length === 0) return null;
  const meanOf = (value: (row: AblationRow) => number) => mean(rows.map(value));
  const seconds = rows.flatMap(({ seconds }) => (seconds === undefined ? [] : [seconds]));
  const deviation = standardDeviation(rows.map(({ accuracy }) => 100 * accuracy));
  return {
    threshold: rows[0]!.threshold,
    grace: rows[0]!.grace,
    runs: rows.length,
    accuracy: 100 * meanOf(({ accuracy }) => accuracy),
    deviation,
    difference: 100 * meanOf(({ accuracy, fullAccuracy }) => accuracy - fullAccuracy),
    operationsRatio: meanOf(({ operations }) => operations) / meanOf(({ fullOperations }) => fullOperations),
    // A mean over some of the runs would not stand beside means over all.
    seconds: seconds.length === rows.length ? mean(seconds) : null,
    frozenShare: meanOf(({ frozenShare }) => frozenShare),
    stepsShare: meanOf(({ steps, scheduleSteps }) => steps / scheduleSteps),
  };
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
