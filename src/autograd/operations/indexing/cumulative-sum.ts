/** Running sums. */
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { kernel } from '../../../tensor/kernel.ts';
import { allocate, dense, type Tensor } from '../../../tensor/tensor.ts';
import { beginNumbers, record } from '../../record.ts';
import { alongAxis, rowThreads } from './along-axis.ts';

const cumulativeSumKernel = kernel({
  name: 'cumulative-sum',
  operands: { x: 'read', result: 'write' },
  scalars: { outer: 'u32', length: 'u32', inner: 'u32', backwards: 'u32' },
  wgsl: { file: 'cumulative_sum', functions: 'alias Source = Element0; alias Result = Element1; alias Number = f32;' },
  reference({ x, result }, { outer, length, inner, backwards }) {
    for (let row = 0; row < outer * inner; row++) {
      const start = Math.floor(row / inner) * length * inner + (row % inner);
      let sum = 0;
      for (let k = 0; k < length; k++) {
        const place = start + (backwards ? length - 1 - k : k) * inner;
        sum += x[place];
        result[place] = sum;
      }
    }
  },
});

const sumIntegers = kernel({
  ...cumulativeSumKernel,
  name: 'cumulative-sum-integers',
  wgsl: { file: 'cumulative_sum', functions: 'alias Source = i32; alias Result = i32; alias Number = i32;' },
});

/** Sums along an axis up to each element, itself included; in f32 for f16; of integers it wraps. One is added after the other, so rounding grows with the length. */
export function cumsum(x: Tensor, axis: number): Tensor {
  beginNumbers('cumsum', x);
  const along = alongAxis('cumsum', x, axis);
  const { outer, length, inner } = along;
  const run = (source: Tensor, backwards: 0 | 1): Tensor => {
    const result = allocate(x.device, computeDType(x.dtype), x.shape, 'cumsum');
    dispatch(x.dtype === 'i32' ? sumIntegers : cumulativeSumKernel, {
      operands: { x: dense(source), result },
      scalars: { outer, length, inner, backwards },
      workgroups: rowThreads(along),
      flops: x.size,
    });
    return result;
  };
  return record('cumsum', run(x, 0), [{ input: x, gradient: (g) => run(g, 1) }]);
}
