import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  DTypeError,
  gradcheck,
  max,
  mean,
  type ReduceOptions,
  requireGradient,
  step,
  sum,
  type Tensor,
  tensor,
} from '../../../src/index.ts';
import { cpu, onEachDevice, reference } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';

const operations = { sum, mean, max } satisfies Record<string, (x: Tensor, options?: ReduceOptions) => Tensor>;

/** A shape of up to four axes, some of its axes counted from either end, and whether they are kept. */
const cases = fc.oneof(shapes(), shapes({ minRank: 3, maxRank: 4 })).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axes: fc.option(
      fc
        .subarray(shape.map((_, axis) => axis))
        .chain((axes) =>
          fc
            .array(fc.boolean(), { minLength: axes.length, maxLength: axes.length })
            .map((fromEnd) => axes.map((axis, i) => (fromEnd[i] ? axis - shape.length : axis))),
        ),
      { nil: undefined },
    ),
    keepDims: fc.boolean(),
    kind: layout,
    seed: fc.nat({ max: 1000 }),
  }),
);

/** Numbers of which no two are close, so that a small step changes no maximum. */
function distinct(shape: readonly number[], seed: number): Tensor {
  let count = 0;
  return random(shape, {
    seed,
    device: cpu,
    dtype: 'f64',
    draw: (source) => ((count++ * 7919) % 1009) + source.uniform() / 2,
  });
}

describe('gradients agree with central differences in f64', () => {
  for (const [name, operation] of Object.entries(operations)) {
    test(name, async () => {
      const property = fc.asyncProperty(cases, async ({ shape, axes, keepDims, kind, seed }) => {
        const x = distinct(baseShape(shape, kind), seed);
        await gradcheck((x) => operation(inLayout(x, kind), { axes, keepDims }), [x], {
          elements: 6,
          seed,
          epsilon: 1e-4,
        });
      });
      await fc.assert(property, runs(30));
    });
  }
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((faster) => {
    for (const [name, operation] of Object.entries(operations)) {
      test(name, async () => {
        const property = fc.asyncProperty(cases, ({ shape, axes, keepDims, kind, seed }) =>
          step(async () => {
            const [expected, actual] = [reference, faster].map((device) =>
              operation(inLayout(random(baseShape(shape, kind), { seed, device }), kind), { axes, keepDims }),
            );
            await expectClose(actual, expected);
          }),
        );
        await fc.assert(property, runs(25));
      });

      // Rows and columns around a workgroup of 64, around the length from which chunks are cut, and of many chunks.
      test(`${name} over long rows and columns`, async () => {
        for (const length of [63, 64, 65, 255, 256, 257, 1025, 5000]) {
          await step(async () => {
            for (const [shape, axes] of [
              [[3, length], 1],
              [[length, 3], 0],
              [[2, length, 2], 1],
            ] as const) {
              const [expected, actual] = [reference, faster].map((device) =>
                operation(random(shape, { seed: length, device }), { axes }),
              );
              await expectClose(actual, expected, { absolute: 1e-7 * length });
            }
          });
        }
      });
    }

    test('more rows than one axis of a dispatch holds', async () => {
      await step(async () => {
        const [expected, actual] = [reference, faster].map((device) =>
          sum(random([65_537, 2], { seed: 1, device }), { axes: 1 }),
        );
        await expectClose(actual, expected);
      });
    });
  });
});

onEachDevice((device) => {
  const x = tensor(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { device },
  );

  test('all axes by default, one axis as a number, several as a list', async () => {
    await step(async () => {
      expect(await x.sum().item()).toBe(21);
      expect(await x.mean().item()).toBe(3.5);
      expect(await x.max().item()).toBe(6);
      expect(await x.sum({ axes: 0 }).toArray()).toEqual([5, 7, 9]);
      expect(await x.mean({ axes: -1 }).toArray()).toEqual([2, 5]);
      expect(await x.max({ axes: [0, 1], keepDims: true }).toArray()).toEqual([[6]]);
      expect(await x.sum({ axes: [0, -2] }).toArray()).toEqual([5, 7, 9]);
      expect(await x.sum({ axes: [] }).toArray()).toEqual(await x.toArray());
    });
  });

  test('axes that are no neighbours', async () => {
    await step(async () => {
      const y = tensor(
        Float32Array.from({ length: 24 }, (_, i) => i),
        { device, shape: [2, 3, 4] },
      );
      expect(await y.sum({ axes: [0, 2] }).toArray()).toEqual([60, 92, 124]);
      expect(await y.mean({ axes: [2, 0] }).toArray()).toEqual([7.5, 11.5, 15.5]);
      expect(await y.max({ axes: [0, -1], keepDims: true }).toArray()).toEqual([[[15], [19], [23]]]);
    });
  });

  test('the sum of nothing is 0', async () => {
    await step(async () => {
      const empty = tensor(new Float32Array(0), { device, shape: [0, 3] });
      expect(await empty.sum().item()).toBe(0);
      expect(await empty.sum({ axes: 0 }).toArray()).toEqual([0, 0, 0]);
      expect(await empty.sum({ axes: 1 }).toArray()).toEqual([]);
      expect(await empty.mean().item()).toBeNaN();
    });
  });

  test('elements that tie for the maximum share its gradient', async () => {
    await step(async () => {
      const x = requireGradient(tensor([[2, 5, 5, 1, 5]], { device }));
      x.max({ axes: 1 }).sum().mul(6).backward();
      expect(await x.gradient?.toArray()).toEqual([[0, 2, 2, 0, 2]]);
    });
  });

  test('the sum keeps NaN and infinities, the maximum finds an infinity', async () => {
    await step(async () => {
      const values = tensor([1, Number.POSITIVE_INFINITY, 2], { device });
      expect(await values.sum().item()).toBe(Number.POSITIVE_INFINITY);
      expect(await values.max().item()).toBe(Number.POSITIVE_INFINITY);
      expect(await tensor([1, Number.NaN], { device }).sum().item()).toBeNaN();
    });
  });

  test('the maximum of negative numbers is negative', async () => {
    await step(async () => {
      expect(await tensor([-3, -2, -7], { device }).max().item()).toBe(-2);
      expect(
        await tensor([[-3e38], [-2]], { device })
          .max({ axes: 1 })
          .toArray(),
      ).toEqual([Math.fround(-3e38), -2]);
    });
  });

  test('bad axes, integers and an empty maximum are refused', () => {
    for (const [name, operation] of Object.entries(operations)) {
      expect(() => operation(x, { axes: 2 })).toThrow(ArgumentError);
      expect(() => operation(x, { axes: [0, -3] })).toThrow(`${name}: axis -3 is outside -2 … 1 of a tensor of rank 2`);
      expect(() => operation(tensor(Int32Array.of(1), { device }))).toThrow(DTypeError);
    }
    const empty = tensor(new Float32Array(0), { device, shape: [2, 0] });
    expect(() => max(empty, { axes: 1 })).toThrow(new ArgumentError('max: shape [2, 0] has no element along the axes'));
  });
});
