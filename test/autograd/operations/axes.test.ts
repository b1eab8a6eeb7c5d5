import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  add,
  broadcastTo,
  type Device,
  expand,
  flatten,
  flip,
  gradcheck,
  matmul,
  pad,
  ShapeError,
  split,
  squeeze,
  stack,
  step,
  type Tensor,
  tensor,
  unsqueeze,
} from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs } from '../../shapes.ts';

/** Extents of 0 too. */
const shapes = fc.array(fc.constantFrom(0, 1, 2, 3, 5), { minLength: 1, maxLength: 4 });
const cases = fc.tuple(shapes, layout, fc.nat({ max: 1000 }), fc.nat({ max: 3 }));

/** Each rearrangement along `axis`, and the same written out with positions: element `at` of the result is which element of x. */
interface Rearrangement {
  run(x: Tensor, axis: number): Tensor;
  shape(shape: readonly number[], axis: number): number[];
  /** null: nothing of x. */
  source(at: readonly number[], shape: readonly number[], axis: number): readonly number[] | null;
}

const rearrangements: Readonly<Record<string, Rearrangement>> = {
  unsqueeze: {
    run: (x, axis) => unsqueeze(x, axis),
    shape: (shape, axis) => shape.toSpliced(axis, 0, 1),
    source: (at, _, axis) => at.toSpliced(axis, 1),
  },
  squeeze: {
    run: (x, axis) => squeeze(unsqueeze(x, axis), axis),
    shape: (shape) => [...shape],
    source: (at) => at,
  },
  flip: {
    run: (x, axis) => flip(x, axis - x.rank),
    shape: (shape) => [...shape],
    source: (at, shape, axis) => at.with(axis, shape[axis] - 1 - at[axis]),
  },
  flipAll: {
    run: (x) => flip(x, ...x.shape.keys()),
    shape: (shape) => [...shape],
    source: (at, shape) => at.map((position, axis) => shape[axis] - 1 - position),
  },
  pad: {
    run: (x, axis) => pad(x, x.shape.map((_, i) => (i === axis ? [1, 2] : [0, 0])) satisfies [number, number][]),
    shape: (shape, axis) => shape.with(axis, shape[axis] + 3),
    source: (at, shape, axis) => {
      const position = at[axis] - 1;
      return position >= 0 && position < shape[axis] ? at.with(axis, position) : null;
    },
  },
  stack: {
    run: (x, axis) => stack([x, x], axis),
    shape: (shape, axis) => shape.toSpliced(axis, 0, 2),
    source: (at, _, axis) => at.toSpliced(axis, 1),
  },
  'split and stacked': {
    run: (x, axis) => (x.shape[axis] === 0 ? x : stack(split(x, 1, axis), axis).squeeze(axis + 1)),
    shape: (shape) => [...shape],
    source: (at) => at,
  },
  expand: {
    run: (x) => expand(x, [2, ...x.shape.map(() => -1)]),
    shape: (shape) => [2, ...shape],
    source: (at) => at.slice(1),
  },
};

/** What a rearrangement should give, from the elements of x one by one. */
async function writtenOut(x: Tensor, axis: number, { shape, source }: Rearrangement): Promise<Tensor> {
  const values = await x.data();
  const extents = shape(x.shape, axis);
  const size = extents.reduce((product, extent) => product * extent, 1);
  const result = Float32Array.from({ length: size }, (_, index) => {
    let rest = index;
    const at = extents.toReversed().map((extent) => {
      const position = rest % extent;
      rest = Math.floor(rest / extent);
      return position;
    });
    const from = source(at.toReversed(), x.shape, axis);
    return from ? values[from.reduce((sum, position, i) => sum * x.shape[i] + position, 0)] : 0;
  });
  return tensor(result, { device: x.device, shape: extents });
}

