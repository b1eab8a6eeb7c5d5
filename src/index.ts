/** The whole public interface of frostgrad, on one page. */

export {
  type CreateOptions,
  defaultDevice,
  full,
  normal,
  ones,
  setDefaultDevice,
  tensor,
  uniform,
  zeros,
} from './tensor/create.ts';
export { type Device, type MemoryReport, snapshotWork, type WorkReport, workSince } from './tensor/device.ts';
export type { DType, NumericArray } from './tensor/dtype.ts';
export * from './tensor/errors.ts';
export { type DeviceKind, deviceKinds, openDevice } from './tensor/open-device.ts';
export { Random } from './tensor/random.ts';
export { forget, keep, scope, step } from './tensor/scope.ts';
export type { NestedArray, Tensor } from './tensor/tensor.ts';

import './autograd/methods.ts';

export { backward } from './autograd/backward.ts';
export { GradientCheckError, gradcheck } from './autograd/gradcheck.ts';
export { gradientOf, noGrad, requireGradient } from './autograd/node.ts';
export { matmul } from './autograd/operations/matmul.ts';
export * from './autograd/operations/pointwise.ts';
export { max, mean, type ReduceOptions, sum } from './autograd/operations/reduction.ts';
export { broadcastTo, concatenate, permute, reshape, slice, transpose } from './autograd/operations/views.ts';
