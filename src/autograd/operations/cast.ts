/** Another dtype. */
import { checkDType } from '../../tensor/create.ts';
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType, type DType } from '../../tensor/dtype.ts';
import { elementwise, flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { allocate, copy, dense, type Tensor } from '../../tensor/tensor.ts';
import { beginView, beginWithStored, record } from '../record.ts';
import { isNaNFunction } from './not-a-number.ts';

const toIntegers = kernel({
  name: 'float-to-integer',
  operands: { floats: 'read', integers: 'write' },
  scalars: { count: 'u32' },
  wgsl: { file: 'convert_integers', entry: 'toIntegers', constants: elementwise.constants, functions: isNaNFunction },
  reference({ floats, integers }, { count }) {
    for (let i = 0; i < count; i++) integers[i] = Math.min(Math.max(floats[i], -(2 ** 31)), 2 ** 31 - 1);
  },
});

const fromIntegers = kernel({
  name: 'integer-to-float',
  operands: { source: 'read', rounded: 'write' },
  scalars: { count: 'u32' },
  wgsl: { file: 'convert_integers', entry: 'fromIntegers', constants: elementwise.constants, functions: isNaNFunction },
  reference({ source, rounded }, { count }) {
    for (let i = 0; i < count; i++) rounded[i] = source[i];
  },
});

/**
 * x stored in another dtype, rounded where that is narrower; x itself where it is stored so already. Among f32, f16
 * and bf16 the gradient passes as it is, because all have gradients in f32. Rounding is to the nearest, ties to even, and as in PyTorch a
 * number that rounds beyond the largest (65,504 in f16, about 3.39e38 in bf16) becomes infinite. Integers have none: floats are cut off towards 0, what an
 * i32 cannot hold becomes its largest or smallest, and NaN becomes 0.
 *
 * @throws DTypeError where the device lacks the dtype.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  beginView('cast', x);
  checkDType('cast', x.device, dtype);
  if (x.dtype === dtype) return x;
  if (dtype === 'i32') {
    const computed = computeDType(x.dtype);
    const floats = computed === x.dtype ? dense(x) : copy(x, 'cast', computed);
    const integers = allocate(x.device, dtype, x.shape, 'cast');
    const workgroups = flatWorkgroups(x.size, elementwise.elementsPerGroup);
    dispatch(toIntegers, { operands: { floats, integers }, scalars: { count: x.size }, workgroups, flops: 0 });
    return integers;
  }
  if (x.dtype === 'i32') {
    const rounded = allocate(x.device, computeDType(dtype), x.shape, 'cast');
    const workgroups = flatWorkgroups(x.size, elementwise.elementsPerGroup);
    dispatch(fromIntegers, {
      operands: { source: dense(x), rounded },
      scalars: { count: x.size },
      workgroups,
      flops: 0,
    });
    return rounded.dtype === dtype ? rounded : copy(rounded, 'cast', dtype);
  }
  beginWithStored('cast', x);
  const toX = computeDType(x.dtype);
  const gradient = (g: Tensor) => (g.dtype === toX ? g : copy(g, 'cast', toX));
  return record('cast', copy(x, 'cast', dtype), [{ input: x, gradient }]);
}
