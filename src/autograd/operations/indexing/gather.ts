/** Elements by their position along an axis, and sums into positions. */
import { fill } from '../../../tensor/copy.ts';
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { ShapeError } from '../../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../../tensor/kernel.ts';
import { formatShape, sameShape } from '../../../tensor/shape.ts';
import { allocate, copy, dense, type Tensor } from '../../../tensor/tensor.ts';
import { beginNumbers, record } from '../../record.ts';
import { checkIndexOperand, checkIndexTensor } from '../index-operand.ts';
import { broadcastView } from '../views.ts';
import { alongAxis, rowThreads, workgroupSize } from './along-axis.ts';

const scalars = { outer: 'u32', length: 'u32', inner: 'u32', count: 'u32' } as const;

/** What stands where an index names nothing: NaN, which WGSL refuses where it can compute it beforehand, or of integers -1. */
export const floatForm = `
alias Source = Element1;
alias Result = Element2;
alias Number = f32;
fn nothingUnless(isInside: bool) -> f32 { return bitcast<f32>(select(0x7fc00000u, 0u, isInside)); }
`;
const integerForm = `
alias Source = i32;
alias Result = i32;
alias Number = i32;
fn nothingUnless(isInside: bool) -> i32 { return select(-1, 0, isInside); }
`;

const gatherKernel = kernel({
  name: 'gather',
  operands: { indices: 'read', source: 'read', result: 'write' },
  scalars,
  wgsl: { file: 'indexing', entry: 'gather', functions: floatForm },
  reference({ indices, source, result }, { outer, length, inner, count }) {
    const nothing = source instanceof Int32Array ? -1 : Number.NaN;
    for (let i = 0; i < outer * count * inner; i++) {
      const block = Math.floor(i / (count * inner));
      const index = indices[i];
      result[i] = index >= 0 && index < length ? source[(block * length + index) * inner + (i % inner)] : nothing;
    }
  },
});

const scatterKernel = kernel({
  name: 'scatter-add',
  operands: { indices: 'read', source: 'read', result: 'update' },
  scalars,
  wgsl: { file: 'indexing', entry: 'scatterAdd', functions: floatForm },
  reference({ indices, source, result }, { outer, length, inner, count }) {
    for (let i = 0; i < outer * count * inner; i++) {
      const block = Math.floor(i / (count * inner));
      const index = indices[i];
      if (index >= 0 && index < length) result[(block * length + index) * inner + (i % inner)] += source[i];
    }
  },
});

const ofIntegers = (entry: 'gather' | 'scatterAdd') => ({ file: 'indexing', entry, functions: integerForm });
const gatherIntegers = kernel({ ...gatherKernel, name: 'gather-integers', wgsl: ofIntegers('gather') });
const scatterIntegers = kernel({ ...scatterKernel, name: 'scatter-add-integers', wgsl: ofIntegers('scatterAdd') });

/**
 * Elements of x by their position along `axis`: result[…, k, …] = x[…, indices[…, k, …], …]. indices: i32, of the shape of x but for that
 * axis, and the result has their shape. Elements that are taken several times get the sum of the gradients.
 *
 * @throws ShapeError where the shapes do not fit; ArgumentError for an index outside the axis, if the indices came from the host
 * (others give NaN, of integers -1); DTypeError where they are not i32.
 */
export function gather(x: Tensor, axis: number, indices: Tensor): Tensor {
  beginNumbers('gather', x);
  const along = alongAxis('gather', x, axis);
  checkIndexOperand('gather', indices, x, along.length);
  checkBesideAxis('gather', x, along.axis, indices, 'indices');
  return take('gather', x, along.axis, indices);
}

/**
 * The slices of x that `indices` (i32, one axis) name along `axis`, in their order.
 *
 * @throws ShapeError for indices of another rank; ArgumentError and DTypeError as `gather`.
 */
