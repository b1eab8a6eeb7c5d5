import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as pointwise from '../../../src/autograd/operations/pointwise/pointwise.ts';
import {
  applyPointwise,
  type Domain,
  type PointwiseOperation,
  type PointwiseRow,
} from '../../../src/autograd/operations/pointwise/row.ts';
import * as operations from '../../../src/index.ts';
import {
  ArgumentError,
  backward,
  DTypeError,
  gradcheck,
  gradientOf,
  type Random,
  requireGradient,
  ShapeError,
  step,
  sum,
  type Tensor,
  tensor,
} from '../../../src/index.ts';
import { cpu, onEachDevice, onWebGpu, reference } from '../../devices.ts';
import { baseShape, broadcastShapes, expectClose, inLayout, layout, layouts, random, runs } from '../../shapes.ts';

type Draw = (source: Random) => number;

const between =
  (low: number, high: number): Draw =>
  (source) =>
    low + (high - low) * source.uniform();
/** Multiples of 0.3, moved by `offset`. */
const onGrid =
  (offset: number): Draw =>
  (source) =>
    0.3 * (source.integer(13) - 6) + offset;

const draws: Readonly<Record<Domain, Draw>> = {
  any: between(-2, 2),
  positive: between(0.5, 3),
  negative: between(-3, -0.5),
  nonzero: (source) => (source.uniform() < 0.5 ? -1 : 1) * between(0.5, 2)(source),
  grid: onGrid(0),
  'off-grid': onGrid(0.15),
  bit: (source) => source.integer(2),
};

const rows: readonly [string, PointwiseOperation][] = Object.entries(pointwise);

function drawOf({ row }: PointwiseOperation, operand: number): Draw {
  return draws[row.domain?.[operand] ?? 'any'];
}

describe('a row is a function of the library and a method of every tensor', () => {
  const library: Readonly<Record<string, unknown>> = operations;
  for (const [name, operation] of rows) {
    test(name, async () => {
      expect(operation.operation).toBe(name);
      expect(library[name]).toBe(operation);
      const [x, ...rest] = operation.row.derivatives.map((_, i) =>
        random([3], { seed: i, device: cpu, draw: drawOf(operation, i) }),
      );
      const method: unknown = Reflect.get(x, name);
      if (typeof method !== 'function') return expect.fail(`x.${name} is ${method}`);
      await expectClose(Reflect.apply(method, x, rest), applyPointwise(operation, [x, ...rest]), { absolute: 0 });
    });
  }

  test('of its own operands: what else a caller passes does not count', async () => {
    const x = tensor([1, 4], { device: cpu });
    expect(await Promise.all([x].map(operations.sqrt).map((root) => root.toArray()))).toEqual([[1, 2]]);
    expect(() => Reflect.apply(operations.add, undefined, [x])).toThrow('add: got 1 operands (allowed: 2)');
  });
});

/** Which operands of a row, how they lie in memory, and a seed for their numbers. */
function cases(row: PointwiseRow) {
  const count = row.derivatives.length;
  return fc.tuple(
    broadcastShapes(count),
    fc.array(layout, { minLength: count, maxLength: count }),
    fc.nat({ max: 1000 }),
  );
}

describe('gradients agree with central differences in f64', () => {
  for (const [name, operation] of rows) {
    const { row } = operation;
    const differentiable = row.derivatives.flatMap((derivative, i) => (derivative === null ? [] : [i]));
    if (differentiable.length === 0) continue;
    test(name, async () => {
      const property = fc.asyncProperty(cases(row), async ([shapes, kinds, seed]) => {
        const all = shapes.map((shape, i) =>
          random(baseShape(shape, kinds[i]), { seed: seed + i, device: cpu, dtype: 'f64', draw: drawOf(operation, i) }),
        );
        const f = (...moved: Tensor[]) => {
          const bases = all.map((constant, i) => moved[differentiable.indexOf(i)] ?? constant);
          return applyPointwise(
            operation,
            bases.map((base, i) => inLayout(base, kinds[i])),
          );
        };
        const inputs = differentiable.map((i) => all[i]);
        await gradcheck(f, inputs, { elements: 6, seed });
      });
      await fc.assert(property, runs(20));
    });
  }
});

