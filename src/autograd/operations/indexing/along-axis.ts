/** A tensor seen along one axis. */
import { flatWorkgroups } from '../../../tensor/kernel.ts';
import { normalizeAxis, sizeOf } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';

/** Threads in a workgroup of the kernels that work along an axis. */
export const workgroupSize = 64;

/** (outer, length, inner): the axes before `axis`, it, and those behind it. */
export interface AlongAxis {
  readonly axis: number;
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
}

/** @throws ArgumentError for an axis that x does not have. */
export function alongAxis(operation: string, x: Tensor, axis: number): AlongAxis {
  const along = normalizeAxis(operation, axis, x.rank);
  const [outer, inner] = [sizeOf(x.shape.slice(0, along)), sizeOf(x.shape.slice(along + 1))];
  return { axis: along, outer, length: x.shape[along], inner };
}

/** One thread for each row along the axis; none where rows have no element. */
export function rowThreads({ outer, length, inner }: AlongAxis): [number, number, number] {
  return flatWorkgroups(length === 0 ? 0 : outer * inner, workgroupSize);
}
