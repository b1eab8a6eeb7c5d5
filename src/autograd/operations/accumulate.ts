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

/**
 * The sum of two gradients, which it takes over. The first contribution is taken as it is; later ones are added in
 * place where nobody else holds the buffer (`x + x` hands both its inputs one and the same gradient).
 */
export function accumulate(total: Tensor | undefined, contribution: Tensor): Tensor {
  if (total === undefined) return contribution;
  if (total.storage.references > 1 || !isDense(total)) {
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