describe('a row without a derivative records no node', () => {
  for (const [name, operation] of rows) {
    const { row } = operation;
    if (row.derivatives.some((derivative) => derivative !== null)) continue;
    test(name, () => {
      const operands = row.derivatives.map(() => requireGradient(tensor([1, 2], { device: cpu })));
      expect(applyPointwise(operation, operands).node).toBeUndefined();
    });
  }
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((each) => {
    for (const [name, operation] of rows) {
      const { row } = operation;
      test(name, async () => {
        const shape = [5, 67];
        const results = await Promise.all(
          [reference, each].map(async (device) => {
            const operands = row.derivatives.map((_, i) =>
              requireGradient(random(shape, { seed: i + 1, device, draw: drawOf(operation, i) })),
            );
            const result = applyPointwise(operation, operands);
            const weights = random(shape, { seed: 9, device });
            if (result.node) backward(result, weights);
            return [result, ...operands.map(gradientOf)];
          }),
        );
        const [expected, actual] = results;
        for (const [i, value] of expected.entries()) {
          const kernel = actual[i];
          expect(kernel === null).toBe(value === null);
          if (value && kernel) await expectClose(kernel, value, { absolute: 2e-6, relative: 2e-5 });
        }
      });
    }

    // The strided kernel, the copies it falls back on and both grids, with one formula each of one, two and three operands.
    for (const operation of [pointwise.neg, pointwise.sub, pointwise.where]) {
      const { operation: name, row } = operation;
      test(`${name} over broadcasts and views`, async () => {
        const property = fc.asyncProperty(cases(row), ([shapes, kinds, seed]) =>
          step(async () => {
            const [expected, actual] = [reference, each].map((device) => {
              const operands = shapes.map((shape, i) => {
                const base = random(baseShape(shape, kinds[i]), { seed: seed + i, device, draw: drawOf(operation, i) });
                return inLayout(base, kinds[i]);
              });
              return applyPointwise(operation, operands);
            });
            await expectClose(actual, expected, { absolute: 0, relative: 0 });
          }),
        );
        await fc.assert(property, runs(40));
      });
    }

    // Past the piece that the cpu device makes dense at a time: in the last axis, in the one before, in the first.
    test.each([
      [
        [300_001, 1],
        [300_001, 2],
      ],
      [
        [1, 1003],
        [701, 1003],
      ],
      [
        [5, 1, 67, 1],
        [5, 601, 1, 3],
      ],
      [[700_003], [1]],
    ] as const)('a large broadcast of %j and %j', async (xShape, yShape) => {
      await step(async () => {
        const [expected, actual] = [reference, each].map((device) => {
          const y = random(yShape.toReversed(), { seed: 2, device });
          return operations.sub(random(xShape, { seed: 1, device }), inLayout(y, 'permuted'));
        });
        await expectClose(actual, expected, { absolute: 0, relative: 0 });
      });
    });

    test('a broadcast over more than four axes that do not merge', async () => {
      await step(async () => {
        const [expected, actual] = [reference, each].map((device) => {
          const x = random([2, 1, 3, 1, 2, 1, 3], { seed: 1, device });
          const y = random([1, 2, 1, 3, 1, 2, 1], { seed: 2, device });
          return operations.sub(x, y);
        });
        expect(actual.shape).toEqual([2, 2, 3, 3, 2, 2, 3]);
        await expectClose(actual, expected, { absolute: 0, relative: 0 });
      });
    });
  });

  onWebGpu((webgpu) => {
    test('more workgroups than one axis of a dispatch holds, with and without strides', async () => {
      await step(async () => {
        const x = random([65_535 + 2, 1], { seed: 1, device: webgpu });
        const y = random([1, 64], { seed: 2, device: webgpu });
        const result = await operations.sub(x, y).data();
        const [xs, ys] = [await x.data(), await y.data()];
        for (const i of [0, 1, 65_534, 65_535, 65_536]) {
          expect(result[i * 64 + 63]).toBe(Math.fround(xs[i] - ys[63]));
        }
        const size = 256 * 65_535 + 2;
        const filled = operations.full([size], 3, { device: webgpu });
        expect(
          await operations
            .neg(filled)
            .slice([size - 4])
            .toArray(),
        ).toEqual([-3, -3, -3, -3]);
      });
      webgpu.trim();
    });
  });
});

