/** Copies between views of any strides, also from one floating dtype to another, and constants. */
import { roundToBFloat16 } from './bfloat16.ts';
import type { KernelOperand } from './device.ts';
import { dispatch } from './dispatch.ts';
import { DTypeError } from './errors.ts';
import { elementParts, elementwise, flatWorkgroups, kernel } from './kernel.ts';
import { collapseAxes, formatShape, isRowMajor, type Strides, sizeOf } from './shape.ts';

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

/** How a copy reads and writes: words of 32 bits, whatever they mean, or floats that are converted. */
const words = 'alias Source = u32;\nalias Target = u32;\nfn valueAt(i: u32) -> u32 { return source[i]; }\n';
const floats =
  'alias Source = Stored0;\nalias Target = Element1;\nfn valueAt(i: u32) -> f32 { return loadSource(i); }\n';

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
  wgsl: { file: 'strided_copy', functions: words },
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

/** The same where the source is stored in 16 bits or the target in f16; rounds where the target is narrower. */
const convertingCopy = kernel({
  ...stridedCopy,
  name: 'converting-copy',
  wgsl: { file: 'strided_copy', functions: floats },
  widens: { source: 1 },
  simd(call) {
    const { parts, shared } = copyParts(call.scalars);
    return call.run('wideningCopy', parts, shared);
  },
});

/** Into bf16, as words that hold two numbers each. Of any strides into a dense tensor. */
const roundingCopy = kernel({
  name: 'rounding-copy',
  operands: { source: 'strided', result: 'write' },
  scalars: {
    count: 'u32',
    size1: 'u32',
    size2: 'u32',
    size3: 'u32',
    sourceStride0: 'i32',
    sourceStride1: 'i32',
    sourceStride2: 'i32',
    sourceStride3: 'i32',
    sourceOffset: 'u32',
  },
  wgsl: { file: 'round_to_bf16' },
  widens: { source: 1 },
  reference({ source, result }, s) {
    const single = new Float32Array(s.count);
    let index = 0;
    const size0 = s.count / (s.size1 * s.size2 * s.size3);
    for (let i = 0; i < size0; i++) {
      for (let j = 0; j < s.size1; j++) {
        for (let k = 0; k < s.size2; k++) {
          let from = s.sourceOffset + i * s.sourceStride0 + j * s.sourceStride1 + k * s.sourceStride2;
          for (let l = 0; l < s.size3; l++, from += s.sourceStride3) single[index++] = source[from];
        }
      }
    }
    new Uint16Array(result.buffer, result.byteOffset, s.count).set(roundToBFloat16(single));
  },
  simd(call) {
    const { parts, shared } = copyParts(call.scalars);
    return call.run('roundingCopy', { ...parts, sourceBytes: call.bytes('source') }, shared);
  },
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

/** Writes `value` into every element of a dense tensor. @throws DTypeError for a bf16 one, unless `value` is 0. */
export function fill<Target extends KernelOperand>(target: Target, value: number): Target {
  if (target.dtype === 'bf16' && !Object.is(value, 0)) throw new DTypeError(`fill: bf16 takes 0 alone, got ${value}`);
  const result = target.dtype === 'bf16' ? wordsOf(target, 'f32') : target;
  dispatch(fillKernel, {
    operands: { result },
    scalars: { count: result.size, value },
    workgroups: flatWorkgroups(result.size, elementwise.elementsPerGroup),
    flops: 0,
  });
  return target;
}

/** A dense bf16 tensor as the words that hold it, two numbers each. */
function wordsOf(target: KernelOperand, dtype: 'f32' | 'i32'): KernelOperand {
  const { device, storage, offset, origin } = target;
  const size = Math.ceil(target.size / 2);
  const assertUsable = (operation: string) => target.assertUsable(operation);
  return { device, storage, dtype, shape: [size], strides: [1], offset: offset / 2, size, origin, assertUsable };
}

/**
 * Copies `source` into the part of the dense tensor `target` that starts at `offset` and is walked with `strides`
 * (both in elements; the part has the shape of `source`). Floats of different dtypes are converted. What is stored in bf16 is
 * written whole.
 *
 * @throws DTypeError for a part of a bf16 tensor.
 */
export function copyInto(source: KernelOperand, target: KernelOperand, strides: Strides, offset = 0): void {
  if (target.dtype === 'bf16' && !(offset === 0 && source.size === target.size && isRowMajor(source.shape, strides))) {
    throw new DTypeError(
      `copy: a part of ${formatShape(target.shape)} in bf16 cannot be written (allowed: the whole; cast(x, 'f32') first)`,
    );
  }
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
  const sourceWalk = { sourceStride0: s0, sourceStride1: s1, sourceStride2: s2, sourceStride3: s3 };
  const sizes = { count, size1: inner[1], size2: inner[2], size3: inner[3] };
  if (target.dtype === 'bf16') {
    const result = wordsOf(target, 'i32');
    dispatch(roundingCopy, {
      operands: { source, result },
      scalars: { ...sizes, ...sourceWalk, sourceOffset: source.offset },
      workgroups: flatWorkgroups(result.size, workgroupSize),
      flops: 0,
    });
    return;
  }
  const converts = source.dtype === 'bf16' || source.dtype === 'f16' || target.dtype === 'f16';
  const copies = converts ? convertingCopy : stridedCopy;

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
        ...sizes,
        ...sourceWalk,
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
