/** Indices as rows of a 1 among zeros. */
import { dispatch } from '../../../tensor/dispatch.ts';
import { flatWorkgroups, kernel } from '../../../tensor/kernel.ts';
import { checkShape } from '../../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../../tensor/tensor.ts';
import { checkIndexOperand } from '../index-operand.ts';
import { workgroupSize } from './along-axis.ts';
import { floatForm } from './gather.ts';

const oneHotKernel = kernel({
  name: 'one-hot',
  operands: { indices: 'read', hot: 'write' },
  scalars: { outer: 'u32', length: 'u32', inner: 'u32', count: 'u32' },
  wgsl: { file: 'indexing', entry: 'oneHot', functions: floatForm },
  reference({ indices, hot }, { length, count }) {
    for (let i = 0; i < count * length; i++) {
      const index = indices[Math.floor(i / length)];
      hot[i] = index >= 0 && index < length ? Number(index === i % length) : Number.NaN;
    }
  },
});

/**
 * 1 at the position that an index names, else 0. indices: i32 of any shape; the result has a last axis of `classes` more, and is f32.
 *
 * @throws ShapeError for classes that are no whole number of at least 0; ArgumentError for an index outside 0 … classes - 1, if the indices came from the host (others give NaN).
 */
export function oneHot(indices: Tensor, classes: number): Tensor {
  checkShape('oneHot', [classes]);
  checkIndexOperand('oneHot', indices, indices, classes);
  const result = allocate(indices.device, 'f32', [...indices.shape, classes], 'oneHot');
  dispatch(oneHotKernel, {
    operands: { indices: dense(indices), hot: result },
    scalars: { outer: 1, length: classes, inner: 1, count: indices.size },
    workgroups: flatWorkgroups(result.size, workgroupSize),
    flops: 0,
  });
  return result;
}
