import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  argmax,
  argmin,
  cumsum,
  type Device,
  DTypeError,
  gather,
  gradcheck,
  indexSelect,
  multinomial,
  oneHot,
  Random,
  requireGradient,
  ShapeError,
  scatterAdd,
  sort,
  step,
  type Tensor,
  tensor,
  topk,
  tril,
  triu,
} from '../../../src/index.ts';
import { cpu, onEachDevice, onWebGpu, reference } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs } from '../../shapes.ts';

const exact = { absolute: 0, relative: 0 };
const { NaN: nan, NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

/** 0 too. */
const extents: fc.Arbitrary<number> = fc.constantFrom(0, 1, 2, 3, 5, 9);
const cases = fc.record({
  shape: fc.array(extents, { minLength: 1, maxLength: 4 }),
  kind: layout,
  seed: fc.nat({ max: 1000 }),
  anyAxis: fc.nat({ max: 3 }),
  count: fc.nat({ max: 4 }),
});

/** Numbers that tie, among them NaN, infinities and both zeros. */
const values = [0, -0, 1, 1, 2, -1, -2.5, nan, POSITIVE_INFINITY, NEGATIVE_INFINITY, 3];
const mixed = (source: Random) => values[source.integer(values.length)];

/** A tensor as rows along `axis`. */
async function rowsAlong(x: Tensor, axis: number): Promise<number[][]> {
  const order = [...x.shape.keys()].filter((each) => each !== axis);
  const flat = [...(await x.permute([...order, axis]).data())];
  const length = x.shape[axis];
  return Array.from({ length: length === 0 ? 0 : flat.length / length }, (_, i) =>
    flat.slice(i * length, (i + 1) * length),
  );
}

function inOrder(row: readonly number[], descending: boolean): number[] {
  const key = (value: number) => (Number.isNaN(value) ? [1, 0] : [0, value]);
  const compare = (a: number, b: number) => {
    const [[nanA, x], [nanB, y]] = [key(row[a]), key(row[b])];
    return nanA - nanB || (x < y ? -1 : Number(x > y));
  };
  return [...row.keys()].sort((a, b) => (descending ? -compare(a, b) : compare(a, b)));
}

function indicesOf(shape: readonly number[], bound: number, seed: number, device: Device): Tensor {
  const source = new Random(seed);
  const size = shape.reduce((product, extent) => product * extent, 1);
  return tensor(
    Int32Array.from({ length: size }, () => source.integer(bound)),
    { device, shape },
  );
}

onEachDevice((device: Device) => {
  test('sort, topk, argmax and argmin agree with sorting rows in plain code', async () => {
    const property = fc.asyncProperty(cases, fc.boolean(), ({ shape, kind, seed, anyAxis, count }, descending) =>
      step(async () => {
        const axis = anyAxis % shape.length;
        const x = inLayout(random(baseShape(shape, kind), { seed, device, draw: mixed }), kind);
        const rows = await rowsAlong(x, axis);
        const sorted = sort(x, { axis, descending });
        const orders = rows.map((row) => inOrder(row, descending));
        expect(await rowsAlong(sorted.indices, axis)).toEqual(orders);
        expect(await rowsAlong(sorted.values, axis)).toEqual(rows.map((row, i) => orders[i].map((k) => row[k])));
        const k = Math.min(count, shape[axis]);
        const top = topk(x, k, { axis: axis - shape.length, largest: descending });
        expect(top.values.shape).toEqual(shape.with(axis, k));
        if (k > 0) expect(await rowsAlong(top.indices, axis)).toEqual(orders.map((order) => order.slice(0, k)));
        if (shape[axis] === 0) return;
        const search = descending ? argmax : argmin;
        const first = rows.map((row, i) => (row.some(Number.isNaN) ? row.findIndex(Number.isNaN) : orders[i][0]));
        const found = search(x, { axis, keepDims: true });
        expect([found.dtype, found.shape]).toEqual(['i32', shape.with(axis, 1)]);
        expect((await rowsAlong(found, axis)).flat()).toEqual(first);
        expect(search(x, { axis }).shape).toEqual(shape.toSpliced(axis, 1));
      }),
    );
    await fc.assert(property, runs(40));
  });

  test('argmax of all elements counts in row-major order', async () => {
    await step(async () => {
      const x = tensor(
        [
          [1, 5],
          [7, 7],
        ],
        { device },
      );
      expect(await x.argmax().item()).toBe(2);
      expect(await x.transpose().argmax({ keepDims: true }).toArray()).toEqual([[1]]);
      expect(await x.argmin().item()).toBe(0);
    });
  });

  test('gather and indexSelect take what plain code takes', async () => {
    const property = fc.asyncProperty(cases, ({ shape, kind, seed, anyAxis, count }) =>
      step(async () => {
        const axis = anyAxis % shape.length;
        if (shape[axis] === 0) return;
        const x = inLayout(random(baseShape(shape, kind), { seed, device }), kind);
        const rows = await rowsAlong(x, axis);
        const base = indicesOf(baseShape(shape.with(axis, count), kind), shape[axis], seed, device);
        const indices = inLayout(base, kind);
        const gathered = gather(x, axis, indices);
        expect(gathered.shape).toEqual(indices.shape);
        const positions = await rowsAlong(indices, axis);
        expect(await rowsAlong(gathered, axis)).toEqual(positions.map((row, i) => row.map((k) => rows[i][k])));
        const chosen = indicesOf([count], shape[axis], seed + 1, device);
        const selected = indexSelect(x, axis - shape.length, chosen);
        expect(selected.shape).toEqual(shape.with(axis, count));
        const names = [...(await chosen.data())];
        if (count > 0) expect(await rowsAlong(selected, axis)).toEqual(rows.map((row) => names.map((k) => row[k])));
      }),
    );
    await fc.assert(property, runs(30));
  });

  test('scatterAdd adds what plain code adds', async () => {
    const property = fc.asyncProperty(cases, ({ shape, kind, seed, anyAxis, count }) =>
      step(async () => {
        const axis = anyAxis % shape.length;
        if (shape[axis] === 0) return;
        const x = inLayout(random(baseShape(shape, kind), { seed, device }), kind);
        const added = shape.with(axis, count);
        const source = inLayout(random(baseShape(added, kind), { seed: seed + 1, device }), kind);
        const indices = indicesOf(added, shape[axis], seed, device);
        const [rows, positions, numbers] = await Promise.all([x, indices, source].map((each) => rowsAlong(each, axis)));
        for (const [i, row] of positions.entries()) for (const [k, to] of row.entries()) rows[i][to] += numbers[i][k];
        const actual = await rowsAlong(scatterAdd(x, axis, indices, source), axis);
        expect(actual.map((row) => row.length)).toEqual(rows.map((row) => row.length));
        for (const [i, row] of actual.entries())
          for (const [k, value] of row.entries()) expect(value).toBeCloseTo(rows[i][k], 5);
      }),
    );
    await fc.assert(property, runs(30));
  });

  test('cumsum adds what plain code adds', async () => {
    const property = fc.asyncProperty(cases, ({ shape, kind, seed, anyAxis }) =>
      step(async () => {
        const axis = anyAxis % shape.length;
        const x = inLayout(random(baseShape(shape, kind), { seed, device }), kind);
        const expected = (await rowsAlong(x, axis)).map((row) => {
          let sum = 0;
          return row.map((value) => {
            sum += value;
            return sum;
          });
        });
        const result = cumsum(x, axis);
        expect(result.shape).toEqual(shape);
        const actual = await rowsAlong(result, axis);
        for (const [i, row] of expected.entries())
          for (const [k, value] of row.entries()) expect(actual[i][k]).toBeCloseTo(value, 5);
      }),
    );
    await fc.assert(property, runs(30));
  });

  test('oneHot', async () => {
    await step(async () => {
      const indices = tensor(Int32Array.of(2, 0, 1, 2), { device, shape: [2, 2] });
      expect(await oneHot(indices.transpose(), 3).toArray()).toEqual([
        [
          [0, 0, 1],
          [0, 1, 0],
        ],
        [
          [1, 0, 0],
          [0, 0, 1],
        ],
      ]);
      expect(oneHot(tensor(new Int32Array(0), { device }), 3).shape).toEqual([0, 3]);
      expect(() => oneHot(indices, 2)).toThrow(new ArgumentError('oneHot: index 2 is out of range (allowed: 0 … 1)'));
      expect(() => oneHot(indices, 2.5)).toThrow(ShapeError);
    });
  });

  test('an index that only the device knows to be outside gives NaN, and is left out of sums', async () => {
    await step(async () => {
      const x = tensor([1, 2], { device });
      const outside = tensor([1, 5, 9, 2], { device }).argmax({ keepDims: true });
      expect(await gather(x, 0, outside).toArray()).toEqual([nan]);
      expect(await gather(x.cast('i32'), 0, outside).toArray()).toEqual([-1]);
      expect(await oneHot(outside, 2).toArray()).toEqual([[nan, nan]]);
      expect(await scatterAdd(x, 0, outside, tensor([1], { device })).toArray()).toEqual([1, 2]);
    });
  });

  test('integers are taken, added, sorted and searched as they are', async () => {
    const values = [2 ** 31 - 1, -(2 ** 31), 16_777_217, 16_777_216, 0, -1, 16_777_217];
    await step(async () => {
      const x = tensor(values, { device, dtype: 'i32' });
      const at = (positions: number[]) => tensor(positions, { device, dtype: 'i32' });
      expect(await x.at(at([2, 3, 0])).toArray()).toEqual([16_777_217, 16_777_216, 2 ** 31 - 1]);
      expect(await x.gather(0, at([1, 1])).toArray()).toEqual([-(2 ** 31), -(2 ** 31)]);
      const added = x.scatterAdd(0, at([0, 4, 4]), at([1, 5, 6]));
      expect(await added.toArray()).toEqual([-(2 ** 31), ...values.slice(1, 4), 11, ...values.slice(5)]);
      for (const descending of [false, true]) {
        const order = inOrder(values, descending);
        const sorted = x.sort({ descending });
        expect(await sorted.indices.toArray()).toEqual(order);
        expect(await sorted.values.toArray()).toEqual(order.map((i) => values[i]));
        expect(await x.topk(3, { largest: descending }).indices.toArray()).toEqual(order.slice(0, 3));
      }
      expect([await x.argmax().item(), await x.argmin().item()]).toEqual([0, 1]);
      expect(await x.cumsum(0).toArray()).toEqual(
        values.map((_, i) => values.slice(0, i + 1).reduce((a, b) => (a + b) | 0)),
      );
      const square = x.at([0, 4]).reshape([2, 2]);
      expect(await square.tril().toArray()).toEqual([
        [values[0], 0],
        [values[2], values[3]],
      ]);
      expect(() => x.scatterAdd(0, at([0]), tensor([1], { device }))).toThrow(DTypeError);
      expect(() => x.mean()).toThrow(DTypeError);
    });
  });

  test('triangles of whatever matrix and diagonal', async () => {
    for (const [rows, columns] of [
      [1, 1],
      [3, 5],
      [5, 3],
      [0, 2],
    ]) {
      for (const diagonal of [-6, -1, 0, 2, 6]) {
        await step(async () => {
          const x = random([2, columns, rows], { seed: 3, device }).transpose();
          const plain = await x.data();
          const keep = (inside: (row: number, column: number) => boolean) =>
            Float32Array.from(plain, (value, i) => (inside(Math.floor(i / columns) % rows, i % columns) ? value : 0));
          expect(await tril(x, diagonal).data()).toEqual(keep((row, column) => column <= row + diagonal));
          expect(await triu(x, diagonal).data()).toEqual(keep((row, column) => column >= row + diagonal));
        });
      }
    }
  });

  test('multinomial draws by weight, the same for a seed, and nothing of weight 0', async () => {
    await step(async () => {
      const weights = tensor(
        [
          [0, 1, 3, 0],
          [0.5, 0, 0, 0],
        ],
        { device },
      );
      const draw = () => multinomial(weights, 4000, { random: new Random(7), replacement: true });
      const drawn = await rowsAlong(draw(), 1);
      expect(await rowsAlong(draw(), 1)).toEqual(drawn);
      const share = (category: number) => drawn[0].filter((each) => each === category).length / 4000;
      expect([share(0), share(3)]).toEqual([0, 0]);
      expect(share(2)).toBeGreaterThan(0.72);
      expect(share(2)).toBeLessThan(0.78);
      expect(new Set(drawn[1])).toEqual(new Set([0]));
    });
  });

  test('without replacement each is drawn once, and -1 where none is left or a weight is none', async () => {
    await step(async () => {
      const weights = tensor(
        [
          [1, 2, 3, 4],
          [1, 0, 1, 0],
          [1, nan, 1, 1],
          [1, -1, 1, 1],
          [1, POSITIVE_INFINITY, 1, 1],
          [0, 0, -0, 0],
        ],
        { device },
      );
      const drawn = await rowsAlong(multinomial(weights, 4, { random: new Random(1) }), 1);
      expect(drawn[0].toSorted()).toEqual([0, 1, 2, 3]);
      expect([drawn[1].slice(0, 2).toSorted(), drawn[1].slice(2)]).toEqual([
        [0, 2],
        [-1, -1],
      ]);
      for (const row of drawn.slice(2)) expect(row).toEqual([-1, -1, -1, -1]);
    });
  });
});

onWebGpu((webgpu) => {
  test('multinomial draws the same on both devices', async () => {
    const property = fc.asyncProperty(
      fc.constantFrom([1], [7], [3, 5], [2, 3, 64], [70, 9], [0, 3]),
      fc.nat({ max: 1000 }),
      fc.boolean(),
      (shape, seed, replacement) =>
        step(async () => {
          // Sums of these are exact in f32.
          const draw = (source: Random) => source.integer(16);
          const [expected, actual] = [reference, webgpu].map((device) =>
            multinomial(random(shape, { seed, device, draw }), Math.min(3, shape[shape.length - 1]), {
              random: new Random(seed),
              replacement,
            }),
          );
          await expectClose(actual, expected, exact);
        }),
    );
    await fc.assert(property, runs(30));
  });
});

describe('gradients agree with central differences in f64', () => {
  const operations: Readonly<Record<string, (x: Tensor, axis: number, seed: number) => Tensor>> = {
    gather: (x, axis, seed) => gather(x, axis, indicesOf(x.shape.with(axis, 4), x.shape[axis], seed, cpu)),
    indexSelect: (x, axis, seed) => indexSelect(x, axis, indicesOf([4], x.shape[axis], seed, cpu)),
    'scatterAdd to x': (x, axis, seed) => scatterAdd(x, axis, indicesOf(x.shape, x.shape[axis], seed, cpu), x),
    cumsum: (x, axis) => cumsum(x, axis),
    sort: (x, axis) => sort(x, { axis }).values,
    topk: (x, axis) => topk(x, 1, { axis }).values,
    tril: (x) => tril(x.unsqueeze(0)),
    triu: (x) => triu(x.unsqueeze(1), 1),
  };
  for (const [name, operation] of Object.entries(operations)) {
    test(name, async () => {
      const shapes = cases.filter(({ shape }) => !shape.includes(0));
      const property = fc.asyncProperty(shapes, async ({ shape, kind, seed, anyAxis }) => {
        const x = random(baseShape(shape, kind), { seed, device: cpu, dtype: 'f64' });
        await gradcheck((x) => operation(inLayout(x, kind), anyAxis % shape.length, seed), [x], { elements: 4, seed });
      });
      await fc.assert(property, runs(10));
    });
  }
});

onEachDevice((device) => {
  test('gradients are those of the plain loops', async () => {
    await step(async () => {
      const x = requireGradient(tensor([[3, 1, 2]], { device }));
      const { values } = topk(x, 2);
      values
        .mul(tensor([[10, 20]], { device }))
        .sum()
        .backward();
      expect(await x.gradient?.toArray()).toEqual([[10, 0, 20]]);
      const y = requireGradient(tensor([1, 2, 3], { device }));
      y.cumsum(0)
        .mul(tensor([1, 10, 100], { device }))
        .sum()
        .backward();
      expect(await y.gradient?.toArray()).toEqual([111, 110, 100]);
      const z = requireGradient(tensor([1, 2, 3], { device }));
      const twice = z.gather(0, tensor(Int32Array.of(2, 0, 2), { device }));
      twice
        .mul(tensor([1, 10, 100], { device }))
        .sum()
        .backward();
      expect(await z.gradient?.toArray()).toEqual([10, 0, 101]);
      const source = requireGradient(tensor([5, 7], { device }));
      const sums = z.scatterAdd(0, tensor(Int32Array.of(1, 1), { device }), source);
      expect(await sums.toArray()).toEqual([1, 14, 3]);
      sums
        .mul(tensor([1, 10, 100], { device }))
        .sum()
        .backward();
      expect(await source.gradient?.toArray()).toEqual([10, 10]);
    });
  });
});

test('what does not fit is refused', () => {
  const device = cpu;
  const x = random([2, 3], { seed: 1, device });
  const indices = tensor(Int32Array.of(0, 1), { device });
  expect(() => gather(x, 0, indices)).toThrow(
    new ShapeError('gather: indices [2] must have the shape of x [2, 3] but for axis 0'),
  );
  expect(() => gather(x, 1, tensor(Int32Array.of(0, 3), { device, shape: [2, 1] }))).toThrow(
    new ArgumentError('gather: index 3 is out of range (allowed: 0 … 2)'),
  );
  expect(() => gather(x, 2, indices)).toThrow(ArgumentError);
  expect(() => gather(x, 0, x)).toThrow(DTypeError);
  expect(() => indexSelect(x, 0, indices.unsqueeze(0))).toThrow(
    new ShapeError('indexSelect: indices have shape [1, 2] (allowed: one axis)'),
  );
  expect(() => scatterAdd(x, 0, indices.unsqueeze(1), x)).toThrow(
    new ShapeError('scatterAdd: indices [2, 1] and source [2, 3] must have one shape'),
  );
  expect(() => topk(x, 4)).toThrow(
    new ArgumentError('topk: k is 4 (allowed: a whole number from 0 to 3, the extent of the axis)'),
  );
  expect(() => argmax(tensor([], { device }))).toThrow(
    new ArgumentError('argmax: shape [0] has no element along the axis'),
  );
  expect(() => tril(tensor([1], { device }))).toThrow(
    new ShapeError('tril: shape [1] is no matrix (allowed: […, rows, columns])'),
  );
  expect(() => triu(x, 0.5)).toThrow(new ArgumentError('triu: diagonal is 0.5 (allowed: a whole number)'));
  const random1 = new Random(1);
  expect(() => multinomial(x, 4, { random: random1 })).toThrow(
    new ArgumentError('multinomial: count is 4 (allowed: 1 … 3, the categories; more with replacement)'),
  );
  expect(() => multinomial(x, 0, { random: random1, replacement: true })).toThrow(ArgumentError);
  expect(() => multinomial(tensor(1, { device }), 1, { random: random1 })).toThrow(ShapeError);
  expect(() => Reflect.apply(multinomial, undefined, [x, 1, {}])).toThrow('multinomial: random is undefined');
  for (const operation of [argmax, argmin, sort]) {
    expect(() => Reflect.apply(operation, undefined, [x, 1])).toThrow(
      `${operation.name}: got 1 where options belong (allowed: axis, `,
    );
    expect(() => Reflect.apply(operation, undefined, [x, { dim: 1 }])).toThrow('did you mean axis?');
  }
});
