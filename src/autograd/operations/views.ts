/** Operations that rearrange elements: most are views and copy nothing. */
import { copyInto, fill } from '../../tensor/copy.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import {
  broadcastShapes,
  broadcastStrides,
  checkShape,
  checkShapeList,
  formatShape,
  normalizeAxis,
  rowMajorStrides,
  type Shape,
  sameShape,
  sizeOf,
} from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { beginView, record, refuseStored } from '../record.ts';
import { sumToShape } from './reduction/reduce-axes.ts';

/** The elements in row-major order under another shape: a view where x is contiguous, else a copy. No gradient. */
export function reshapeView(x: Tensor, shape: Shape, operation = 'reshape'): Tensor {
  const source = x.isContiguous ? x : dense(x);
  return source.view({ shape }, operation);
}

/** A view of x stretched to `shape`: stretched axes have stride 0. No gradient. */
export function broadcastView(x: Tensor, shape: Shape, operation = 'broadcastTo'): Tensor {
  return x.view({ shape, strides: broadcastStrides(x.shape, x.strides, shape) }, operation);
}

/**
 * x under another shape of the same size; one extent may be -1, and is then what is left.
 *
 * @throws ShapeError where the sizes differ.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  beginView('reshape', x);
  checkShapeList('reshape', shape);
  const known = sizeOf(shape.filter((extent) => extent !== -1));
  const free = shape.filter((extent) => extent === -1).length;
  const target = shape.map((extent) => (extent === -1 ? (known === 0 ? 0 : x.size / known) : extent));
  if (free > 1 || target.some((extent) => !Number.isInteger(extent) || extent < 0) || sizeOf(target) !== x.size) {
    throw new ShapeError(
      `reshape: ${formatShape(x.shape)} holds ${x.size} elements and cannot take shape ${formatShape(shape)}`,
    );
  }
  const result = reshapeView(x, target);
  return record('reshape', result, [{ input: x, gradient: (g) => reshapeView(g, x.shape) }]);
}

/** The axes of x in another order: axis i of the result is axis `order[i]` of x. A view. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  beginView('permute', x);
  if (!Array.isArray(order)) throw new ArgumentError(`permute: order is ${order} (allowed: a list of all axes)`);
  const axes = order.map((axis) => normalizeAxis('permute', axis, x.rank));
  if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
    throw new ArgumentError(`permute: order [${order.join(', ')}] must name each axis of ${formatShape(x.shape)} once`);
  }
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  const result = permuteView(x, axes);
  return record('permute', result, [{ input: x, gradient: (g) => permuteView(g, inverse) }]);
}

/** Two axes swapped, the last two by default. A view. */
export function transpose(x: Tensor, first = -2, second = -1): Tensor {
  beginView('transpose', x);
  const order = x.shape.map((_, axis) => axis);
  const a = normalizeAxis('transpose', first, x.rank);
  const b = normalizeAxis('transpose', second, x.rank);
  [order[a], order[b]] = [order[b], order[a]];
  return permute(x, order);
}

function permuteView(x: Tensor, order: readonly number[]): Tensor {
  return x.view(
    { shape: order.map((axis) => x.shape[axis]), strides: order.map((axis) => x.strides[axis]) },
    'permute',
  );
}

/**
 * The part of x from `starts` (included) to `ends` (left out) on each axis; axes not named are whole. Negative numbers
 * count from the end. A view.
 */
export function slice(x: Tensor, starts: readonly number[], ends: readonly number[] = []): Tensor {
  beginView('slice', x);
  const bound = (value: number | undefined, extent: number, whole: number) => {
    const position = value === undefined ? whole : value < 0 ? value + extent : value;
    if (!Number.isInteger(position) || position < 0 || position > extent) {
      throw new ArgumentError(`slice: position ${value} is outside 0 … ${extent} of shape ${formatShape(x.shape)}`);
    }
    return position;
  };
  if (!Array.isArray(starts) || !Array.isArray(ends)) {
    throw new ArgumentError(
      `slice: got ${starts} and ${ends} (allowed: lists of positions, one for each axis; x.at(0) takes one)`,
    );
  }
  if (starts.length > x.rank || ends.length > x.rank) {
    throw new ArgumentError(`slice: more positions than the ${x.rank} axes of shape ${formatShape(x.shape)}`);
  }
  const from = x.shape.map((extent, axis) => bound(starts[axis], extent, 0));
  const to = x.shape.map((extent, axis) => bound(ends[axis], extent, extent));
  const shape = to.map((end, axis) => Math.max(0, end - from[axis]));
  const offset = from.reduce((sum, start, axis) => sum + start * x.strides[axis], x.offset);
  const result = x.view({ shape, strides: x.strides, offset }, 'slice');
  const gradient = (g: Tensor) => {
    const whole = fill(allocate(g.device, g.dtype, x.shape, 'slice'), 0);
    const strides = rowMajorStrides(x.shape);
    const position = from.reduce((sum, start, axis) => sum + start * strides[axis], 0);
    copyInto(g, whole, strides, position);
    return whole;
  };
  return record('slice', result, [{ input: x, gradient }]);
}

/** x stretched to `shape` by the rules of broadcasting. A view. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  beginView('broadcastTo', x);
  checkShape('broadcastTo', shape);
  if (!sameShape(broadcastShapes('broadcastTo', x.shape, shape), shape)) {
    throw new ShapeError(`broadcastTo: ${formatShape(x.shape)} does not stretch to ${formatShape(shape)}`);
  }
  const result = broadcastView(x, shape);
  return record('broadcastTo', result, [{ input: x, gradient: (g) => sumToShape(g, x.shape) }]);
}

/** What `beginView` is for operations on a list of tensors. @throws ArgumentError for what is no list, and an empty one. */
export function beginParts(operation: string, parts: readonly Tensor[]): void {
  if (!Array.isArray(parts))
    throw new ArgumentError(`${operation}: got ${parts} (allowed: a list of tensors, such as [x, y])`);
  if (parts.length === 0) throw new ArgumentError(`${operation}: got no tensor (allowed: one or more)`);
  beginView(operation, ...parts);
}

/** Tensors one after the other along `axis`; the other axes agree. */
export function concatenate(parts: readonly Tensor[], axis = 0): Tensor {
  beginParts('concatenate', parts);
  const [first] = parts;
  refuseStored('concatenate', ...parts);
  const along = normalizeAxis('concatenate', axis, first.rank);
  for (const part of parts) {
    const fits = part.rank === first.rank && part.shape.every((extent, i) => i === along || extent === first.shape[i]);
    if (!fits || part.dtype !== first.dtype) {
      throw new ShapeError(
        `concatenate: ${part.dtype} ${formatShape(part.shape)} does not continue ${first.dtype} ` +
          `${formatShape(first.shape)} along axis ${along}; all other axes must agree`,
      );
    }
  }
  const shape = [...first.shape];
  shape[along] = parts.reduce((sum, part) => sum + part.shape[along], 0);
  checkShape('concatenate', shape);
  const result = allocate(first.device, first.dtype, shape, 'concatenate');
  let start = 0;
  const rules = parts.map((input) => {
    const position = start;
    copyInto(input, result, result.strides, position * result.strides[along]);
    start += input.shape[along];
    const gradient = (g: Tensor) =>
      g.view({ shape: input.shape, strides: g.strides, offset: g.offset + position * g.strides[along] }, 'concatenate');
    return { input, gradient };
  });
  return record('concatenate', result, rules);
}
