/** Numbers as operands. */
import { tensor } from '../../tensor/create.ts';
import type { Device } from '../../tensor/device.ts';
import type { DType, NumericArray } from '../../tensor/dtype.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Numbers used as operands, by device: made once, because a loop uses the same ones in every step. */
const constants = new WeakMap<Device, Map<string, Tensor>>();
const maxConstants = 256;

/** A number as an operand that broadcasts to anything; f32, f64 or i32. */
export function constant(device: Device, dtype: DType, value: number): Tensor {
  const known = getOrCreate(constants, device, () => new Map<string, Tensor>());
  const key = `${dtype} ${Object.is(value, -0) ? '-0' : value}`;
  const found = known.get(key);
  if (found) return found;
  const data: NumericArray =
    dtype === 'i32' ? Int32Array.of(value) : dtype === 'f64' ? Float64Array.of(value) : Float32Array.of(value);
  if (known.size >= maxConstants) return tensor(data, { device, shape: [], name: 'constant' });
  const made = tensor(data, { device, shape: [], name: 'constant', owner: null });
  known.set(key, made);
  return made;
}
