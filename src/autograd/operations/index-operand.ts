/** The check of operands that hold indices. */
import { checkIndices } from '../../tensor/create.ts';
import { DeviceMismatchError } from '../../tensor/errors.ts';
import { formatShape } from '../../tensor/shape.ts';
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
  if (indices.device !== companion.device) {
    throw new DeviceMismatchError(
      `${operation}: the indices ${formatShape(indices.shape)} live on ${indices.device.kind}, the other operand ` +
        `${formatShape(companion.shape)} on ${companion.device.kind}; all must be on one device`,
    );
  }
  checkIndices(operation, indices, count, ignored);
}
