/** Sums, products, maxima and minima over axes, without a gradient. */
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { flatWorkgroups, kernel, type SimdCall } from '../../../tensor/kernel.ts';
import { type Shape, sizeOf } from '../../../tensor/shape.ts';
import { allocate, copy, dense, type Tensor } from '../../../tensor/tensor.ts';
import { isNaNFunction } from '../not-a-number.ts';

export type Reduction = 'sum' | 'product' | 'maximum' | 'minimum';

interface Combination {
  start: number;
  combine(a: number, b: number): number;
  wgsl: { start: string; combine: string };
  /** The same over i32. */
  integers: { start: number; combine(a: number, b: number): number; wgsl: string };
}

const [smallest, largest] = [-(2 ** 31), 2 ** 31 - 1];

/** NaN wins every comparison. */
const combinations: Readonly<Record<Reduction, Combination>> = {
  sum: {
    start: 0,
    combine: (a, b) => a + b,
    wgsl: { start: '0.0', combine: 'a + b' },
    integers: { start: 0, combine: (a, b) => (a + b) | 0, wgsl: 'a + b' },
  },
  product: {
    start: 1,
    combine: (a, b) => a * b,
    wgsl: { start: '1.0', combine: 'a * b' },
    integers: { start: 1, combine: Math.imul, wgsl: 'a * b' },
  },
  maximum: {
    start: Number.NEGATIVE_INFINITY,
    combine: (a, b) => (b > a || Number.isNaN(b) ? b : a),
    wgsl: { start: infinity('0xff800000u'), combine: 'select(a, b, isNaN(b) || (b > a && !isNaN(a)))' },
    integers: { start: smallest, combine: Math.max, wgsl: 'max(a, b)' },
  },
  minimum: {
    start: Number.POSITIVE_INFINITY,
    combine: (a, b) => (b < a || Number.isNaN(b) ? b : a),
    wgsl: { start: infinity('0x7f800000u'), combine: 'select(a, b, isNaN(b) || (b < a && !isNaN(a)))' },
    integers: { start: largest, combine: Math.min, wgsl: 'min(a, b)' },
  },
};

/** WGSL refuses an infinity that it can compute beforehand; that there is a chunk, it does not know. */
function infinity(bits: string): string {
  return `bitcast<f32>(select(${bits}, 0u, scalars.chunks == 0u))`;
}

type ReduceCall = SimdCall<'source' | 'result', 'outer' | 'length' | 'inner' | 'chunks'>;

/** What one thread reads at a time. */
const elementsOfPart = 16384;

function alongRows(reduction: Reduction, call: ReduceCall): boolean {
  const { outer, length, chunks } = call.scalars;
  const resultsOfPart = Math.max(1, Math.floor((elementsOfPart * chunks) / Math.max(1, length)));
  const parts = Math.ceil((outer * chunks) / resultsOfPart);
  return call.run(`${reduction}Rows`, { resultsOfPart }, { parts, scratchBytes: 0 });
}

function alongColumns(reduction: Reduction, call: ReduceCall): boolean {
  const { outer, inner, chunks } = call.scalars;
  const columnsOfPart = Math.min(inner, 1024);
  const partsOfChunk = Math.ceil(inner / columnsOfPart);
  const shared = { parts: outer * chunks * partsOfChunk, scratchBytes: 8 * columnsOfPart };
  return call.run(`${reduction}Columns`, { columnsOfPart, partsOfChunk }, shared);
}

type Layout = 'rows' | 'columns';
type Numbers = 'floats' | 'integers';

function functionsOf(reduction: Reduction, numbers: Numbers): string {
  const { wgsl, integers } = combinations[reduction];
  if (numbers === 'floats') {
    return `${isNaNFunction}
alias Source = Element0;
alias Value = f32;
fn start() -> f32 { return ${wgsl.start}; }
fn combine(a: f32, b: f32) -> f32 { return ${wgsl.combine}; }
fn scaled(value: f32) -> f32 { return value * scalars.scale; }
`;
  }
  return `
alias Source = i32;
alias Value = i32;
fn start() -> i32 { return ${integers.start}; }
fn combine(a: i32, b: i32) -> i32 { return ${integers.wgsl}; }
fn scaled(value: i32) -> i32 { return value; }
`;
}

