/** The sum of two gradients, and a gradient times a number, in place where that may be. */
import { dispatch } from '../../tensor/dispatch.ts';
import { byWidth, elementParts, elementwise, flatWorkgroups } from '../../tensor/kernel.ts';
import { scope } from '../../tensor/scope.ts';
import { dense, isDense, type Tensor } from '../../tensor/tensor.ts';
import { add } from './pointwise/pointwise.ts';

const accumulateKernel = byWidth({
  name: 'accumulate',
  operands: { contribution: 'read', total: 'update' },
  scalars: { count: 'u32' },
  wgsl: { file: 'accumulate', constants: elementwise.constants },
  reference({ contribution, total }, { count }) {
    for (let i = 0; i < count; i++) total[i] += contribution[i];
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('accumulate', { partLength }, shared);
  },
});

const scaleKernel = byWidth({
  name: 'scale',
  operands: { factor: 'read', total: 'update' },
  scalars: { count: 'u32' },
  wgsl: { file: 'scale', constants: elementwise.constants },
  reference({ factor, total }, { count }) {
    for (let i = 0; i < count; i++) total[i] *= factor[0];
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('scaleBy', { partLength }, shared);
  },
});

/** `gradient`, which is writable, times the number in `factor`: in place, seen through a view of its own. */
export function scaleInPlace(gradient: Tensor, factor: Tensor): Tensor {
  dispatch(scaleKernel(gradient.size), {
    operands: { factor: dense(factor), total: gradient },
    scalars: { count: gradient.size },
    workgroups: flatWorkgroups(gradient.size, elementwise.elementsPerGroup),
    flops: gradient.size,
  });
  return gradient.view({ shape: gradient.shape }, gradient.origin);
}

/** Whether a gradient may be added to in place: nobody else holds its buffer (`x + x` hands both its inputs the same). */
export function isWritable(gradient: Tensor): boolean {
  return gradient.storage.references === 1 && isDense(gradient);
}

/**
 * The sum of two gradients, which it takes over. The first contribution is taken as it is, and so is the total itself,
 * returned by a rule that has added to it; others are added, in place where that may be.
 */
export function accumulate(total: Tensor | undefined, contribution: Tensor): Tensor {
  if (total === undefined || total === contribution) return contribution;
  if (!isWritable(total)) {
    const sum = scope('gradient', () => add(total, contribution));
    total.release('its gradient was summed');
    contribution.release('its gradient was summed');
    return sum;
  }
  scope('gradient', () =>
    dispatch(accumulateKernel(total.size), {
      operands: { contribution: dense(contribution), total },
      scalars: { count: total.size },
      workgroups: flatWorkgroups(total.size, elementwise.elementsPerGroup),
      flops: total.size,
    }),
  );
  contribution.release('its gradient was summed');
  return total;
}
