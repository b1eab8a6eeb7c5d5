import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import {
  ArgumentError,
  Dropout,
  dropout,
  gradcheck,
  Random,
  snapshotWork,
  step,
  workSince,
} from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { random } from '../../shapes.ts';
import { expectAgreement, leaf } from './agreement.ts';

afterEach(releaseMade);

const rates = fc.constantFrom(0.1, 0.5, 0.9, 1 - 2 ** -32, 1 - 2 ** -40);
const shapes = fc.constantFrom([1], [3], [4], [5, 7], [513], [2, 3, 1025]);

test('gradients in float64', async () => {
  for (const seed of [1, 2]) {
    await gradcheck((x) => dropout(x, 0.4, seed), [random([3, 5], { seed, device: cpu, dtype: 'f64' })]);
  }
});

onEachDevice((device) => {
  test('elements are dropped at the rate, and the others scaled such that the mean stays', async () => {
    await step(async () => {
      for (const rate of [0.1, 0.5, 0.8]) {
        const ones = random([20_000], { seed: 1, device, draw: () => 1 });
        const values = Array.from(await dropout(ones, rate, 9).data());
        const kept = values.filter((value) => value !== 0);
        expect(kept.length / values.length).toBeCloseTo(1 - rate, 1);
        expect(new Set(kept)).toEqual(new Set([Math.fround(1 / (1 - rate))]));
      }
    });
  });

  test('at a rate so near to 1 that no word of 32 bits lies above it, everything is dropped', async () => {
    for (const rate of [1 - 1e-11, 1 - 2 ** -32, 1 - Number.EPSILON / 2]) {
      await step(async () => {
        const kept = await dropout(random([5000], { seed: 1, device, draw: () => 1 }), rate, 3).data();
        expect(kept.every((value) => value === 0)).toBe(true);
      });
    }
  });

  test('the mask is a function of the seed, and neighbours are independent', async () => {
    await step(async () => {
      const ones = random([4096], { seed: 1, device, draw: () => 1 });
      const mask = async (seed: number) => Array.from(await dropout(ones, 0.5, seed).data());
      const [first, again, other] = [await mask(1), await mask(1), await mask(2)];
      expect(again).toEqual(first);
      expect(first.filter((value, i) => value === other[i]).length / 4096).toBeCloseTo(0.5, 1);
      const pairs = first.slice(1).filter((value, i) => value === first[i]).length;
      expect(pairs / 4095).toBeCloseTo(0.5, 1);
    });
  });

  test('at rate 0, and in evaluation, it is its input, and nothing is dispatched', async () => {
    await step(() => {
      const x = random([6], { seed: 1, device });
      const before = snapshotWork(device);
      expect(dropout(x, 0, 1)).toBe(x);
      const layer = new Dropout(0.5, new Random(1)).eval();
      expect(layer.forward(x)).toBe(x);
      expect(workSince(device, before).totalDispatches).toBe(0);
    });
  });

  test('each call of the layer drops others, and the same again from the same source', async () => {
    await step(async () => {
      const ones = random([500], { seed: 1, device, draw: () => 1 });
      const [a, b] = [new Dropout(0.5, new Random(1)), new Dropout(0.5, new Random(1))];
      const values = async (layer: Dropout) => Array.from(await layer.call(ones).data());
      const [first, second] = [await values(a), await values(a)];
      expect(second).not.toEqual(first);
      expect([await values(b), await values(b)]).toEqual([first, second]);
    });
  });
});

onEachDevice((faster) => {
  test('the kernel drops the very elements that the loop drops', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, rates, fc.nat(2 ** 31), (shape, rate, seed) =>
        expectAgreement(
          faster,
          (device) => {
            const x = leaf([...shape].reverse(), { seed: 3, device });
            // A transposed view of two axes and more is not dense.
            const view = shape.length > 1 ? x.permute(shape.map((_, i) => shape.length - 1 - i)) : x;
            return { output: dropout(view, rate, seed), leaves: [x] };
          },
          { absolute: 1e-6, relative: 1e-6 },
        ),
      ),
      { numRuns: 25, seed: 21 },
    );
  });
});

test.each([
  [-0.1, 1, /rate -0.1/],
  [1, 1, /rate 1/],
  [Number.NaN, 1, /rate NaN/],
  [0.5, -1, /seed -1/],
  [0.5, 0.5, /seed 0.5/],
  [0.5, 2 ** 32, /seed 4294967296/],
])('rate %f and seed %f are refused by name', async (rate, seed, message) => {
  await step(() => {
    const x = random([2], { seed: 1, device: cpu });
    expect(() => dropout(x, rate, seed)).toThrow(ArgumentError);
    expect(() => dropout(x, rate, seed)).toThrow(message);
  });
  if (seed === 1) expect(() => new Dropout(rate, new Random(1))).toThrow(message);
});
