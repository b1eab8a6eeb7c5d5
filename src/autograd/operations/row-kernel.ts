/** How kernels that combine along rows split their work. */
import { ShapeError } from '../../tensor/errors.ts';
import { flatWorkgroups, type SharedWork } from '../../tensor/kernel.ts';
import { formatShape, sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Threads in a workgroup of the kernels that combine along rows (softmax, normalization, cross-entropy). */
export const rowWorkgroupSize = 64;

/**
 * Columns that one thread has at least, where a row is shared at all. A long row needs many threads on graphics hardware;
 * on a software adapter (256 rows of 128 columns) 1 to 4 threads a row take 0.3 ms for a softmax, 8 take 0.4 and 64 take 3.
 */
const columnsPerLane = 32;

/** A tensor seen as a matrix: its last axis is a row. */
export interface Rows {
  rows: number;
  columns: number;
}

/** @throws ShapeError for a scalar, which has no last axis. */
export function rowsOf(operation: string, x: Tensor): Rows {
  if (x.rank === 0) {
    throw new ShapeError(
      `${operation}: works along the last axis, but got shape ${formatShape(x.shape)} (allowed: rank >= 1)`,
    );
  }
  return { rows: sizeOf(x.shape.slice(0, -1)), columns: x.shape[x.rank - 1] };
}

/**
 * How a row kernel splits its work: `lanes` threads share a row, a power of two, and a workgroup takes as many rows as
 * fit. Rows of 2048 columns and more get a workgroup each.
 */
export function rowWork({ rows, columns }: Rows): { lanes: number; workgroups: [number, number, number] } {
  let lanes = 1;
  while (lanes < rowWorkgroupSize && 2 * lanes * columnsPerLane <= columns) lanes *= 2;
  return { lanes, workgroups: flatWorkgroups(columns === 0 ? 0 : rows, rowWorkgroupSize / lanes) };
}

/** Rows as parts on a CPU; kernels/simd/log-sum-exp.ts says what each thread needs: three numbers, and a block of exponentials. */
export function sharedRows(rows: number): SharedWork {
  return { parts: rows, scratchBytes: 64 + 4 * 1024 };
}
