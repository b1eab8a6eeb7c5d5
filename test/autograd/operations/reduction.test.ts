import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  broadcastTo,
  concatenate,
  DTypeError,
  full,
  gradcheck,
  logSumExp,
  max,
  mean,
  min,
  norm,
  prod,
  Random,
  type ReduceOptions,
  requireGradient,
  standardDeviation,
  step,
  sum,
  type Tensor,
  tensor,
  variance,
} from '../../../src/index.ts';
import { cpu, onEachDevice, reference } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';

const simple = { sum, mean, max, min, prod, norm, logSumExp };
const withCorrection = { variance, standardDeviation };
const operations = {
  ...simple,
  variance: (x: Tensor, options: ReduceOptions = {}) => variance(x, { correction: 0, ...options }),
  standardDeviation: (x: Tensor, options: ReduceOptions = {}) => standardDeviation(x, { correction: 0, ...options }),
} satisfies Record<string, (x: Tensor, options?: ReduceOptions) => Tensor>;

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

/** Some zeros among numbers whose product stays in sight. */
function around1(shape: readonly number[], seed: number): Tensor {
  const draw = (source: Random) => (source.integer(8) === 0 ? 0 : 0.6 + 0.8 * source.uniform());
  return random(shape, { seed, device: cpu, dtype: 'f64', draw });
}

