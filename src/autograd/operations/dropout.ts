/** Dropout. */
import { dispatch } from '../../tensor/dispatch.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { elementParts, elementwise, flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { philox4x32 } from '../../tensor/random.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';

const dropoutKernel = kernel({
  name: 'dropout',
  operands: { x: 'read', result: 'write' },
  scalars: { count: 'u32', seed: 'u32', lowest: 'u32', scale: 'f32' },
  wgsl: { file: 'dropout', constants: elementwise.constants },
  reference({ x, result }, { count, seed, lowest, scale }) {
    for (let counter = 0; 4 * counter < count; counter++) {
      const words = philox4x32([counter, 0, 0, 0], [seed, 0]);
      const end = Math.min(4, count - 4 * counter);
      for (let j = 0; j < end; j++) {
        const i = 4 * counter + j;
        result[i] = words[j] >= lowest ? x[i] * scale : 0;
      }
    }
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('dropout', { partLength }, { ...shared, scratchBytes: 64 });
  },
});

/**
 * x with elements dropped at random, each with probability `rate`, and the others divided by 1 - rate, so that the
 * expected value stays (Srivastava et al., JMLR 2014). Any shape. At rate 0 it is x itself, and nothing is dispatched.
 *
 * @param seed a whole number below 2^32: the mask is a function of it and of the position alone, on every device.
 */
export function dropout(x: Tensor, rate: number, seed: number): Tensor {
  begin('dropout', x);
  if (!(rate >= 0 && rate < 1)) {
    throw new ArgumentError(`dropout: rate ${rate} is out of range (allowed: at least 0, below 1)`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new ArgumentError(`dropout: seed ${seed} must be a whole number from 0 to ${2 ** 32 - 1}`);
  }
  if (rate === 0) return x;
  const result = dropped(x, rate, seed);
  return record('dropout', result, [{ input: x, gradient: (g) => dropped(g, rate, seed) }]);
}

function dropped(x: Tensor, rate: number, seed: number): Tensor {
  const result = allocate(x.device, x.dtype, x.shape, 'dropout');
  dispatch(dropoutKernel, {
    operands: { x: dense(x), result },
    scalars: { count: x.size, seed, lowest: Math.min(Math.round(rate * 2 ** 32), 2 ** 32 - 1), scale: 1 / (1 - rate) },
    workgroups: flatWorkgroups(x.size, elementwise.elementsPerGroup),
    flops: x.size,
  });
  return result;
}
