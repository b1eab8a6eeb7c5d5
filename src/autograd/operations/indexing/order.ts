/** The order of elements along an axis: the first, the first few, all. */
import { dispatch } from '../../../tensor/dispatch.ts';
import type { NumericArray } from '../../../tensor/dtype.ts';
import { ArgumentError } from '../../../tensor/errors.ts';
import { kernel } from '../../../tensor/kernel.ts';
import { checkOptions } from '../../../tensor/options.ts';
import { formatShape } from '../../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../../tensor/tensor.ts';
import { beginNumbers } from '../../record.ts';
import { slice } from '../views.ts';
import { alongAxis, rowThreads } from './along-axis.ts';
import { gather } from './gather.ts';

const scalars = { outer: 'u32', length: 'u32', inner: 'u32', descending: 'u32' } as const;

/** Below 0 where a comes before b: NaN is larger than every number. */
function ascending(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : Number(a > b);
}

/** A rank and so many bits of a position make a whole number, exactly: engines sort these many times as fast as by a function. */
const positionBits = 21;

/** The positions of a row in the order of what it holds; equal ones in theirs. */
function positionsInOrder(row: NumericArray, descending: number): ArrayLike<number> {
  if (row instanceof Float64Array || row.length > 2 ** positionBits) {
    const direction = descending ? -1 : 1;
    return [...row.keys()].sort((a, b) => direction * ascending(row[a], row[b]));
  }
  const rankOf = row instanceof Int32Array ? rankOfInteger : rankOfFloat;
  const bits = new Uint32Array(row.buffer);
  const keys = new Float64Array(row.length);
  for (let k = 0; k < keys.length; k++) {
    const rank = rankOf(bits[k]) >>> 0;
    keys[k] = (descending ? 0xffffffff - rank : rank) * 2 ** positionBits + k;
  }
  keys.sort();
  for (let k = 0; k < keys.length; k++) keys[k] %= 2 ** positionBits;
  return keys;
}

/** From the bits of an f32 or i32 to 32 bits in the order of the numbers, as in the WGSL below. */
function rankOfFloat(bits: number): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0xffffffff;
  return bits > 0x80000000 ? ~bits : magnitude | 0x80000000;
}

function rankOfInteger(bits: number): number {
  return bits ^ 0x80000000;
}

/** Of floats: -0 is 0, and NaN is told by its bits. */
const floatForm = `
alias Value = Element0;
fn orderOf(value: Value, nan: u32) -> u32 {
  let bits = bitcast<u32>(f32(value));
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return nan; }
  return select(magnitude | 0x80000000u, ~bits, bits > 0x80000000u);
}
`;
const integerForm = `
alias Value = i32;
fn orderOf(value: Value, nan: u32) -> u32 { return bitcast<u32>(value) ^ 0x80000000u; }
`;

const extremeKernel = kernel({
  name: 'extreme-index',
  operands: { x: 'read', index: 'write' },
  scalars,
  wgsl: { file: 'order', entry: 'extremeIndex', functions: floatForm },
  reference({ x, index }, { outer, length, inner, descending }) {
    for (let row = 0; row < outer * inner; row++) {
      const start = Math.floor(row / inner) * length * inner + (row % inner);
      let [best, found] = [x[start], 0];
      for (let k = 1; k < length && !Number.isNaN(best); k++) {
        const value = x[start + k * inner];
        if (!(Number.isNaN(value) || (descending ? value > best : value < best))) continue;
        [best, found] = [value, k];
      }
      index[row] = found;
    }
  },
});

const sortKernel = kernel({
  name: 'sort',
  operands: { x: 'read', order: 'update', scratch: 'update' },
  scalars,
  wgsl: { file: 'order', entry: 'sort', functions: floatForm },
  reference({ x, order }, { outer, length, inner, descending }) {
    for (let row = 0; row < outer * inner; row++) {
      const start = Math.floor(row / inner) * length * inner + (row % inner);
      const values = x.slice(0, length);
      for (let k = 0; k < length; k++) values[k] = x[start + k * inner];
      const positions = positionsInOrder(values, descending);
      for (let k = 0; k < length; k++) order[start + k * inner] = positions[k];
    }
  },
});

const ofIntegers = (entry: 'extremeIndex' | 'sort') => ({ file: 'order', entry, functions: integerForm });
const extremeIntegers = kernel({ ...extremeKernel, name: 'extreme-index-integers', wgsl: ofIntegers('extremeIndex') });
const sortIntegers = kernel({ ...sortKernel, name: 'sort-integers', wgsl: ofIntegers('sort') });

