/** Another dtype. */
import { checkDType } from '../../tensor/create.ts';
import { computeDType, type DType } from '../../tensor/dtype.ts';
import { copy, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';

/**
 * x stored in another floating dtype, rounded where that is narrower; x itself where it is stored so already. Between f32 and
 * f16 the gradient passes as it is, because both have gradients in f32.
 *
 * @throws DTypeError for integers, and where the device lacks the dtype.
 */
export function cast(x: Tensor, dtype: Exclude<DType, 'i32'>): Tensor {
  begin('cast', x);
  checkDType('cast', x.device, dtype);
  if (x.dtype === dtype) return x;
  const toX = computeDType(x.dtype);
  const gradient = (g: Tensor) => (g.dtype === toX ? g : copy(g, 'cast', toX));
  return record('cast', copy(x, 'cast', dtype), [{ input: x, gradient }]);
}
