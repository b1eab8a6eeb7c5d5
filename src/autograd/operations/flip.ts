/** Axes in reverse. */
import { ArgumentError } from '../../tensor/errors.ts';
import { normalizeAxis } from '../../tensor/shape.ts';
import { copy, type Tensor } from '../../tensor/tensor.ts';
import { beginView, record, refuseStored } from '../record.ts';

/** x with the order of its elements reversed along the axes, one or more, in a list or one by one. */
export function flip(x: Tensor, ...axes: (number | readonly number[])[]): Tensor {
  beginView('flip', x);
  refuseStored('flip', x);
  if (axes.length === 0) throw new ArgumentError('flip: got no axis (allowed: one or more, such as 0 or [0, 1])');
  const reversed = new Set(axes.flat().map((axis) => normalizeAxis('flip', axis, x.rank)));
  return record('flip', reverse(x, reversed), [{ input: x, gradient: (g) => reverse(g, reversed) }]);
}

/** A copy: not every kernel walks backwards. */
function reverse(x: Tensor, axes: ReadonlySet<number>): Tensor {
  const strides = x.strides.map((stride, axis) => (axes.has(axis) ? -stride : stride));
  const last = (axis: number) => (x.size === 0 ? 0 : (x.shape[axis] - 1) * x.strides[axis]);
  const offset = [...axes].reduce((sum, axis) => sum + last(axis), x.offset);
  return copy(x.view({ shape: x.shape, strides, offset }, 'flip'), 'flip');
}