onEachDevice((device: Device) => {
  for (const [name, rearrangement] of Object.entries(rearrangements)) {
    test(`${name}, of whatever shape and layout`, async () => {
      const property = fc.asyncProperty(cases, ([shape, kind, seed, anyAxis]) =>
        step(async () => {
          const axis = anyAxis % shape.length;
          const x = inLayout(random(baseShape(shape, kind), { seed, device }), kind);
          const actual = rearrangement.run(x, axis);
          await expectClose(actual, await writtenOut(x, axis, rearrangement), { absolute: 0, relative: 0 });
          // As an operand too: not every kernel makes it dense first.
          await expectClose(add(actual, actual), actual.mul(2), { absolute: 0, relative: 0 });
        }),
      );
      await fc.assert(property, runs(20));
    });
  }

  test('flatten makes one axis of several', async () => {
    await step(async () => {
      const x = random([2, 3, 4], { seed: 1, device });
      expect(x.flatten().shape).toEqual([24]);
      expect(x.flatten(1).shape).toEqual([2, 12]);
      expect(flatten(x, 0, -2).shape).toEqual([6, 4]);
      expect(await x.transpose().flatten().toArray()).toEqual(
        (await x.transpose().toArray()).toString().split(',').map(Number),
      );
      expect(tensor(3, { device }).flatten().shape).toEqual([1]);
      expect(random([2, 0], { seed: 1, device }).flatten().shape).toEqual([0]);
    });
  });

  test('a flipped matrix is multiplied as its dense copy is', async () => {
    await step(async () => {
      const x = random([5, 7], { seed: 1, device });
      const y = random([7, 3], { seed: 2, device });
      await expectClose(matmul(flip(x, [0, 1]), flip(y, 0)), matmul(flip(x, 0), y), { absolute: 1e-5 });
    });
  });

  test('integers are rearranged too', async () => {
    await step(async () => {
      const x = tensor(Int32Array.of(1, 2, 3, 4), { device, shape: [2, 2] });
      expect(await flip(x, 0).toArray()).toEqual([
        [3, 4],
        [1, 2],
      ]);
      expect(
        await pad(
          x,
          [
            [0, 0],
            [1, 0],
          ],
          { value: -1 },
        ).toArray(),
      ).toEqual([
        [-1, 1, 2],
        [-1, 3, 4],
      ]);
      expect(await stack([x, x], 2).flatten().toArray()).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    });
  });

  test('split into extents given one by one', async () => {
    await step(async () => {
      const x = tensor([1, 2, 3, 4, 5], { device });
      expect(await Promise.all(x.split(2).map((part) => part.toArray()))).toEqual([[1, 2], [3, 4], [5]]);
      expect(await Promise.all(x.split([0, 4, 1]).map((part) => part.toArray()))).toEqual([[], [1, 2, 3, 4], [5]]);
      expect(
        x
          .slice([0], [0])
          .split(2)
          .map(({ shape }) => shape),
      ).toEqual([[0]]);
    });
  });
});

describe('gradients agree with central differences in f64', () => {
  for (const [name, rearrangement] of Object.entries(rearrangements)) {
    test(name, async () => {
      const property = fc.asyncProperty(cases, async ([shape, kind, seed, anyAxis]) => {
        const x = random(baseShape(shape, kind), { seed, device: cpu, dtype: 'f64' });
        await gradcheck((x) => rearrangement.run(inLayout(x, kind), anyAxis % shape.length), [x], {
          elements: 4,
          seed,
        });
      });
      await fc.assert(property, runs(10));
    });
  }
});

test('what does not fit is refused', () => {
  const x = random([2, 3], { seed: 1, device: cpu });
  expect(() => squeeze(x, 1)).toThrow(new ShapeError('squeeze: axis 1 of shape [2, 3] has extent 3, not 1'));
  expect(() => unsqueeze(x, 3)).toThrow(new ArgumentError('unsqueeze: axis 3 is outside -3 … 2 of a tensor of rank 3'));
  expect(() => flatten(x, 1, 0)).toThrow(new ArgumentError('flatten: first axis 1 lies behind the last, 0'));
  expect(() => stack([])).toThrow(new ArgumentError('stack: got no tensor (allowed: one or more)'));
  expect(() => stack([x, x.transpose()])).toThrow(
    new ShapeError('stack: shapes [2, 3] and [3, 2] differ (allowed: one for all)'),
  );
  expect(() => Reflect.apply(stack, undefined, [x, x])).toThrow('stack: got Tensor f32 [2, 3]');
  expect(() => Reflect.apply(stack, undefined, [[x, 1]])).toThrow('stack: operand 2 is number');
  expect(() => flip(x)).toThrow(new ArgumentError('flip: got no axis (allowed: one or more, such as 0 or [0, 1])'));
  for (const size of [0, -1, 1.5, Number.NaN, [1, 3], [-1, 3], [0.5, 1.5]])
    expect(() => split(x, size)).toThrow(ArgumentError);
  expect(() => split(x, [1, 3])).toThrow(
    'split: parts of 1, 3 do not make up axis 0 of shape [2, 3] (allowed: one whole number above 0, or several that add up to 2)',
  );
  expect(() => flip(x, 2)).toThrow(ArgumentError);
  expect(() => Reflect.apply(pad, undefined, [x, [1, 1]])).toThrow(
    'pad: widths are [1,1] for shape [2, 3] (allowed: a pair [before, behind]',
  );
  expect(() =>
    pad(x, [
      [0, 0],
      [0, -1],
    ]),
  ).toThrow(ArgumentError);
  expect(() =>
    Reflect.apply(pad, undefined, [
      x,
      [
        [0, 0],
        [0, 1],
      ],
      5,
    ]),
  ).toThrow('pad: got 5 where options belong (allowed: value); did you mean { value: 5 }?');
});

test.each([[[-3]], [[1.5]], [[Number.POSITIVE_INFINITY]], [[Number.NaN]], [[-1]]])(
  'broadcastTo %j is refused',
  (shape) => {
    const x = tensor([1], { device: cpu });
    expect(() => broadcastTo(x, shape)).toThrow(ShapeError);
    if (shape[0] !== -1) expect(() => expand(x, shape)).toThrow(ShapeError);
    expect(() => expand(x, [-1, 1])).toThrow(ShapeError);
  },
);