describe('gradients agree with central differences in f64', () => {
  for (const [name, operation] of Object.entries(operations)) {
    test(name, async () => {
      const property = fc.asyncProperty(cases, async ({ shape, axes, keepDims, kind, seed }) => {
        const x =
          name === 'max' || name === 'min'
            ? distinct(baseShape(shape, kind), seed)
            : around1(baseShape(shape, kind), seed);
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

    test('a long sum is as exact over columns as over rows', async () => {
      await step(async () => {
        const [length, width] = [8000, 4096];
        const values = Float32Array.from({ length: 1000 }, (_, i) => ((i * 7919) % 1000) / 1000);
        const block = tensor(values, { device: faster, shape: [1000, 1] });
        const x = broadcastTo(block, [1000, width]);
        const sums = await concatenate(Array.from({ length: length / 1000 }, () => x))
          .sum({ axes: 0 })
          .data();
        const exact = 8 * values.reduce((total, value) => total + value, 0);
        for (const value of sums) expect(Math.abs(value / exact - 1)).toBeLessThan(3e-7);
      });
      await step(async () => {
        const x = full([2 ** 20 + 1, 3], 0.1, { device: faster });
        const exact = Math.fround(0.1) * (2 ** 20 + 1);
        for (const value of await x.sum({ axes: 0 }).data()) expect(Math.abs(value / exact - 1)).toBeLessThan(5e-7);
      });
      faster.trim();
    });

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

  test('max and min of two tensors name what compares two', () => {
    for (const [name, other] of [
      ['max', 'maximum'],
      ['min', 'minimum'],
    ] as const) {
      expect(() => Reflect.apply(operations[name], undefined, [x, x])).toThrow(
        new ArgumentError(`${name}: reduces one tensor; ${other}(x, y) compares two, element by element`),
      );
    }
    expect(() => Reflect.apply(operations.sum, undefined, [x, x])).toThrow('sum: got Tensor f32');
  });

  test('integers are reduced exactly, on whatever way, and wrap', async () => {
    const wrapped = (values: readonly number[], combine: (a: number, b: number) => number) => values.reduce(combine);
    const source = new Random(7);
    for (const shape of [
      [3, 5],
      [2, 300],
      [300, 2],
      [70_000, 1],
      [5000, 3],
    ]) {
      const values = Int32Array.from({ length: shape[0] * shape[1] }, () => source.uint32());
      const columns = Array.from({ length: shape[1] }, (_, j) => [...values].filter((_, i) => i % shape[1] === j));
      await step(async () => {
        const integers = tensor(values, { device, shape });
        const reduced = async (name: 'sum' | 'prod' | 'max' | 'min') => [...(await integers[name]({ axes: 0 }).data())];
        expect(await reduced('sum')).toEqual(columns.map((column) => wrapped(column, (a, b) => (a + b) | 0)));
        expect(await reduced('prod')).toEqual(columns.map((column) => wrapped(column, Math.imul)));
        expect(await reduced('max')).toEqual(columns.map((column) => wrapped(column, (a, b) => Math.max(a, b))));
        expect(await reduced('min')).toEqual(columns.map((column) => wrapped(column, (a, b) => Math.min(a, b))));
        expect(await integers.sum().item()).toBe(wrapped([...values], (a, b) => (a + b) | 0));
      });
    }
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

  test('maximum and minimum see NaN and infinities, wherever they are', async () => {
    const { NaN: nan, NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
    await step(async () => {
      for (const [values, largest, smallest] of [
        [[nan], nan, nan],
        [[NEGATIVE_INFINITY], NEGATIVE_INFINITY, NEGATIVE_INFINITY],
        [[POSITIVE_INFINITY], POSITIVE_INFINITY, POSITIVE_INFINITY],
        [[nan, 1], nan, nan],
        [[1, nan], nan, nan],
        [[1, nan, 2, NEGATIVE_INFINITY], nan, nan],
        [[3, NEGATIVE_INFINITY, 2], 3, NEGATIVE_INFINITY],
      ] as const) {
        for (const shape of [
          [values.length, 1],
          [1, values.length],
        ]) {
          const x = tensor(Float32Array.from(values), { device, shape });
          const axes = shape[0] === 1 ? 1 : 0;
          expect(await x.max({ axes }).toArray()).toEqual([largest]);
          expect(await x.min({ axes }).toArray()).toEqual([smallest]);
        }
      }
      for (const at of [0, 70, 999]) {
        const values = new Float32Array(2000).fill(1).fill(nan, at, at + 1);
        expect(await tensor(values, { device }).max().item()).toBeNaN();
        const columns = tensor(values, { device, shape: [1000, 2] }).min({ axes: 0 });
        expect(await columns.toArray()).toEqual(at % 2 === 0 ? [nan, 1] : [1, nan]);
      }
    });
  });

  test('products of zeros have the gradient of the other elements', async () => {
    await step(async () => {
      const x = requireGradient(tensor([2, 3, 4, 0, 5, 6, 0, 0, 7], { device, shape: [3, 3] }));
      x.prod({ axes: 1 }).sum().backward();
      expect(await x.gradient?.toArray()).toEqual([
        [12, 8, 6],
        [30, 0, 0],
        [0, 0, 0],
      ]);
      expect(await tensor([], { device }).prod().item()).toBe(1);
    });
  });

  test('variance takes 1 off the number of elements, or what it is told', async () => {
    await step(async () => {
      const values = tensor([1e4 + 1, 1e4 + 2, 1e4 + 3, 1e4 + 6], { device });
      expect(await values.variance().item()).toBeCloseTo(14 / 3, 5);
      expect(await values.variance({ correction: 0 }).item()).toBe(3.5);
      expect(await values.standardDeviation({ correction: 0 }).item()).toBeCloseTo(Math.sqrt(3.5), 5);
      const same = requireGradient(tensor([2, 2], { device }));
      same.standardDeviation().backward();
      expect(await same.gradient?.toArray()).toEqual([0, 0]);
      // Their mean lies between two numbers of f32.
      const near = requireGradient(tensor([1e4, 1e4 + 2 ** -10], { device }));
      near.standardDeviation().backward();
      expect(await near.gradient?.data()).toEqual(Float32Array.of(-Math.SQRT1_2, Math.SQRT1_2));
    });
    for (const [name, operation] of Object.entries(withCorrection)) {
      expect(() => operation(tensor([1], { device }))).toThrow(
        new ArgumentError(
          `${name}: correction is 1, but shape [1] has 1 elements along the axes (allowed: less than these)`,
        ),
      );
    }
  });

  test('norm and logSumExp of numbers whose squares and exponentials are out of range', async () => {
    const { NaN: nan, NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
    await step(async () => {
      for (const scale of [1, 1e20, 1e-25]) {
        expect(
          (await tensor([3 * scale, -4 * scale], { device })
            .norm()
            .item()) / scale,
        ).toBeCloseTo(5, 4);
      }
      expect(await tensor([], { device }).norm().item()).toBe(0);
      expect(await tensor([1, POSITIVE_INFINITY], { device }).norm().item()).toBe(POSITIVE_INFINITY);
      const zero = requireGradient(tensor([0, 0], { device }));
      zero.norm().backward();
      expect(await zero.gradient?.toArray()).toEqual([0, 0]);

      expect(await tensor([1000, 1000], { device }).logSumExp().item()).toBeCloseTo(1000 + Math.log(2), 3);
      for (const [values, expected] of [
        [[], NEGATIVE_INFINITY],
        [[NEGATIVE_INFINITY, NEGATIVE_INFINITY], NEGATIVE_INFINITY],
        [[NEGATIVE_INFINITY, 2], 2],
        [[POSITIVE_INFINITY, 2], POSITIVE_INFINITY],
        [[1, nan], nan],
      ] as const) {
        expect(
          await tensor([...values], { device })
            .logSumExp()
            .item(),
        ).toBe(expected);
      }
      const infinite = requireGradient(tensor([POSITIVE_INFINITY, 1], { device }));
      infinite.logSumExp().backward();
      expect(await infinite.gradient?.toArray()).toEqual([nan, 0]);
      for (const scale of [1e30, 1e-30]) {
        const spread = requireGradient(tensor([scale, -scale], { device }));
        const deviation = spread.standardDeviation();
        expect((await deviation.item()) / scale).toBeCloseTo(Math.SQRT2, 5);
        deviation.backward();
        expect((await spread.gradient?.data())?.[0]).toBeCloseTo(Math.SQRT1_2, 5);
      }
      const none = requireGradient(tensor([NEGATIVE_INFINITY, 1], { device }));
      none.logSumExp().backward();
      expect(await none.gradient?.toArray()).toEqual([0, 1]);
    });
  });

  test('a number in the place of the options and an unknown option are told', () => {
    for (const [name, operation] of Object.entries({ ...simple, ...withCorrection })) {
      expect(() => Reflect.apply(operation, undefined, [x, 1])).toThrow(ArgumentError);
      expect(() => Reflect.apply(operation, undefined, [x, 1])).toThrow(`${name}: got 1 where options belong`);
      expect(() => Reflect.apply(operation, undefined, [x, { axis: 1 }])).toThrow(
        `${name}: there is no option 'axis' (allowed: axes, keepDims`,
      );
    }
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
      if (['sum', 'prod', 'max', 'min'].includes(name)) continue;
      const integers = tensor(Int32Array.of(1), { device });
      expect(() => operation(integers)).toThrow(DTypeError);
      expect(() => operation(integers)).toThrow("i32 (allowed: all f32 or f16, or all f64; cast(x, 'f32') converts)");
    }
    const empty = tensor(new Float32Array(0), { device, shape: [2, 0] });
    expect(() => min(empty)).toThrow(new ArgumentError('min: shape [2, 0] has no element along the axes'));
    expect(() => max(empty, { axes: 1 })).toThrow(new ArgumentError('max: shape [2, 0] has no element along the axes'));
  });
});
