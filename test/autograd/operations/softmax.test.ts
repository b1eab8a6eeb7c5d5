import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { keptFor, requireGradient } from '../../../src/autograd/node.ts';
import { log } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { logSoftmax, type SoftmaxOptions, softmax } from '../../../src/autograd/operations/softmax.ts';
import { transpose } from '../../../src/autograd/operations/views.ts';
import { tensor, zeros } from '../../../src/tensor/create.ts';
import { ArgumentError, DTypeError, ShapeError } from '../../../src/tensor/errors.ts';
import { step } from '../../../src/tensor/scope.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';
import { columnCounts, expectAgreement, leaf, rowCounts } from './agreement.ts';

const operations = { softmax, logSoftmax } satisfies Record<string, (x: Tensor, options?: SoftmaxOptions) => Tensor>;
const seeds = fc.nat({ max: 1000 });

describe('gradients agree with central differences in f64', () => {
  for (const [name, operation] of Object.entries(operations)) {
    test(name, async () => {
      const property = fc.asyncProperty(shapes({ minRank: 1 }), layout, seeds, async (shape, kind, seed) => {
        const x = random(baseShape(shape, kind), { seed, device: cpu, dtype: 'f64' });
        const axis = seed % shape.length;
        await gradcheck((base) => operation(inLayout(base, kind), { axis }), [x], { elements: 6, seed });
      });
      await fc.assert(property, runs(20));
    });
  }
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((faster) => {
    for (const [name, operation] of Object.entries(operations)) {
      test(name, async () => {
        const property = fc.asyncProperty(rowCounts, columnCounts, layout, seeds, (rows, columns, kind, seed) =>
          expectAgreement(
            faster,
            (device) => {
              const base = leaf(baseShape([rows, columns], kind), { seed, device, scale: 6 });
              return { output: operation(inLayout(base, kind)), leaves: [base] };
            },
            { absolute: 1e-6 + 1e-7 * columns, relative: 1e-5 },
          ),
        );
        await fc.assert(property, runs(25));
      });

      test(`${name} of rows that take a whole workgroup`, async () => {
        for (const shape of [
          [3, 2049],
          [2, 5000],
        ]) {
          await expectAgreement(
            faster,
            (device) => {
              const x = leaf(shape, { seed: 5, device });
              return { output: operation(x), leaves: [x] };
            },
            { absolute: 1e-6, relative: 1e-5 },
          );
        }
      });
    }

    test('more rows than one axis of a dispatch holds', async () => {
      await step(async () => {
        const rows = 64 * 65_535 + 3;
        expect(await sum(softmax(zeros([rows, 1], { device: faster }))).item()).toBe(rows);
      });
    });
  });
});

onEachDevice((device) => {
  test('along another axis it is that of the transposed tensor', async () => {
    await step(async () => {
      const x = random([3, 5, 7], { seed: 1, device });
      for (const operation of Object.values(operations)) {
        await expectClose(operation(x, { axis: 0 }), transpose(operation(transpose(x, 0, 2)), 0, 2), { absolute: 0 });
        await expectClose(operation(x, { axis: -2 }), transpose(operation(transpose(x))), { absolute: 0 });
        expect(() => operation(x, { axis: 3 })).toThrow(ArgumentError);
      }
    });
  });

  test('rows of the softmax sum to 1, and its logarithm is logSoftmax', async () => {
    await step(async () => {
      const x = random([4, 3, 37], { seed: 3, device });
      await expectClose(sum(softmax(x), { axes: -1 }), tensor(new Float32Array(12).fill(1), { device, shape: [4, 3] }));
      await expectClose(log(softmax(x)), logSoftmax(x));
    });
  });

  test('large numbers neither overflow nor lose a small probability', async () => {
    await step(async () => {
      const x = tensor([3e38, 0, -3e38], { device });
      expect(await softmax(x).toArray()).toEqual([1, 0, 0]);
      expect(await logSoftmax(tensor([1000, 0], { device })).toArray()).toEqual([0, -1000]);
    });
  });

  test('-Infinity is a probability of 0; NaN spoils its own row alone', async () => {
    await step(async () => {
      const x = tensor(
        [
          [0, Number.NEGATIVE_INFINITY, 0],
          [0, Number.NaN, 0],
          [1, 1, 1],
        ],
        { device },
      );
      const values = await softmax(x).data();
      expect([...values.slice(0, 3)]).toEqual([0.5, 0, 0.5]);
      expect(values.slice(3, 6).every(Number.isNaN)).toBe(true);
      expect(values.slice(6).every((p) => Math.abs(p - 1 / 3) < 1e-6)).toBe(true);
    });
  });

  test('tensors without an element, and rows of one', async () => {
    await step(async () => {
      expect(softmax(tensor([], { device, shape: [0, 3] })).shape).toEqual([0, 3]);
      expect(softmax(tensor([], { device, shape: [3, 0] })).shape).toEqual([3, 0]);
      expect(await softmax(tensor([[7], [9]], { device })).toArray()).toEqual([[1], [1]]);
    });
  });
});

test('a scalar and integers are refused', () => {
  for (const [name, operation] of Object.entries(operations)) {
    expect(() => operation(tensor(1, { device: cpu }))).toThrow(ShapeError);
    expect(() => operation(tensor(1, { device: cpu }))).toThrow(name);
    expect(() => operation(tensor(Int32Array.of(1), { device: cpu }))).toThrow(DTypeError);
  }
});

test('only the result is kept for the backward pass, and nothing without a live input', async () => {
  await step(() => {
    const x = requireGradient(random([4, 5], { seed: 1, device: cpu }));
    const result = softmax(x);
    const node = result.node;
    expect(node && 'rules' in node && node.rules.map((rule) => keptFor(rule).map((each) => each.storage))).toEqual([
      [result.storage],
    ]);
    expect(softmax(random([4, 5], { seed: 1, device: cpu })).node).toBeUndefined();
  });
});
