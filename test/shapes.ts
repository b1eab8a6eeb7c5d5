/** Random shapes, layouts and numbers for property tests, and the comparison of tensors. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { permute, slice } from '../src/autograd/operations/views.ts';
import { tensor } from '../src/tensor/create.ts';
import type { Device } from '../src/tensor/device.ts';
import type { DType } from '../src/tensor/dtype.ts';
import { Random } from '../src/tensor/random.ts';
import { type Shape, sizeOf } from '../src/tensor/shape.ts';
import type { Tensor } from '../src/tensor/tensor.ts';

/** Bounded and repeatable: a failure prints the seed and the shrunk case, and the next run meets it again. */
export function runs(numRuns: number): { numRuns: number; seed: number } {
  return { numRuns, seed: 20_260_917 };
}

/** Extents that divide nothing, and 1. */
export const extents: fc.Arbitrary<number> = fc.constantFrom(1, 2, 3, 5, 7);

export function shapes(options: { maxRank?: number; minRank?: number } = {}): fc.Arbitrary<number[]> {
  return fc.array(extents, { minLength: options.minRank ?? 0, maxLength: options.maxRank ?? 3 });
}

/** Shapes that broadcast to one: axes set to 1, and leading axes left out. */
export function broadcastShapes(count: number): fc.Arbitrary<number[][]> {
  return shapes().chain((shape) => {
    const one = fc
      .tuple(fc.nat({ max: shape.length }), fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }))
      .map(([dropped, stretched]) => shape.map((extent, axis) => (stretched[axis] ? 1 : extent)).slice(dropped));
    return fc.array(one, { minLength: count, maxLength: count });
  });
}

export const layouts = ['dense', 'permuted', 'sliced'] as const;
export type Layout = (typeof layouts)[number];
export const layout: fc.Arbitrary<Layout> = fc.constantFrom(...layouts);

/** Shape of the tensor that `inLayout` turns into a view of `shape`. */
export function baseShape(shape: Shape, layout: Layout): Shape {
  if (layout === 'permuted') return shape.toReversed();
  return layout === 'sliced' ? shape.map((extent) => extent + 2) : shape;
}

/** A view of `base` with the shape that `baseShape` was asked about. */
export function inLayout(base: Tensor, layout: Layout): Tensor {
  if (layout === 'permuted') return permute(base, base.shape.map((_, axis) => axis).toReversed());
  if (layout === 'dense' || base.rank === 0) return base;
  return slice(
    base,
    base.shape.map(() => 1),
    base.shape.map(() => -1),
  );
}

/** Fills a tensor with `draw`; the same seed gives the same numbers on every device, rounded to its dtype. */
export function random(
  shape: Shape,
  options: { seed: number; device: Device; dtype?: DType; draw?: (random: Random) => number },
): Tensor {
  const { seed, device, dtype = 'f32', draw = (source) => 2 * source.uniform() - 1 } = options;
  const source = new Random(seed);
  const values = Float64Array.from({ length: sizeOf(shape) }, () => draw(source));
  return tensor(values, { device, dtype, shape });
}

/** Every element within `absolute` + `relative` · |expected|; NaN and infinities agree exactly. */
export async function expectClose(
  actual: Tensor,
  expected: Tensor,
  { absolute = 1e-6, relative = 1e-5 }: { absolute?: number; relative?: number } = {},
): Promise<void> {
  expect(actual.shape).toEqual(expected.shape);
  const [a, e] = [await actual.data(), await expected.data()];
  for (let i = 0; i < e.length; i++) {
    if (Object.is(a[i], e[i]) || Math.abs(a[i] - e[i]) <= absolute + relative * Math.abs(e[i])) continue;
    expect.fail(`element ${i} of [${expected.shape.join(', ')}]: ${a[i]} instead of ${e[i]}`);
  }
}