function reduceKernel(reduction: Reduction, layout: Layout, numbers: Numbers) {
  const isOnIntegers = numbers === 'integers';
  const { start, combine } = isOnIntegers ? combinations[reduction].integers : combinations[reduction];
  return kernel({
    name: `${reduction}-${layout}${isOnIntegers ? '-integers' : ''}`,
    operands: { source: 'read', result: 'write' },
    scalars: { outer: 'u32', length: 'u32', inner: 'u32', chunks: 'u32', scale: 'f32' },
    wgsl: { file: `reduce_${layout}`, functions: functionsOf(reduction, numbers) },
    reference({ source, result }, { outer, length, inner, chunks, scale }) {
      const chunk = Math.ceil(length / chunks);
      for (let i = 0; i < outer; i++) {
        for (let c = 0; c < chunks; c++) {
          for (let j = 0; j < inner; j++) {
            let value = start;
            const end = Math.min(length, (c + 1) * chunk);
            for (let k = c * chunk; k < end; k++) value = combine(value, source[(i * length + k) * inner + j]);
            result[(i * chunks + c) * inner + j] = value * scale;
          }
        }
      }
    },
    simd(call) {
      if (isOnIntegers || (reduction !== 'sum' && reduction !== 'maximum')) return false;
      return layout === 'rows' ? alongRows(reduction, call) : alongColumns(reduction, call);
    },
  });
}

function reduceKernels(reduction: Reduction) {
  const both = (layout: Layout) => ({
    floats: reduceKernel(reduction, layout, 'floats'),
    integers: reduceKernel(reduction, layout, 'integers'),
  });
  return { rows: both('rows'), columns: both('columns') };
}

const kernels = {
  sum: reduceKernels('sum'),
  product: reduceKernels('product'),
  maximum: reduceKernels('maximum'),
  minimum: reduceKernels('minimum'),
} satisfies Record<Reduction, unknown>;

/** Reductions with fewer results than this are cut in chunks, so that enough threads have work. */
const enoughResults = 4096;
const chunkLength = 64;
/**
 * What one thread adds up in sequence loses a bit for every doubling. Columns longer than `longColumn` go in passes of `shortChunk`, which
 * is as exact as adding in pairs.
 */
const longColumn = 4 * chunkLength;
const shortChunk = 16;
/** A row is shared by 64 threads, and their results are added in pairs. */
const longRow = 64 * longColumn;

/**
 * Reduces `axes` (ascending, from the front) to extent 1; the rank stays. Neighbouring axes go in one pass. Results are
 * multiplied by `scale`, but for integers. f16 is reduced to f32: a sum soon leaves what f16 can hold.
 */
export function reduceAxes(reduction: Reduction, x: Tensor, axes: readonly number[], scale = 1): Tensor {
  if (axes.length === 0 && x.dtype === 'f16') return copy(x, reduction, 'f32');
  let current = dense(x);
  const shape = [...x.shape];
  for (let last = axes.length - 1; last >= 0; ) {
    let first = last;
    while (first > 0 && axes[first - 1] === axes[first] - 1) first--;
    const outer = sizeOf(shape.slice(0, axes[first]));
    const length = sizeOf(shape.slice(axes[first], axes[last] + 1));
    const inner = sizeOf(shape.slice(axes[last] + 1));
    for (let i = first; i <= last; i++) shape[axes[i]] = 1;
    current = reduceMiddle(reduction, current, [outer, length, inner], shape, first === 0 ? scale : 1);
    last = first - 1;
  }
  return current;
}

/** (outer, length, inner) → (outer, inner), which is given the shape `shape`. */
function reduceMiddle(
  reduction: Reduction,
  x: Tensor,
  [outer, length, inner]: readonly [number, number, number],
  shape: Shape,
  scale: number,
): Tensor {
  const layout = inner === 1 ? 'rows' : 'columns';
  const run = (source: Tensor, from: number, chunks: number, target: Shape, factor: number): Tensor => {
    const result = allocate(x.device, computeDType(x.dtype), target, reduction);
    const count = outer * chunks * inner;
    dispatch(kernels[reduction][layout][x.dtype === 'i32' ? 'integers' : 'floats'], {
      operands: { source, result },
      scalars: { outer, length: from, inner, chunks, scale: factor },
      workgroups: flatWorkgroups(count, layout === 'rows' ? 1 : 64),
      flops: outer * from * inner,
    });
    return result;
  };
  let current = x;
  let left = length;
  const cut = (longest: number) => {
    const chunks = Math.ceil(left / longest);
    current = run(current, left, chunks, [outer, chunks, inner], 1);
    left = chunks;
  };
  const sparse = outer * inner < enoughResults && length > 4 * chunkLength;
  if (layout === 'columns' && length > (sparse ? chunkLength ** 2 : longColumn)) {
    while (left > 2 * shortChunk) cut(shortChunk);
  } else if (sparse || length > longRow) {
    cut(Math.max(chunkLength, Math.ceil(Math.sqrt(length))));
  }
  return run(current, left, 1, [...shape], scale);
}

/** Sums `gradient` over the axes along which an operand of `shape` was stretched to its shape. */
export function sumToShape(gradient: Tensor, shape: Shape): Tensor {
  const added = gradient.rank - shape.length;
  const axes = gradient.shape.flatMap((extent, axis) =>
    axis < added || (shape[axis - added] === 1 && extent !== 1) ? [axis] : [],
  );
  if (axes.length === 0) return gradient;
  return reduceAxes('sum', gradient, axes).view({ shape }, 'sum');
}