export function indexSelect(x: Tensor, axis: number, indices: Tensor): Tensor {
  beginNumbers('indexSelect', x);
  const along = alongAxis('indexSelect', x, axis);
  checkIndexTensor('indexSelect', indices);
  if (indices.rank !== 1) {
    throw new ShapeError(`indexSelect: indices have shape ${formatShape(indices.shape)} (allowed: one axis)`);
  }
  checkIndexOperand('indexSelect', indices, x, along.length);
  const beside = x.shape.map((_, i) => (i === along.axis ? indices.size : 1));
  const all = broadcastView(
    dense(indices).view({ shape: beside }, 'indexSelect'),
    x.shape.with(along.axis, indices.size),
  );
  return take('indexSelect', x, along.axis, all);
}

/**
 * x with the elements of `source` added at positions along `axis`: result[…, indices[…, k, …], …] += source[…, k, …], in f32 for f16.
 * indices: i32, of the shape of source; both have the shape of x but for that axis. Sums are made in the order of k, on every device.
 *
 * @throws ShapeError, ArgumentError and DTypeError as `gather`; an index that only the device knows to be outside is left out.
 */
export function scatterAdd(x: Tensor, axis: number, indices: Tensor, source: Tensor): Tensor {
  beginNumbers('scatterAdd', x, source);
  const along = alongAxis('scatterAdd', x, axis);
  checkIndexOperand('scatterAdd', indices, x, along.length);
  checkBesideAxis('scatterAdd', x, along.axis, source, 'source');
  if (!sameShape(indices.shape, source.shape)) {
    throw new ShapeError(
      `scatterAdd: indices ${formatShape(indices.shape)} and source ${formatShape(source.shape)} must have one shape`,
    );
  }
  const result = addInto(copy(x, 'scatterAdd', computeDType(x.dtype)), along.axis, indices, source);
  const gradient = (g: Tensor, [indices]: readonly Tensor[]) => take('gather', g, along.axis, indices);
  return record('scatterAdd', result, [
    { input: x, gradient: (g) => g },
    { input: source, saves: [indices], gradient },
  ]);
}

function take(operation: string, x: Tensor, axis: number, indices: Tensor): Tensor {
  const { outer, length, inner } = alongAxis(operation, x, axis);
  const positions = dense(indices);
  const result = allocate(x.device, x.dtype, indices.shape, operation);
  dispatch(x.dtype === 'i32' ? gatherIntegers : gatherKernel, {
    operands: { indices: positions, source: dense(x), result },
    scalars: { outer, length, inner, count: indices.shape[axis] },
    workgroups: flatWorkgroups(result.size, workgroupSize),
    flops: 0,
  });
  const gradient = (g: Tensor, [positions]: readonly Tensor[]) =>
    addInto(fill(allocate(g.device, g.dtype, x.shape, operation), 0), axis, positions, g);
  return record(operation, result, [{ input: x, saves: [positions], gradient }]);
}

/** Adds to `target`, which is dense, in place. */
function addInto(target: Tensor, axis: number, indices: Tensor, source: Tensor): Tensor {
  const along = alongAxis('scatterAdd', target, axis);
  const { outer, length, inner } = along;
  dispatch(target.dtype === 'i32' ? scatterIntegers : scatterKernel, {
    operands: { indices: dense(indices), source: dense(source), result: target },
    scalars: { outer, length, inner, count: source.shape[axis] },
    workgroups: source.size === 0 ? [0, 0, 0] : rowThreads(along),
    flops: source.size,
  });
  return target;
}

function checkBesideAxis(operation: string, x: Tensor, axis: number, other: Tensor, name: string): void {
  if (other.rank === x.rank && other.shape.every((extent, i) => i === axis || extent === x.shape[i])) return;
  throw new ShapeError(
    `${operation}: ${name} ${formatShape(other.shape)} must have the shape of x ${formatShape(x.shape)} but for axis ${axis}`,
  );
}