export interface ExtremeIndexOptions {
  /** The axis along which is searched; by default all elements are, in row-major order. */
  axis?: number;
  /** Keeps the axis with extent 1. */
  keepDims?: boolean;
}

/**
 * The position of the largest x along an axis, i32: the first of several. NaN counts as the largest. No gradient.
 *
 * @throws ArgumentError where there is no element.
 */
export function argmax(x: Tensor, options: ExtremeIndexOptions = {}): Tensor {
  return extremeIndex('argmax', x, options, 1);
}

/**
 * The position of the smallest x along an axis, i32: the first of several. NaN counts as the smallest. No gradient.
 *
 * @throws ArgumentError where there is no element.
 */
export function argmin(x: Tensor, options: ExtremeIndexOptions = {}): Tensor {
  return extremeIndex('argmin', x, options, 0);
}

function extremeIndex(operation: string, x: Tensor, options: ExtremeIndexOptions, descending: 0 | 1): Tensor {
  beginNumbers(operation, x);
  checkOptions(operation, options, ['axis', 'keepDims']);
  const { axis, keepDims = false } = options;
  const source = axis === undefined ? dense(x).view({ shape: [x.size] }, operation) : dense(x);
  const along = alongAxis(operation, source, axis ?? 0);
  if (along.length === 0) {
    throw new ArgumentError(`${operation}: shape ${formatShape(x.shape)} has no element along the axis`);
  }
  const kept = x.shape.map((extent, i) => (axis === undefined || i === along.axis ? 1 : extent));
  const left = axis === undefined ? [] : x.shape.toSpliced(along.axis, 1);
  const index = allocate(x.device, 'i32', keepDims ? kept : left, operation);
  const { outer, length, inner } = along;
  dispatch(x.dtype === 'i32' ? extremeIntegers : extremeKernel, {
    operands: { x: source, index },
    scalars: { outer, length, inner, descending },
    workgroups: rowThreads(along),
    flops: 0,
  });
  return index;
}

export interface SortOptions {
  /** The axis along which is sorted; the last by default. */
  axis?: number;
  /** From the largest to the smallest; false by default. */
  descending?: boolean;
}

/** Elements in order, and the positions (i32) they came from. */
export interface Sorted {
  readonly values: Tensor;
  readonly indices: Tensor;
}

/** x in order along an axis. Equal elements keep their order; NaN counts as larger than every number. The gradient goes back to where a value came from. */
export function sort(x: Tensor, options: SortOptions = {}): Sorted {
  beginNumbers('sort', x);
  checkOptions('sort', options, ['axis', 'descending']);
  const { axis = -1, descending = false } = options;
  const along = alongAxis('sort', x, axis);
  const { outer, length, inner } = along;
  const [order, scratch] = ['sort', 'sort-scratch'].map((name) => allocate(x.device, 'i32', x.shape, name));
  dispatch(x.dtype === 'i32' ? sortIntegers : sortKernel, {
    operands: { x: dense(x), order, scratch },
    scalars: { outer, length, inner, descending: descending ? 1 : 0 },
    workgroups: rowThreads(along),
    flops: 0,
  });
  return { values: gather(x, along.axis, order), indices: order };
}

export interface TopkOptions {
  /** The axis along which is searched; the last by default. */
  axis?: number;
  /** The k largest, from the largest down (the default), or the k smallest, from the smallest up. */
  largest?: boolean;
}

/**
 * The k largest (or smallest) elements along an axis, in order, and their positions; ties and NaN as in `sort`.
 *
 * @throws ArgumentError where k is no whole number from 0 to the extent of the axis.
 */
export function topk(x: Tensor, k: number, options: TopkOptions = {}): Sorted {
  beginNumbers('topk', x);
  checkOptions('topk', options, ['axis', 'largest']);
  const { axis = -1, largest = true } = options;
  const along = alongAxis('topk', x, axis);
  if (!Number.isInteger(k) || k < 0 || k > along.length) {
    throw new ArgumentError(
      `topk: k is ${k} (allowed: a whole number from 0 to ${along.length}, the extent of the axis)`,
    );
  }
  const { indices } = sort(x, { axis, descending: largest });
  const starts = x.shape.map(() => 0);
  const first = slice(indices, starts, x.shape.with(along.axis, k));
  return { values: gather(x, along.axis, first), indices: first };
}
