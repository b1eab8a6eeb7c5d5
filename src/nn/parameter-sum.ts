/** Sums over the elements of a parameter: the formula, and the kernel that computes it in the pass that measures a gradient. */
import { dispatch } from '../tensor/dispatch.ts';
import { getOrCreate } from '../tensor/get-or-create.ts';
import { byWidth, type Kernel } from '../tensor/kernel.ts';
import type { Tensor } from '../tensor/tensor.ts';

/**
 * Σ formula(x, y) over the elements of one parameter. The formula stands in two forms, like a row of the pointwise table;
 * what x and y are is said by `over`:
 *
 * - `gradient`: x = g, the gradient of this step; no y.
 * - `halves`: x = gA and y = gB, the gradients of the two halves of the batch, at the same weights; g = gA + gB.
 * - `gradient-before`: x = g, y = g of the step before, which is 0 before the first.
 * - `weights-before`: x = w after the update, y = w when it was last measured, or when watching began.
 */
export interface ParameterSum {
  readonly name: string;
  readonly over: 'gradient' | 'halves' | 'gradient-before' | 'weights-before';
  /** An expression in `x` and `y`, each an f32 or a vec4f. */
  readonly wgsl: string;
  reference(x: number, y: number): number;
  /** Its function in kernels/simd/optimizer.ts; without one the cpu device runs the plain loop. */
  readonly simd?: string;
}

/** Most workgroups over one array; each leaves one partial sum. */
export const maxGroups = 64;
const elementsPerGroup = 4096;
/** Elements that one thread of the cpu device sums; fixed, so that a sum does not depend on the number of threads. */
const elementsPerPart = 65536;
/** Numbers in a row of partial sums, and in a row of the report. */
export const rowWidth = 4;
/** Squares of gradients are also summed so much smaller, for gradients whose squares an f32 cannot hold; as in the kernels. */
export const shrink = 2 ** -80;

const operands = { gradient: 'update', companion: 'update', partials: 'update' } as const;
const scalars = {
  count: 'u32',
  row: 'u32',
  groups: 'u32',
  inHalves: 'u32',
  pairsHalves: 'u32',
  pairsCompanion: 'u32',
  storesCompanion: 'u32',
  isSumOnly: 'u32',
} as const;

type StatisticsKernel = Kernel<keyof typeof operands, keyof typeof scalars>;

function statisticsKernel(formula: ParameterSum | null): (count: number) => StatisticsKernel {
  const simd = formula ? formula.simd : 'gradientStatistics';
  return byWidth({
    name: formula ? `${formula.name}-statistics` : 'gradient-statistics',
    operands,
    scalars,
    overflows: ['partials'],
    wgsl: {
      file: 'gradient_statistics',
      constants: { MAX_GROUPS: `${maxGroups}u` },
      functions: `fn formula(x: Value, y: Value) -> Value { return ${formula?.wgsl ?? 'Value()'}; }\n`,
    },
    reference({ gradient, companion, partials }, s) {
      let [sum, squares, broken] = [0, 0, 0];
      for (let i = 0; i < s.count; i++) {
        const [first, second] = [gradient[i], s.inHalves === 1 ? gradient[i + s.count] : 0];
        if (s.inHalves === 1 && s.isSumOnly === 0) gradient[i] += second;
        // The sum of the halves is rounded as it is stored.
        const g = s.isSumOnly === 0 ? gradient[i] : first + second;
        if (formula && s.pairsHalves === 1) sum += formula.reference(first, second);
        else if (formula) sum += formula.reference(g, s.pairsCompanion === 1 ? companion[i] : 0);
        if (s.storesCompanion === 1) companion[i] = g;
        if (Number.isFinite(g)) squares += g * g;
        else broken++;
      }
      const start = rowWidth * maxGroups * s.row;
      partials.fill(0, start, start + rowWidth * maxGroups);
      partials.set(s.isSumOnly === 1 ? [sum, 0, 0, 0] : [sum, squares, broken, squares * shrink ** 2], start);
    },
    simd(call) {
      if (simd === undefined) return false;
      const { row, count } = call.scalars;
      const sums = call.address('partials') + 4 * rowWidth * maxGroups * row;
      call.fill(sums, 4 * rowWidth * maxGroups);
      const parts = Math.max(1, Math.min(maxGroups, Math.ceil(count / elementsPerPart)));
      const partLength = 4 * Math.ceil(count / (4 * parts));
      return call.run(simd, { sums, partLength }, { parts, scratchBytes: 0 });
    },
  });
}

const plainKernel = statisticsKernel(null);
/** One kernel for each formula, so that its pipeline is compiled once. */
const kernels = new WeakMap<ParameterSum, (count: number) => StatisticsKernel>();

/** One pass over one array. */
export interface Pass {
  /** A gradient of `count` elements, or its two halves, one after the other; or a parameter. */
  values: Tensor;
  count: number;
  inHalves: boolean;
  /** Null where only the squares and what is not finite are wanted. */
  formula: ParameterSum | null;
  /** y of the formula, where it is no half. */
  companion: Tensor | null;
  /** Whether x is written to the companion afterwards. */
  storesCompanion: boolean;
  /** Whether nothing but the formula's sum is wanted: halves then stay as they are. */
  isSumOnly: boolean;
  row: number;
  partials: Tensor;
  /** Bound where there is no companion. */
  nothing: Tensor;
}

/**
 * Leaves the partial sums of one array in row `row` of `partials`, (rows, groups, 4): (Σ formula, Σ g², how many g are NaN or
 * infinite, Σ (g · shrink)²). Halves are summed into the first of them on the way.
 */
export function measure({ values, count, inHalves, formula, companion, row, partials, nothing, ...pass }: Pass): void {
  const kernel = formula ? getOrCreate(kernels, formula, () => statisticsKernel(formula)) : plainKernel;
  const groups = Math.max(1, Math.min(maxGroups, Math.ceil(count / elementsPerGroup)));
  const flag = (isSet: boolean) => (isSet ? 1 : 0);
  dispatch(kernel(count), {
    operands: { gradient: values, companion: companion ?? nothing, partials },
    scalars: {
      count,
      row,
      groups,
      inHalves: flag(inHalves),
      pairsHalves: flag(formula?.over === 'halves'),
      pairsCompanion: flag(companion !== null && formula !== null),
      storesCompanion: flag(pass.storesCompanion),
      isSumOnly: flag(pass.isSumOnly),
    },
    workgroups: [groups, 1, 1],
    // The sum of the halves; square, sum and test of each element; formula and its sum.
    flops: ((inHalves ? 1 : 0) + (pass.isSumOnly ? 0 : 3) + (formula ? 2 : 0)) * count,
  });
}
