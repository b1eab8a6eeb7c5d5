/** Sums and maxima over axes, without a gradient. */
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { flatWorkgroups, kernel, type SimdCall } from '../../../tensor/kernel.ts';
import { type Shape, sizeOf } from '../../../tensor/shape.ts';
import { allocate, copy, dense, type Tensor } from '../../../tensor/tensor.ts';

export type Reduction = 'sum' | 'maximum';

interface Combination {
  start: number;
  combine(a: number, b: number): number;
  wgsl: { start: string; combine: string };
}

const combinations: Readonly<Record<Reduction, Combination>> = {
  sum: { start: 0, combine: (a, b) => a + b, wgsl: { start: '0.0', combine: 'a + b' } },
  maximum: {
    start: Number.NEGATIVE_INFINITY,
    combine: (a, b) => (b > a ? b : a),
    wgsl: { start: '-0x1.fffffep+127', combine: 'select(a, b, b > a)' },
  },
};

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

function reduceKernel(reduction: Reduction, layout: 'rows' | 'columns') {
  const { start, combine, wgsl } = combinations[reduction];
  return kernel({
    name: `${reduction}-${layout}`,
    operands: { source: 'read', result: 'write' },
    scalars: { outer: 'u32', length: 'u32', inner: 'u32', chunks: 'u32', scale: 'f32' },
    wgsl: {
      file: `reduce_${layout}`,
      functions: `const START = ${wgsl.start};\n` + `fn combine(a: f32, b: f32) -> f32 { return ${wgsl.combine}; }\n`,
    },
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
    simd: (call) => (layout === 'rows' ? alongRows(reduction, call) : alongColumns(reduction, call)),
  });
}

const kernels = {
  sum: { rows: reduceKernel('sum', 'rows'), columns: reduceKernel('sum', 'columns') },
  maximum: { rows: reduceKernel('maximum', 'rows'), columns: reduceKernel('maximum', 'columns') },
} satisfies Record<Reduction, unknown>;

/** Reductions with fewer results than this are cut in chunks, so that enough threads have work. */
const enoughResults = 4096;
const chunkLength = 64;

/**
 * Reduces `axes` (ascending, from the front) to extent 1; the rank stays. Neighbouring axes go in one pass. Results are
 * multiplied by `scale`. f16 is reduced to f32: a sum soon leaves what f16 can hold.
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
  const wantsChunks = outer * inner < enoughResults && length > 4 * chunkLength;
  const run = (source: Tensor, from: number, chunks: number, target: Shape, factor: number): Tensor => {
    const result = allocate(x.device, computeDType(x.dtype), target, reduction);
    const count = outer * chunks * inner;
    dispatch(kernels[reduction][layout], {
      operands: { source, result },
      scalars: { outer, length: from, inner, chunks, scale: factor },
      workgroups: flatWorkgroups(count, layout === 'rows' ? 1 : 64),
      flops: outer * from * inner,
    });
    return result;
  };
  if (!wantsChunks) return run(x, length, 1, [...shape], scale);
  const chunks = Math.ceil(length / Math.max(chunkLength, Math.ceil(Math.sqrt(length))));
  return run(run(x, length, chunks, [outer, chunks, inner], 1), chunks, 1, [...shape], scale);
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
