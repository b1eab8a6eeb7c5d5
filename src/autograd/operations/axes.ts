/** Axes that come, go, join and part: views made of `reshape`, `slice` and `broadcastTo`, whose gradients they have. */
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { checkShapeList, formatShape, normalizeAxis, type Shape, sameShape, sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { beginView } from '../record.ts';
import { beginParts, broadcastTo, concatenate, reshape, slice } from './views.ts';

/** x with an axis of extent 1 put in, which is `axis` of the result. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  beginView('unsqueeze', x);
  return reshape(x, x.shape.toSpliced(normalizeAxis('unsqueeze', axis, x.rank + 1), 0, 1));
}

/**
 * x without the given axes, or without all that have extent 1.
 *
 * @throws ShapeError for a given axis of another extent. (PyTorch leaves it in silence.)
 */
export function squeeze(x: Tensor, axes?: number | readonly number[]): Tensor {
  beginView('squeeze', x);
  const given = axes === undefined ? null : [axes].flat().map((axis) => normalizeAxis('squeeze', axis, x.rank));
  const long = given?.find((axis) => x.shape[axis] !== 1);
  if (long !== undefined) {
    throw new ShapeError(`squeeze: axis ${long} of shape ${formatShape(x.shape)} has extent ${x.shape[long]}, not 1`);
  }
  return reshape(
    x,
    x.shape.filter((extent, axis) => (given ? !given.includes(axis) : extent !== 1)),
  );
}

/** x with the axes from `first` to `last`, both included, made one; by default all. A scalar becomes one axis. */
export function flatten(x: Tensor, first = 0, last = -1): Tensor {
  beginView('flatten', x);
  const rank = Math.max(1, x.rank);
  const [from, to] = [first, last].map((axis) => normalizeAxis('flatten', axis, rank));
  if (from > to) throw new ArgumentError(`flatten: first axis ${first} lies behind the last, ${last}`);
  const extent = sizeOf(x.shape.slice(from, to + 1));
  return reshape(x, x.shape.toSpliced(from, to + 1 - from, extent));
}

/** x stretched to `shape` by the rules of broadcasting; -1 keeps the extent of x. A view. */
export function expand(x: Tensor, shape: Shape): Tensor {
  beginView('expand', x);
  checkShapeList('expand', shape);
  const added = shape.length - x.rank;
  return broadcastTo(
    x,
    shape.map((extent, axis) => (extent === -1 && axis >= added ? x.shape[axis - added] : extent)),
  );
}

/** Tensors of one shape along a new axis, which is `axis` of the result. */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
  beginParts('stack', parts);
  const [first] = parts;
  const other = parts.find((part) => !sameShape(part.shape, first.shape));
  if (other) {
    throw new ShapeError(
      `stack: shapes ${formatShape(first.shape)} and ${formatShape(other.shape)} differ (allowed: one for all)`,
    );
  }
  const along = normalizeAxis('stack', axis, first.rank + 1);
  return concatenate(
    parts.map((part) => unsqueeze(part, along)),
    along,
  );
}

/**
 * x cut along `axis`, into parts of the given extent (the last may be shorter) or of the given extents in turn. Views; of an axis
 * without elements one.
 *
 * @throws ArgumentError for extents that are no whole numbers above 0 (of a list: at least 0), or do not add up to the axis.
 */
export function split(x: Tensor, size: number | readonly number[], axis = 0): Tensor[] {
  beginView('split', x);
  const along = normalizeAxis('split', axis, x.rank);
  const extent = x.shape[along];
  const isSize = typeof size === 'number' && Number.isInteger(size) && size > 0;
  const sizes: readonly number[] | null = isSize
    ? Array.from({ length: Math.max(1, Math.ceil(extent / size)) }, (_, i) => Math.min(size, extent - i * size))
    : Array.isArray(size)
      ? size
      : null;
  const total = sizes?.reduce((sum, each) => sum + each, 0);
  if (!sizes || total !== extent || !sizes.every((each) => Number.isInteger(each) && each >= 0)) {
    throw new ArgumentError(
      `split: parts of ${[size].flat().join(', ')} do not make up axis ${along} of shape ${formatShape(x.shape)} ` +
        `(allowed: one whole number above 0, or several that add up to ${extent})`,
    );
  }
  let start = 0;
  return sizes.map((each) => {
    const starts = x.shape.slice(0, along + 1).map(() => 0);
    const ends = x.shape.slice(0, along + 1);
    starts[along] = start;
    start += each;
    ends[along] = start;
    return slice(x, starts, ends);
  });
}
