/** The options that all reductions share, and what follows from them. */
import { checkOptions } from '../../../tensor/options.ts';
import { normalizeAxis, type Shape, sizeOf } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';

export interface ReduceOptions {
  /** Axes to reduce, counted from the front or (negative) from the back; all of them by default. */
  axes?: number | readonly number[];
  /** Keeps reduced axes with extent 1. */
  keepDims?: boolean;
}

/** A reduction laid out. */
export interface ReductionPlan {
  /** Ascending, from the front. */
  readonly axes: readonly number[];
  /** The shape where reduced axes stay, and that of the result. */
  readonly kept: Shape;
  readonly shape: Shape;
  /** Elements that become one. */
  readonly count: number;
}

/** @throws ArgumentError for an axis that x does not have, and for options other than these and `others`. */
export function planReduction(
  name: string,
  x: Tensor,
  options: ReduceOptions,
  others: readonly string[] = [],
): ReductionPlan {
  checkOptions(name, options, ['axes', 'keepDims', ...others]);
  const { axes = x.shape.map((_, axis) => axis), keepDims = false } = options;
  const normalized = [...new Set([axes].flat().map((axis) => normalizeAxis(name, axis, x.rank)))].sort((a, b) => a - b);
  const kept = x.shape.map((extent, axis) => (normalized.includes(axis) ? 1 : extent));
  const shape = keepDims ? kept : x.shape.filter((_, axis) => !normalized.includes(axis));
  return { axes: normalized, kept, shape, count: sizeOf(normalized.map((axis) => x.shape[axis])) };
}
