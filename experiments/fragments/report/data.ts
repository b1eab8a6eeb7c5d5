import type { Table } from '../table.ts';

/** The watched matrices of a block, in the order they are drawn. */
export const MATRIX_KINDS = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;
export type MatrixKind = (typeof MATRIX_KINDS)[number];

export interface Sample {
  step: number;
  value: number;
}

export interface WatchedMatrix {
  /** Its name in the registry: `blocks.0.attention.query`. */
  name: string;
  block: number;
  kind: MatrixKind;
  /** The watched quantity; samples that are not finite are not drawn. */
  samples: readonly Sample[];
  threshold: number;
  /** When it was frozen, and the quantity then. */
  frozen?: Sample;
}

export interface ArmCurves {
  /** `full` or `grades`. */
  name: string;
  loss: readonly Sample[];
  /** Accuracy on held-out fragments, from 0 to 1, where it was measured on the way. */
  accuracy?: readonly Sample[];
  /** The last step, where training ended before the schedule did. */
  stoppedAt?: number;
}

export interface SignalData {
  /** What the samples measure, in words, as the picture's title. */
  quantity: string;
  /** The schedule's length in steps: the width of every picture. */
  totalSteps: number;
  /** The last step of the run the matrices are from, where it ended before the schedule did. */
  endedAt?: number;
  /** Until this step nothing may freeze. */
  graceSteps?: number;
  matrices: readonly WatchedMatrix[];
}

export interface ReportData extends SignalData {
  title: string;
  /** One or two sentences under the title. */
  summary: string;
  arms: readonly ArmCurves[];
  /** The final table. */
  table: Table;
}

/** The finite values among the samples' values. */
export function finiteValues(samples: readonly Sample[]): number[] {
  return samples.map(({ value }) => value).filter(Number.isFinite);
}

/** The largest of any number of values, however many; `Math.max(...values)` ends at some hundred thousand. */
export function largest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
