/** Reductions with their gradients. Each function is a method of tensors too; nothing else may be exported here. */
import { ArgumentError } from '../../../tensor/errors.ts';
import { formatShape, normalizeAxis, type Shape, sizeOf } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { begin, record } from '../../record.ts';
import { div, equal, mul } from '../pointwise/pointwise.ts';
import { broadcastView, reshapeView } from '../views.ts';
import { reduceAxes } from './reduce-axes.ts';

export interface ReduceOptions {
  /** Axes to reduce, counted from the front or (negative) from the back; all of them by default. */
  axes?: number | readonly number[];
  /** Keeps reduced axes with extent 1. */
  keepDims?: boolean;
}

/** Σ x over the axes, in f32 for f16; 0 where they hold no element. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum('sum', x, options, () => 1);
}

/** The mean of x over the axes, in f32 for f16. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum('mean', x, options, (count) => 1 / count);
}

function scaledSum(name: string, x: Tensor, options: ReduceOptions, scaleOf: (count: number) => number): Tensor {
  begin(name, x);
  const { axes, kept, shape, count } = plan(name, x, options);
  const scale = scaleOf(count);
  const result = reduceAxes('sum', x, axes, scale).view({ shape }, name);
  const gradient = (g: Tensor) => {
    const scaled = scale === 1 ? g : mul(g, scale);
    return broadcastView(reshapeView(scaled, kept), x.shape);
  };
  return record(name, result, [{ input: x, gradient }]);
}

/** The largest x over the axes, in f32 for f16. Elements that tie for it share its gradient equally. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  begin('max', x);
  const { axes, kept, shape, count } = plan('max', x, options);
  if (count === 0) throw new ArgumentError(`max: shape ${formatShape(x.shape)} has no element along the axes`);
  const result = reduceAxes('maximum', x, axes).view({ shape }, 'max');
  const gradient = (g: Tensor, [x, result]: readonly Tensor[]) => {
    const isLargest = equal(x, result.view({ shape: kept }, 'max'));
    const share = div(reshapeView(g, kept), reduceAxes('sum', isLargest, axes));
    return mul(isLargest, share);
  };
  return record('max', result, [{ input: x, saves: [x, result], gradient }]);
}

function plan(
  name: string,
  x: Tensor,
  { axes = x.shape.map((_, axis) => axis), keepDims = false }: ReduceOptions,
): { axes: number[]; kept: Shape; shape: Shape; count: number } {
  const list = typeof axes === 'number' ? [axes] : axes;
  const normalized = [...new Set(list.map((axis) => normalizeAxis(name, axis, x.rank)))].sort((a, b) => a - b);
  const kept = x.shape.map((extent, axis) => (normalized.includes(axis) ? 1 : extent));
  const shape = keepDims ? kept : x.shape.filter((_, axis) => !normalized.includes(axis));
  return { axes: normalized, kept, shape, count: sizeOf(normalized.map((axis) => x.shape[axis])) };
}
