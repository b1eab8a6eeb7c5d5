/** The check of operands that hold indices. */
import { checkIndices } from '../../tensor/create.ts';
import { checkSameDevice } from '../../tensor/device.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { Tensor } from '../../tensor/tensor.ts';

/** @throws ArgumentError for what a caller without types may pass, such as an array. */
export function checkIndexTensor(operation: string, indices: unknown): void {
  if (indices instanceof Tensor) return;
  const kind = Array.isArray(indices) ? 'an array' : typeof indices;
  throw new ArgumentError(
    `${operation}: the indices are ${kind} (allowed: an i32 tensor; tensor([0, 1], { dtype: 'i32' }) makes one)`,
  );
}

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
  checkIndexTensor(operation, indices);
  indices.assertUsable(operation);
  checkSameDevice(operation, [companion, indices]);
  checkIndices(operation, indices, count, ignored);
}
