/** Copies between views of any strides, also from one floating dtype to another, and constants. */
import type { KernelOperand } from './device.ts';
import { dispatch } from './dispatch.ts';
import { elementParts, elementwise, flatWorkgroups, kernel } from './kernel.ts';
import { collapseAxes, type Strides, sizeOf } from './shape.ts';

const workgroupSize = 64;
const maxRank = 4;
/** What one thread copies at a time. */
const elementsOfPart = 16384;

/** How threads share a copy by `stridedCopy` of kernels/simd/copy.ts. */
export function copyParts({ count, size2, size3 }: Readonly<Record<'count' | 'size2' | 'size3', number>>) {
  // Whole cache lines of a source that is crossed.
  const rowsOfPart = 16 * Math.ceil(elementsOfPart / (16 * size3));
  const partsOfPlane = Math.ceil(size2 / rowsOfPart);
  const parts = (count / (size2 * size3)) * partsOfPlane;
  return { parts: { rowsOfPart, partsOfPlane }, shared: { parts, scratchBytes: 0, operations: count } };
}

/** Copies a view of any strides into a view of any strides; both have the same shape of at most four axes. */
const stridedCopy = kernel({
  name: 'strided-copy',
  operands: { source: 'strided', destination: 'update' },
  scalars: {
    count: 'u32',
    size1: 'u32',
    size2: 'u32',
    size3: 'u32',
    sourceStride0: 'i32',
    sourceStride1: 'i32',
    sourceStride2: 'i32',
    sourceStride3: 'i32',
    targetStride0: 'i32',
    targetStride1: 'i32',
    targetStride2: 'i32',
    targetStride3: 'i32',
    sourceOffset: 'u32',
    targetOffset: 'u32',
  },
  wgsl: { file: 'strided_copy', functions: 'alias Source = u32;\nalias Target = u32;\n' },
  reference({ source, destination }, s) {
    const size0 = s.count / (s.size1 * s.size2 * s.size3);
    for (let i = 0; i < size0; i++) {
      for (let j = 0; j < s.size1; j++) {
        for (let k = 0; k < s.size2; k++) {
          let from = s.sourceOffset + i * s.sourceStride0 + j * s.sourceStride1 + k * s.sourceStride2;
          let to = s.targetOffset + i * s.targetStride0 + j * s.targetStride1 + k * s.targetStride2;
          for (let l = 0; l < s.size3; l++, from += s.sourceStride3, to += s.targetStride3) {
            destination[to] = source[from];
          }
        }
      }
    }
  },
  simd(call) {
    const { parts, shared } = copyParts(call.scalars);
    return call.run('stridedCopy', parts, shared);
  },
});

/** The same where either is stored in f16; rounds where the target is narrower. */
const convertingCopy = kernel({
  ...stridedCopy,
  name: 'converting-copy',
  wgsl: { file: 'strided_copy', functions: 'alias Source = Element0;\nalias Target = Element1;\n' },
  simd: undefined,
});

const fillKernel = kernel({
  name: 'fill',
  operands: { result: 'write' },
  scalars: { count: 'u32', value: 'f32' },
  wgsl: { file: 'fill', constants: elementwise.constants },
  reference({ result }, { count, value }) {
    result.fill(value, 0, count);
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('fill', { partLength }, shared);
  },
});

/** Writes `value` into every element of a dense tensor. */
export function fill<Target extends KernelOperand>(target: Target, value: number): Target {
  dispatch(fillKernel, {
    operands: { result: target },
    scalars: { count: target.size, value },
    workgroups: flatWorkgroups(target.size, elementwise.elementsPerGroup),
    flops: 0,
  });
  return target;
}

/**
 * Copies `source` into the part of the dense tensor `target` that starts at `offset` and is walked with `strides`
 * (both in elements; the part has the shape of `source`). Floats of different dtypes are converted.
 */
export function copyInto(source: KernelOperand, target: KernelOperand, strides: Strides, offset = 0): void {
  if (source.size === 0) return;
  const collapsed = collapseAxes(source.shape, [source.strides, strides]);
  const [sourceStrides, targetStrides] = collapsed.operands;
  const shape = collapsed.shape;
  const outerAxes = Math.max(0, shape.length - maxRank);
  const inner = [...new Array<number>(maxRank).fill(1), ...shape.slice(outerAxes)].slice(-maxRank);
  const pad = (values: number[]) => [...new Array<number>(maxRank).fill(0), ...values.slice(outerAxes)].slice(-maxRank);
  const [s0, s1, s2, s3] = pad(sourceStrides);
  const [t0, t1, t2, t3] = pad(targetStrides);
  const count = sizeOf(inner);
  const copies = source.dtype === 'f16' || target.dtype === 'f16' ? convertingCopy : stridedCopy;

  // More axes than the kernel has are walked here, one dispatch for each combination of the outer ones.
  const walk = (axis: number, sourceOffset: number, targetOffset: number): void => {
    if (axis < outerAxes) {
      for (let i = 0; i < shape[axis]; i++) {
        walk(axis + 1, sourceOffset + i * sourceStrides[axis], targetOffset + i * targetStrides[axis]);
      }
      return;
    }
    dispatch(copies, {
      operands: { source, destination: target },
      scalars: {
        count,
        size1: inner[1],
        size2: inner[2],
        size3: inner[3],
        sourceStride0: s0,
        sourceStride1: s1,
        sourceStride2: s2,
        sourceStride3: s3,
        targetStride0: t0,
        targetStride1: t1,
        targetStride2: t2,
        targetStride3: t3,
        sourceOffset,
        targetOffset,
      },
      workgroups: flatWorkgroups(count, workgroupSize),
      flops: 0,
    });
  };
  walk(0, source.offset, offset);
}
