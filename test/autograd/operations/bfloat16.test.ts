/** Weights stored in bf16: what reads them computes, bit for bit, what it computes from the same numbers in f32. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  backward,
  cast,
  concatenate,
  type Device,
  DTypeError,
  embedding,
  flip,
  full,
  linearCrossEntropy,
  matmul,
  pad,
  requireGradient,
  reshape,
  slice,
  step,
  sum,
  type Tensor,
  tensor,
  transpose,
  zeros,
} from '../../../src/index.ts';
import { roundToBFloat16, widenBFloat16 } from '../../../src/tensor/bfloat16.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { platform } from '../../../src/tensor/platform/platform.ts';
import type { Shape } from '../../../src/tensor/shape.ts';
import { cpu, onEachDevice, reference } from '../../devices.ts';
import { baseShape, inLayout, layout, random, runs, shapes } from '../../shapes.ts';

/** bf16 numbers, and the same in f32. */
function both(shape: Shape, seed: number, device: Device): [Tensor, Tensor] {
  const narrow = cast(random(shape, { seed, device }), 'bf16');
  return [narrow, cast(narrow, 'f32')];
}

async function expectSame(actual: Tensor, expected: Tensor): Promise<void> {
  expect(actual.dtype).toBe('f32');
  expect(actual.shape).toEqual(expected.shape);
  expect(await actual.data()).toEqual(await expected.data());
}

const kinds = ['dense', 'transposed', 'sliced'] as const;
type Kind = (typeof kinds)[number];

/** Products of one matrix and of batches, with the weight as it is, transposed and sliced; past the tiles and the blocks of k. */
const products: fc.Arbitrary<Product> = fc.record({
  m: fc.constantFrom(1, 3, 8, 9, 65),
  k: fc.constantFrom(1, 4, 5, 36, 64, 400),
  n: fc.constantFrom(1, 4, 17, 32, 130),
  batch: fc.constantFrom<[Shape, Shape]>([[], []], [[2], []], [[2], [2]]),
  kind: fc.constantFrom(...kinds),
  seed: fc.nat({ max: 1000 }),
});

interface Product {
  m: number;
  k: number;
  n: number;
  batch: [Shape, Shape];
  kind: Kind;
  seed: number;
}

function multiplies(device: Device, { m, k, n, batch: [left, right], kind, seed }: Product): Promise<void> {
  return step(async () => {
    const stored = kind === 'transposed' ? [n, k] : kind === 'sliced' ? [k + 1, n + 4] : [k, n];
    const asB = (whole: Tensor) => {
      if (kind === 'transposed') return transpose(whole);
      return kind === 'sliced' ? slice(whole, [...right.map(() => 0), 1, 4]) : whole;
    };
    const [actual, expected] = both([...right, ...stored], seed, device).map((weight) => {
      const a = requireGradient(random([...left, m, k], { seed: seed + 1, device }));
      const bias = random([n], { seed: seed + 2, device });
      const result = matmul(a, asB(weight), bias, { activation: 'relu' });
      backward(result, random(result.shape, { seed: seed + 3, device }));
      if (!a.gradient) expect.fail('no gradient');
      return { result, gradient: a.gradient };
    });
    await expectSame(actual.result, expected.result);
    await expectSame(actual.gradient, expected.gradient);
  });
}

