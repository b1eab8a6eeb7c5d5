/** The check of operands that hold indices. */
import { checkIndices } from '../../tensor/create.ts';
import { checkSameDevice } from '../../tensor/device.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/**
 * What `begin` is for floating operands: `indices` is usable, i32, on the device of `companion`, and its values lie in
 * 0 … `count` - 1 or equal `ignored`.
 *
 * @throws ReleasedTensorError, DTypeError, DeviceMismatchError or ArgumentError that names the operation and what came.
 */
export function checkIndexOperand(
  operation: string,
  indices: Tensor,
  companion: Tensor,
  count: number,
  ignored?: number,
): void {
  indices.assertUsable(operation);
  checkSameDevice(operation, [companion, indices]);
  checkIndices(operation, indices, count, ignored);
}
