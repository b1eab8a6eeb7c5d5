import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { mul } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { rotary } from '../../../src/autograd/operations/rotary.ts';
import { slice } from '../../../src/autograd/operations/views.ts';
import { tensor } from '../../../src/tensor/create.ts';
import { ArgumentError, DTypeError, ShapeError } from '../../../src/tensor/errors.ts';
import { step } from '../../../src/tensor/scope.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { baseShape, expectClose, extents, inLayout, layout, random, runs } from '../../shapes.ts';
import { expectAgreement, leaf } from './agreement.ts';

const cases = fc.record({
  shape: fc.tuple(extents, fc.constantFrom(1, 3, 64, 65, 130), extents, fc.constantFrom(2, 6, 10, 16)),
  kind: layout,
  base: fc.constantFrom(10000, 500, 1),
  positionOffset: fc.constantFrom(0, 1, 63, 64, 777),
  size: fc.constantFrom(2, undefined),
  scaling: fc.constantFrom(null, { type: 'linear', factor: 2.5 } as const),
  seed: fc.nat({ max: 1000 }),
});

test('the gradient agrees with central differences in f64', async () => {
  const property = fc.asyncProperty(cases, async ({ shape: [batch, , heads, size], kind, seed, ...options }) => {
    const x = random(baseShape([batch, 3, heads, size], kind), { seed, device: cpu, dtype: 'f64' });
    await gradcheck((base) => rotary(inLayout(base, kind), options), [x], { elements: 6, seed });
  });
  await fc.assert(property, runs(20));
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((faster) => {
    test('rotary', async () => {
      const property = fc.asyncProperty(cases, ({ shape, kind, seed, ...options }) =>
        expectAgreement(
          faster,
          (device) => {
            const base = leaf(baseShape(shape, kind), { seed, device });
            return { output: rotary(inLayout(base, kind), options), leaves: [base] };
          },
          { absolute: 1e-6, relative: 1e-5 },
        ),
      );
      await fc.assert(property, runs(25));
    });
  });
});

onEachDevice((device) => {
  test('turns by position · base^(-2i / headSize), as accurate at position 8191 as at 1', async () => {
    const [time, size, base] = [8192, 16, 10000];
    await step(async () => {
      const ones = tensor(new Float32Array(time * size).fill(1), { device, shape: [1, time, 1, size] });
      const actual = await rotary(ones, { base }).data();
      let worst = 0;
      for (let position = 0; position < time; position++) {
        for (let i = 0; i < size / 2; i++) {
          const angle = position * base ** ((-2 * i) / size);
          const at = position * size + i;
          const first = Math.abs(actual[at] - (Math.cos(angle) - Math.sin(angle)));
          const second = Math.abs(actual[at + size / 2] - (Math.cos(angle) + Math.sin(angle)));
          worst = Math.max(worst, first, second);
        }
      }
      expect(worst).toBeLessThan(5e-7);
    });
  });

  test('turns the first elements of a head alone where a size is given', async () => {
    await step(async () => {
      const x = random([2, 5, 3, 8], { seed: 1, device });
      const part = rotary(x, { size: 4, base: 50 });
      await expectClose(slice(part, [0, 0, 0, 4]), slice(x, [0, 0, 0, 4]), { absolute: 0, relative: 0 });
      await expectClose(slice(part, [0], [2, 5, 3, 4]), rotary(slice(x, [0], [2, 5, 3, 4]), { base: 50 }));
    });
  });

  test('scaled: linear brings positions closer together, llama3 the long waves alone', async () => {
    await step(async () => {
      const x = random([1, 9, 1, 8], { seed: 1, device });
      const close = rotary(x, { scaling: { type: 'linear', factor: 2 } });
      await expectClose(slice(close, [0, 8]), rotary(slice(x, [0, 8]), { positionOffset: 4 }));
      const llama3 = { type: 'llama3', factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4 } as const;
      const position = (originalPositions: number) =>
        rotary(x, { base: 500, scaling: { ...llama3, originalPositions } });
      await expectClose(position(1e9), rotary(x, { base: 500 }));
      await expectClose(position(1e-9), rotary(x, { base: 500, scaling: { type: 'linear', factor: 4 } }));
      // With 32 positions the waves are 2π, 30, 140 and 663 long: kept, between (at 2 % of the way), divided, divided.
      const kept = (32 / (2 * Math.PI * 500 ** 0.25) - 1) / 3;
      const frequencies = [1, 500 ** -0.25 * (kept + (1 - kept) / 4), 500 ** -0.5 / 4, 500 ** -0.75 / 4];
      const ones = tensor(new Float32Array(8).fill(1), { device, shape: [1, 1, 1, 8] });
      const turned = await rotary(ones, {
        base: 500,
        positionOffset: 3,
        scaling: { ...llama3, originalPositions: 32 },
      }).data();
      frequencies.forEach((frequency, j) => {
        expect(turned[j]).toBeCloseTo(Math.cos(3 * frequency) - Math.sin(3 * frequency), 6);
      });
    });
  });

  test('products of queries and keys depend on the distance alone', async () => {
    await step(async () => {
      const query = random([1, 1, 2, 8], { seed: 1, device });
      const key = random([1, 1, 2, 8], { seed: 2, device });
      const product = (at: number, distance: number) =>
        sum(mul(rotary(query, { positionOffset: at + distance }), rotary(key, { positionOffset: at })), { axes: -1 });
      await expectClose(product(0, 5), product(4000, 5), { absolute: 2e-6 });
      const [near, far] = [await product(0, 5).data(), await product(0, 6).data()];
      expect(Math.abs(near[0] - far[0])).toBeGreaterThan(1e-3);
    });
  });

  test('positionOffset continues a sequence', async () => {
    await step(async () => {
      const x = random([2, 9, 2, 6], { seed: 3, device });
      const tail = slice(x, [0, 5]);
      await expectClose(rotary(tail, { positionOffset: 5 }), slice(rotary(x), [0, 5]), { absolute: 0, relative: 0 });
    });
  });

  test('position 0 leaves x as it is; tensors without an element', async () => {
    await step(async () => {
      const x = random([2, 1, 3, 4], { seed: 3, device });
      await expectClose(rotary(x), x, { absolute: 0, relative: 0 });
      expect(rotary(tensor([], { device, shape: [2, 0, 3, 4] })).shape).toEqual([2, 0, 3, 4]);
    });
  });
});

test('what does not fit is refused', () => {
  const x = random([1, 2, 1, 4], { seed: 1, device: cpu });
  expect(() => rotary(random([2, 1, 4], { seed: 1, device: cpu }))).toThrow(ShapeError);
  expect(() => rotary(random([1, 2, 1, 5], { seed: 1, device: cpu }))).toThrow(
    /rotary: x has shape \[1, 2, 1, 5\].*even/,
  );
  expect(() => rotary(tensor(new Int32Array(4), { device: cpu, shape: [1, 1, 1, 4] }))).toThrow(DTypeError);
  for (const base of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => rotary(x, { base })).toThrow(ArgumentError);
  }
  for (const size of [0, 3, 6, Number.NaN]) expect(() => rotary(x, { size })).toThrow(`size is ${size}`);
  expect(() => rotary(x, { scaling: { type: 'linear', factor: 0 } })).toThrow('factor of the scaling is 0');
  for (const positionOffset of [-1, 0.5, Number.NaN, 2 ** 24 - 1]) {
    expect(() => rotary(x, { positionOffset })).toThrow(`positionOffset is ${positionOffset}`);
  }
});