describe('what reads bf16 computes what it computes from f32, bit for bit', () => {
  onEachDevice((device) => {
    test('products, as the right operand, and the gradient of the left one', async () => {
      await fc.assert(
        fc.asyncProperty(products, (each) => multiplies(device, each)),
        runs(30),
      );
    });

    test('logits of a tied head and their loss, and the gradient of what comes in', async () => {
      await step(async () => {
        const targets = tensor(Int32Array.of(3, 0, 30), { device });
        const [actual, expected] = both([33, 8], 4, device).map((weight) => {
          const x = requireGradient(random([3, 8], { seed: 5, device }));
          const result = linearCrossEntropy(x, weight, targets, { isTransposed: true });
          result.backward();
          if (!x.gradient) expect.fail('no gradient');
          return { result, gradient: x.gradient };
        });
        await expectSame(actual.result, expected.result);
        await expectSame(actual.gradient, expected.gradient);
      });
    });

    test('rows of a table', async () => {
      const sizes = fc.tuple(fc.constantFrom(1, 3, 7, 64), fc.constantFrom(1, 2, 5, 16, 33), fc.nat({ max: 1000 }));
      const property = fc.asyncProperty(sizes, ([count, width, seed]) =>
        step(async () => {
          const rows = tensor(
            Int32Array.from({ length: 9 }, (_, i) => (i * i + seed) % count),
            { device },
          );
          const [actual, expected] = both([count + 1, width], seed, device).map((table) =>
            embedding(rows, slice(table, [1])),
          );
          await expectSame(actual, expected);
        }),
      );
      await fc.assert(property, runs(15));
    });

    test('casts from views and into them', async () => {
      const cases = fc.tuple(shapes({ maxRank: 5 }), layout, fc.nat({ max: 1000 }));
      const property = fc.asyncProperty(cases, ([shape, kind, seed]) =>
        step(async () => {
          const x = inLayout(random(baseShape(shape, kind), { seed, device }), kind);
          const narrow = cast(x, 'bf16');
          const values = Float32Array.from(await x.data());
          expect(await narrow.data()).toEqual(widenBFloat16(roundToBFloat16(values)));
          const view = inLayout(cast(random(baseShape(shape, kind), { seed, device }), 'bf16'), kind);
          await expectSame(cast(view, 'f32'), cast(narrow, 'f32'));
          expect(await view.data()).toEqual(await narrow.data());
        }),
      );
      await fc.assert(property, runs(40));
    });

    test('what rounds beyond the largest bf16 becomes infinite, as in PyTorch', async () => {
      await step(async () => {
        const largest = 3.3895313892515355e38;
        const given = [largest, 3.39e38, 3.3961775e38, 3.4e38, -3.39e38, -3.4e38];
        const kept = [largest, largest, Infinity, Infinity, -largest, -Infinity];
        expect(await cast(tensor(given, { device }), 'bf16').toArray()).toEqual(kept);
        expect(await tensor(given, { device, dtype: 'bf16' }).toArray()).toEqual(kept);
        expect(await full([1], 3.4e38, { device, dtype: 'bf16' }).toArray()).toEqual([Infinity]);
        const integers = tensor([2 ** 31 - 1, -(2 ** 31), 65_519], { device, dtype: 'i32' });
        expect(await cast(integers, 'bf16').toArray()).toEqual([2 ** 31, -(2 ** 31), 65_536]);
      });
    });

    test('rounding is to the nearest, ties to even; NaN and infinities stay', async () => {
      await step(async () => {
        const near = 1 + 2 ** -7;
        const given = [1 + 2 ** -9, 1 + 2 ** -8, near + 2 ** -8, near, -0, 3.4e38, Infinity, -Infinity, NaN, 2 ** -130];
        const x = tensor(given, { device, dtype: 'bf16' });
        expect(x.byteLength).toBe(2 * given.length);
        const kept = [1, 1, 1 + 2 ** -6, near, -0, Infinity, Infinity, -Infinity, NaN, 2 ** -130];
        expect(await x.toArray()).toEqual(kept);
        expect(cast(x, 'bf16')).toBe(x);
        // A NaN whose low bits alone say so.
        const bits = new Float32Array(Uint32Array.of(0x7f800001).buffer);
        expect(await cast(tensor(bits, { device }), 'bf16').item()).toBeNaN();
        expect(await zeros([3], { device, dtype: 'bf16' }).toArray()).toEqual([0, 0, 0]);
        expect(await full([3], 1.5, { device, dtype: 'bf16' }).toArray()).toEqual([1.5, 1.5, 1.5]);
        expect(await (await x.to(cpu)).toArray()).toEqual(kept);
      });
    });

    test('the gradient passes a rounding as it is', async () => {
      await step(async () => {
        const x = requireGradient(random([3, 4], { seed: 1, device }));
        matmul(random([2, 3], { seed: 2, device }), cast(x, 'bf16'))
          .sum()
          .backward();
        const w = requireGradient(random([3, 4], { seed: 1, device }));
        matmul(random([2, 3], { seed: 2, device }), w)
          .sum()
          .backward();
        expect(await x.gradient?.data()).toEqual(await w.gradient?.data());
      });
    });

    test('every other operation says what to do', async () => {
      await step(() => {
        const [x] = both([4, 4], 1, device);
        const y = zeros([4, 4], { device });
        const others = [
          () => add(x, y),
          () => sum(x),
          () => matmul(x, y),
          () => matmul(y, y, slice(reshape(x, [16]), [0], [4])),
          () => concatenate([x, x]),
          () => flip(x, 0),
          () =>
            pad(x, [
              [1, 0],
              [0, 0],
            ]),
        ];
        for (const each of others) {
          expect(each).toThrow(DTypeError);
          expect(each).toThrow(/stored in bf16.*cast\(x, 'f32'\)/);
        }
        expect(() => requireGradient(x)).toThrow(/requireGradient: bf16 is too coarse.*cast\(x, 'f32'\)/);
        expect(() => matmul(zeros([4, 4], { device: cpu, dtype: 'f64' }), x)).toThrow();
      });
    });
  });

  test.each([...platform.preferredForms])('on the cpu in the form %s, on one thread and on two', async (form) => {
    const large = { m: 70, k: 500, n: 200, batch: [[], []] satisfies [Shape, Shape], seed: 3 };
    for (const threads of [1, 2]) {
      const device = new CpuDevice({ form, threads });
      for (const kind of kinds) await multiplies(device, { ...large, kind });
      await fc.assert(
        fc.asyncProperty(products, (each) => multiplies(device, each)),
        runs(10),
      );
    }
  });

  test('in the plain loops', async () => {
    await fc.assert(
      fc.asyncProperty(products, (each) => multiplies(reference, each)),
      runs(10),
    );
  });
});
