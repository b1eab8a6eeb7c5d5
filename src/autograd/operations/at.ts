/** Elements by position and by range. */
import { ArgumentError } from '../../tensor/errors.ts';
import { formatShape } from '../../tensor/shape.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { beginView } from '../record.ts';
import { indexSelect } from './indexing/gather.ts';
import { equal, greater, greaterEqual, less, lessEqual, notEqual } from './pointwise/pointwise.ts';
import { reshape, slice } from './views.ts';

/**
 * What is taken of an axis: a position (the axis goes), a range from its start to before its end (null: to the edge), all of it
 * (null), or the positions in an i32 tensor of one axis. Negative numbers count from the end.
 */
export type Place = number | readonly [number | null, number | null] | null | Tensor;

/**
 * A part of x, axis by axis: `x.at(0)`, `x.at(-1, [1, 3])`, `x.at(null, [2, null])`, `x.at(rows)`. PyTorch writes x[0], x[-1, 1:3],
 * x[:, 2:], x[rows]. Axes not named are whole. A view, but for positions in a tensor; its gradient goes back to where it was taken.
 *
 * @throws ArgumentError for a place that an axis does not have, more places than axes, and a mask. (PyTorch cuts ranges off at the
 * edge.)
 */
export function at(x: Tensor, ...places: Place[]): Tensor {
  beginView('at', x);
  if (places.length > x.rank) {
    throw new ArgumentError(`at: ${places.length} places for the ${x.rank} axes of shape ${formatShape(x.shape)}`);
  }
  if (places.some((place) => place instanceof Tensor && comparisons.includes(place.origin))) {
    throw new ArgumentError(
      'at: a comparison selects no elements, because their number would have to be read first (allowed: positions in an i32 ' +
        'tensor; where(mask, x, 0) keeps the shape)',
    );
  }
  const ranges = places.map((place, axis) => rangeOf(x, place, axis));
  let part = slice(
    x,
    ranges.map(([start]) => start),
    ranges.map(([, end]) => end),
  );
  for (const [axis, place] of places.entries()) if (place instanceof Tensor) part = indexSelect(part, axis, place);
  const kept = part.shape.filter((_, axis) => typeof places[axis] !== 'number');
  return kept.length === part.rank ? part : reshape(part, kept);
}

/** Operations whose results PyTorch takes as a mask: their 1 and 0 must not pass for positions. */
const comparisons = [equal, notEqual, less, lessEqual, greater, greaterEqual].map(({ operation }) => operation);

function rangeOf(x: Tensor, place: Place, axis: number): [number, number] {
  const extent = x.shape[axis];
  if (place === null || place instanceof Tensor) return [0, extent];
  const [from, to] =
    typeof place === 'number' ? [place, place === -1 ? null : place + 1] : Array.isArray(place) ? place : [];
  const position = (value: unknown, edge: number) =>
    value === null ? edge : typeof value === 'number' && value < 0 ? value + extent : value;
  const [start, end] = [position(from, 0), position(to, extent)];
  const isPlace = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= extent;
  const isRange = typeof place === 'number' || (Array.isArray(place) && place.length === 2);
  if (isRange && isPlace(start) && isPlace(end) && start <= end && (typeof place !== 'number' || end - start === 1))
    return [start, end];
  const shown = Array.isArray(place) ? `[${place.map(String).join(', ')}]` : String(place);
  throw new ArgumentError(
    `at: ${shown} is no place on axis ${axis} of shape ${formatShape(x.shape)} (allowed: a position below ${extent}, a range ` +
      '[start, end] with null for an edge, null for all, or positions in an i32 tensor)',
  );
}
