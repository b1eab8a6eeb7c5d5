import { dense, isDense } from '../../tensor/copy.ts';
import { byWidth, dispatch, elementwise, flatWorkgroups } from '../../tensor/kernel.ts';
import { scope } from '../../tensor/scope.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { add } from './pointwise.ts';

const accumulateKernel = byWidth<'count'>({
  name: 'accumulate',
  operands: ['read', 'update'],
  scalars: { count: 'u32' },
  wgsl: { file: 'accumulate', constants: elementwise.constants },
  reference([contribution, total], { count }) {
    for (let i = 0; i < count; i++) total[i] += contribution[i];
  },
  simd({ functions, addresses: [contribution, total], scalars: { count } }) {
    functions.accumulate(contribution, total, count);
    return true;
  },
});

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
      operands: [dense(contribution), total],
      scalars: { count: total.size },
      workgroups: flatWorkgroups(total.size, elementwise.elementsPerGroup),
      flops: total.size,
    }),
  );
  contribution.release('its gradient was summed');
  return total;
}