onEachDevice((device) => {
  test('numbers are operands on either side', async () => {
    await step(async () => {
      const x = tensor([1, 2, 4], { device });
      expect(await operations.sub(1, x).toArray()).toEqual([0, -1, -3]);
      expect(await x.sub(1).toArray()).toEqual([0, 1, 3]);
      expect(await operations.div(8, x).toArray()).toEqual([8, 4, 2]);
      expect(await operations.where(operations.greater(x, 1.5), x, 0).toArray()).toEqual([0, 2, 4]);
    });
  });

  test('comparisons give 1 and 0', async () => {
    await step(async () => {
      const x = tensor([1, 2, 3], { device });
      const y = tensor([2, 2, 2], { device });
      const results = [
        operations.equal(x, y),
        operations.notEqual(x, y),
        operations.less(x, y),
        operations.lessEqual(x, y),
        operations.greater(x, y),
        operations.greaterEqual(x, y),
      ];
      expect(await Promise.all(results.map((result) => result.toArray()))).toEqual([
        [0, 1, 0],
        [1, 0, 1],
        [1, 0, 0],
        [1, 1, 0],
        [0, 0, 1],
        [0, 1, 1],
      ]);
    });
  });

  test('equal elements share the gradient of maximum and minimum', async () => {
    for (const operation of [operations.maximum, operations.minimum]) {
      await step(async () => {
        const x = requireGradient(tensor([1, 2], { device }));
        const y = requireGradient(tensor([1, 3], { device }));
        sum(operation(x, y)).backward();
        const larger = operation === operations.maximum ? 1 : 0;
        expect(await x.gradient?.toArray()).toEqual([0.5, 1 - larger]);
        expect(await y.gradient?.toArray()).toEqual([0.5, larger]);
      });
    }
  });

  test('relu has no gradient at 0', async () => {
    await step(async () => {
      const x = requireGradient(tensor([-1, 0, 1], { device }));
      sum(x.relu()).backward();
      expect(await x.gradient?.toArray()).toEqual([0, 0, 1]);
    });
  });

  test('infinities pass through, and NaN', async () => {
    await step(async () => {
      const x = tensor([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -3, 3], { device });
      expect(await x.relu().toArray()).toEqual([Number.POSITIVE_INFINITY, 0, Number.NaN, 0, 3]);
      expect(await x.add(1).toArray()).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -2, 4]);
      const [first, second, third] = await x.mul(0).data();
      expect([first, second, third]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    });
  });

  // More than four, and not a multiple of four: every form of a kernel, its vectors and its rest.
  test('NaN in an operand gives NaN, and reaches the loss', async () => {
    for (const [name, operation] of rows) {
      if (operation.row.derivatives.includes(null)) continue;
      for (const i of operation.row.derivatives.keys()) {
        if (operation === pointwise.leakyRelu && i === 1) continue; // The slope does not count above 0.
        await step(async () => {
          const operands = operation.row.derivatives.map((_, j) => {
            const values = Float32Array.of(1, 2, 3, 1, 2, 3);
            return tensor(j === i ? values.fill(Number.NaN, 1, 2).fill(Number.NaN, 5) : values, { device });
          });
          const found = Array.from(await applyPointwise(operation, operands).data(), Number.isNaN);
          expect(found, `${name}, operand ${i}`).toEqual([false, true, false, false, false, true]);
        });
      }
    }
  });

  test('the gradient of relu passes where its result is NaN', async () => {
    await step(async () => {
      const x = requireGradient(tensor([1, -1, Number.NaN, 0, Number.NaN], { device }));
      x.relu().backward(tensor([1, 2, 3, 4, 5], { device }));
      expect(await x.gradient?.toArray()).toEqual([1, 0, 3, 0, 5]);
    });
  });

  test('NaN is unequal to all numbers, and neither less nor greater', async () => {
    await step(async () => {
      const [x, y] = [tensor([Number.NaN, 1, Number.NaN], { device }), tensor([Number.NaN, Number.NaN, 1], { device })];
      expect(await operations.notEqual(x, y).toArray()).toEqual([1, 1, 1]);
      const { equal, less, lessEqual, greater, greaterEqual } = operations;
      for (const compare of [equal, less, lessEqual, greater, greaterEqual]) {
        expect(await compare(x, y).toArray(), compare.operation).toEqual([0, 0, 0]);
      }
      expect(await operations.where(x, 1, 2).toArray()).toEqual([1, 1, 1]);
    });
  });

  test('sin and cos of many turns, log1p of little, erf, softplus and clamp at their ends', async () => {
    await step(async () => {
      const turns = [-9999, -100.5, -3, 0, 1e-4, 20, 1234.5, 9999];
      const angles = tensor(turns, { device });
      const rounded = turns.map(Math.fround);
      await expectClose(angles.sin(), tensor(rounded.map(Math.sin), { device }), { absolute: 1e-6 });
      await expectClose(angles.cos(), tensor(rounded.map(Math.cos), { device }), { absolute: 1e-6 });
      const small = [1e-10, -1e-6, 0.29, 0.31, -0.29, -0.31, -0.999, 1e10].map(Math.fround);
      await expectClose(tensor(small, { device }).log1p(), tensor(small.map(Math.log1p), { device }), {
        absolute: 0,
        relative: 3e-6,
      });
      const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
      const ends = tensor([NEGATIVE_INFINITY, -5, -1, 0, 1e-6, 0.5, 3, POSITIVE_INFINITY], { device });
      await expectClose(
        ends.erf(),
        tensor([-1, -1, -0.8427007929497149, 0, 1.1283791671e-6, 0.5204998778130465, 0.9999779095030014, 1], {
          device,
        }),
        { absolute: 1e-12, relative: 1e-6 },
      );
      await expectClose(
        tensor([NEGATIVE_INFINITY, -100, -10, 0, 100, POSITIVE_INFINITY], { device }).softplus(),
        tensor([0, 0, 4.539889921686465e-5, Math.log(2), 100, POSITIVE_INFINITY], { device }),
        { absolute: 1e-12 },
      );
      expect(await ends.clamp(-1, POSITIVE_INFINITY).toArray()).toEqual([
        ...[-1, -1, -1, 0, Math.fround(1e-6), 0.5, 3],
        POSITIVE_INFINITY,
      ]);
    });
  });

  test('clamp passes the gradient at a bound, and keeps it beyond', async () => {
    await step(async () => {
      const x = requireGradient(tensor([-2, -1, 0, 1, 2], { device }));
      x.clamp(-1, 1).sum().backward();
      expect(await x.gradient?.toArray()).toEqual([0, 1, 1, 1, 0]);
    });
  });

  test('functions that saturate do so without NaN', async () => {
    await step(async () => {
      const x = tensor([-100, -20, 20, 100], { device });
      expect(await x.tanh().toArray()).toEqual([-1, -1, 1, 1]);
      await expectClose(x.sigmoid(), tensor([0, Math.exp(-20), 1, 1], { device }));
      for (const activation of [x.silu(), x.gelu()]) {
        await expectClose(activation, tensor([0, 0, 20, 100], { device }), { absolute: 1e-6 });
      }
    });
  });

  test('pow takes whole exponents of negative numbers, and 0', async () => {
    await step(async () => {
      const x = tensor([-2, -2, 0, 0, 3, -2], { device });
      const y = tensor([2, 3, 0, 2, -1, 0.5], { device });
      const expected = tensor([4, -8, 1, 0, 1 / 3, Number.NaN], { device });
      await expectClose(operations.pow(x, y), expected);
    });
  });

  test('pow at 0: its gradients are those of PyTorch', async () => {
    const [nan, infinity] = [Number.NaN, Number.POSITIVE_INFINITY];
    for (const [base, exponent, ofBase, ofExponent] of [
      [0, 0, 0, 0],
      [0, 2, 0, 0],
      [0, 0.5, infinity, 0],
      [0, -1, -infinity, -infinity],
      [-0, -1, -infinity, infinity],
      [-0, -2, infinity, -infinity],
      [-2, 2, -4, nan],
      [nan, 0, 0, nan],
      [infinity, 0, 0, infinity],
    ]) {
      await step(async () => {
        const [x, y] = [base, exponent].map((value) => requireGradient(tensor([value], { device })));
        sum(operations.pow(x, y)).backward();
        const found = [await gradientOf(x)?.item(), await gradientOf(y)?.item()];
        // 0 and -0 are one here.
        expect(
          found.map((each) => (each ?? 0) + 0),
          `${base} ^ ${exponent}`,
        ).toEqual([ofBase, ofExponent]);
      });
    }
  });

  test('empty tensors dispatch nothing', async () => {
    await step(async () => {
      const before = device.work.totalDispatches;
      const result = tensor(new Float32Array(0), { device, shape: [0, 3] }).add(tensor([1, 2, 3], { device }));
      expect(device.work.totalDispatches).toBe(before);
      expect(result.shape).toEqual([0, 3]);
      expect(await result.toArray()).toEqual([]);
    });
  });

  test('each layout gives the same numbers', async () => {
    await step(async () => {
      const shape = [2, 3, 2];
      for (const kind of layouts) {
        const base = random(baseShape(shape, kind), { seed: 3, device });
        const x = inLayout(base, kind);
        const expected = Float32Array.from(await x.data(), (value) => value * 2);
        expect(await x.mul(2).data()).toEqual(expected);
      }
    });
  });

  test('shapes that do not broadcast are refused by every row', () => {
    for (const [name, operation] of rows) {
      const { row } = operation;
      if (row.derivatives.length < 2) continue;
      const operands = row.derivatives.map((_, i) => random([2, 3 + i], { seed: 0, device }));
      expect(() => applyPointwise(operation, operands)).toThrow(ShapeError);
      expect(() => applyPointwise(operation, operands)).toThrow(
        new RegExp(`^${name}: shapes \\[2, 3\\] and \\[2, 4\\].* do not broadcast: axis 1 would need both 3 and 4`),
      );
    }
  });

  test('integers are refused by every row that says nothing of them', () => {
    for (const [name, operation] of rows) {
      const { row } = operation;
      if (row.integers) continue;
      const operands = row.derivatives.map(() => tensor(Int32Array.of(1), { device }));
      expect(() => applyPointwise(operation, operands)).toThrow(DTypeError);
      expect(() => applyPointwise(operation, operands)).toThrow(`${name}: operands have dtype i32`);
    }
  });
});

test('mixed dtypes are refused', () => {
  const single = tensor([1], { device: cpu });
  const double = tensor([1], { device: cpu, dtype: 'f64' });
  expect(() => single.add(double)).toThrow(DTypeError);
  expect(() => single.add(double)).toThrow(
    "add: operands have dtype f32 and f64 (allowed: all f32 or f16, or all f64; cast(x, 'f32') converts)",
  );
});

test('an option or a tensor too many is refused; what list.map passes is not', async () => {
  const x = tensor([-1, 2], { device: cpu });
  expect(() => Reflect.apply(operations.gelu, undefined, [x, { approximate: 'none' }])).toThrow(
    new ArgumentError('gelu: got 2 operands (allowed: 1)'),
  );
  expect(() => Reflect.apply(operations.add, undefined, [x, 1, x])).toThrow('add: got 3 operands (allowed: 2)');
  const [first] = [x].map(operations.relu);
  expect(await first.toArray()).toEqual([0, 2]);
});

test('numbers alone are refused', () => {
  expect(() => operations.add(1, 2)).toThrow(new DTypeError('add: at least one operand must be a tensor'));
});

onEachDevice((device) => {
  describe('on integers', () => {
    const [top, bottom] = [2 ** 31 - 1, -(2 ** 31)];
    const x = [top, bottom, 5, -7, 16_777_217];
    const y = [1, -1, 3, -7, 1];
    const integers = (values: number[]) => tensor(values, { device, dtype: 'i32' });

    test.each<[string, PointwiseOperation, number[]]>([
      ['add wraps', operations.add, [bottom, top, 8, -14, 16_777_218]],
      ['sub wraps', operations.sub, [top - 1, bottom + 1, 2, 0, 16_777_216]],
      ['mul wraps', operations.mul, [top, bottom, 15, 49, 16_777_217]],
      ['maximum', operations.maximum, [top, -1, 5, -7, 16_777_217]],
      ['minimum', operations.minimum, [1, bottom, 3, -7, 1]],
      ['less', operations.less, [0, 1, 0, 0, 0]],
      ['greaterEqual', operations.greaterEqual, [1, 0, 1, 1, 1]],
      ['equal', operations.equal, [0, 0, 0, 1, 0]],
      ['neg', operations.neg, [-top, bottom, -5, 7, -16_777_217]],
      ['abs', operations.abs, [top, bottom, 5, 7, 16_777_217]],
    ])('%s', async (_name, operation, expected) => {
      await step(async () => {
        const result = applyPointwise(operation, [integers(x), integers(y)].slice(0, operation.row.derivatives.length));
        expect(result.dtype).toBe('i32');
        expect(await result.toArray()).toEqual(expected);
      });
    });

    test('views, broadcasting and whole numbers go', async () => {
      await step(async () => {
        const table = tensor([1, 2, 3, 4, 5, 6], { device, dtype: 'i32', shape: [2, 3] }).transpose();
        expect(
          await table
            .mul(integers([10, 100]))
            .add(1)
            .toArray(),
        ).toEqual([
          [11, 401],
          [21, 501],
          [31, 601],
        ]);
        expect(await operations.where(table.greater(2), table, 0).toArray()).toEqual([
          [0, 4],
          [0, 5],
          [3, 6],
        ]);
        expect(await table.clamp(2, 4).toArray()).toEqual([
          [2, 4],
          [2, 4],
          [3, 4],
        ]);
      });
    });

    test('fractions, floats beside them and what is no operation on integers are refused', () => {
      const i = integers([1, 2]);
      expect(() => i.add(0.5)).toThrow('add: 0.5 does not fit dtype i32');
      expect(() => i.add(tensor([1, 2], { device }))).toThrow(DTypeError);
      expect(() => i.exp()).toThrow(
        "exp: operands have dtype i32 (allowed: f16, f32, f64; cast(x, 'f32') makes numbers of integers)",
      );
    });

    test('cast cuts off towards 0, ends at the bounds, and comes back rounded', async () => {
      await step(async () => {
        const floats = tensor([2.7, -2.7, 3e9, -3e9, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2147483520], {
          device,
        });
        const whole = floats.cast('i32');
        expect(await whole.toArray()).toEqual([2, -2, top, bottom, 0, top, top, 2147483520]);
        expect(await whole.reshape([2, 4]).transpose().cast('f32').slice([0], [2]).toArray()).toEqual([
          [2, 0],
          [-2, 2 ** 31],
        ]);
        if (device.supports('f16'))
          expect(await whole.slice([0], [2]).cast('f16').cast('i32').toArray()).toEqual([2, -2]);
        if (device.supports('f64'))
          expect(await whole.cast('f64').cast('i32').toArray()).toEqual(await whole.toArray());
      });
    });
  });
});
