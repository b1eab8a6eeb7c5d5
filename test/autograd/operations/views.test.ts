import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  arange,
  at,
  broadcastTo,
  concatenate,
  gradcheck,
  permute,
  requireGradient,
  reshape,
  ShapeError,
  slice,
  step,
  sum,
  tensor,
  transpose,
} from '../../../src/index.ts';
import { sizeOf } from '../../../src/tensor/shape.ts';
import { cpu, onEachDevice, onWebGpu, reference } from '../../devices.ts';
import { baseShape, broadcastShapes, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';

const exact = { absolute: 0, relative: 0 };
const seeds = fc.nat({ max: 1000 });

/** A shape and one part of it, as `starts` and `ends`. */
const parts = shapes({ minRank: 1 }).chain((shape) =>
  fc
    .tuple(
      ...shape.map((extent) => fc.tuple(fc.nat({ max: extent }), fc.nat({ max: extent })).map((p) => p.toSorted())),
    )
    .map((bounds) => ({ shape, starts: bounds.map(([start]) => start), ends: bounds.map(([, end]) => end) })),
);

/** Shapes that agree but for one axis, and that axis. */
const joined = fc
  .tuple(shapes({ minRank: 1 }), fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 3 }), fc.nat({ max: 2 }))
  .map(([shape, lengths, axis]) => ({
    axis: axis % shape.length,
    shapes: lengths.map((length) => shape.with(axis % shape.length, length)),
  }));

describe('gradients agree with central differences in f64', () => {
  test('reshape, of dense tensors and of views', async () => {
    const property = fc.asyncProperty(shapes(), layout, seeds, async (shape, kind, seed) => {
      const x = random(baseShape(shape, kind), { seed, device: cpu, dtype: 'f64' });
      await gradcheck((base) => inLayout(base, kind).reshape([-1, 1]), [x], { elements: 6, seed });
    });
    await fc.assert(property, runs(20));
  });

  test('permute and transpose', async () => {
    const ordered = shapes({ minRank: 2 }).chain((shape) =>
      fc.tuple(
        fc.constant(shape),
        fc.shuffledSubarray(
          shape.map((_, axis) => axis),
          { minLength: shape.length, maxLength: shape.length },
        ),
      ),
    );
    const property = fc.asyncProperty(ordered, seeds, async ([shape, order], seed) => {
      const x = random(shape, { seed, device: cpu, dtype: 'f64' });
      await gradcheck((x) => permute(x, order).transpose(0, -1), [x], { elements: 6, seed });
    });
    await fc.assert(property, runs(20));
  });

  test('slice', async () => {
    const property = fc.asyncProperty(parts, seeds, async ({ shape, starts, ends }, seed) => {
      const x = random(shape, { seed, device: cpu, dtype: 'f64' });
      await gradcheck((x) => slice(x, starts, ends), [x], { elements: 6, seed });
    });
    await fc.assert(property, runs(20));
  });

  test('broadcastTo', async () => {
    const property = fc.asyncProperty(broadcastShapes(2), seeds, async ([shape, other], seed) => {
      const target = random(shape, { seed, device: cpu }).add(random(other, { seed, device: cpu })).shape;
      const x = random(shape, { seed, device: cpu, dtype: 'f64' });
      await gradcheck((x) => broadcastTo(x, target), [x], { elements: 6, seed });
    });
    await fc.assert(property, runs(20));
  });

  test('concatenate', async () => {
    const property = fc.asyncProperty(joined, seeds, async ({ axis, shapes }, seed) => {
      const parts = shapes.map((shape, i) => random(shape, { seed: seed + i, device: cpu, dtype: 'f64' }));
      await gradcheck((...parts) => concatenate(parts, axis), parts, { elements: 6, seed });
    });
    await fc.assert(property, runs(20));
  });
});

describe('kernels agree with the reference loops', () => {
  onWebGpu((webgpu) => {
    test('slices, permutations and their copies', async () => {
      const property = fc.asyncProperty(parts, layout, seeds, ({ shape, starts, ends }, kind, seed) =>
        step(async () => {
          const [expected, actual] = [reference, webgpu].map((device) => {
            const base = random(baseShape(shape, kind), { seed, device });
            return inLayout(base, kind)
              .slice(starts, ends)
              .permute(shape.map((_, axis) => axis).toReversed());
          });
          await expectClose(actual, expected, exact);
          await expectClose(actual.reshape([-1]), expected.reshape([-1]), exact);
        }),
      );
      await fc.assert(property, runs(40));
    });

    test('concatenate', async () => {
      const property = fc.asyncProperty(joined, layout, seeds, ({ axis, shapes }, kind, seed) =>
        step(async () => {
          const [expected, actual] = [reference, webgpu].map((device) =>
            concatenate(
              shapes.map((shape, i) => inLayout(random(baseShape(shape, kind), { seed: seed + i, device }), kind)),
              axis,
            ),
          );
          await expectClose(actual, expected, exact);
        }),
      );
      await fc.assert(property, runs(30));
    });

    test('a copy over more than four axes that do not merge', async () => {
      await step(async () => {
        const [expected, actual] = [reference, webgpu].map((device) =>
          random([2, 3, 2, 3, 2, 3], { seed: 1, device }).permute([5, 4, 3, 2, 1, 0]).reshape([-1]),
        );
        await expectClose(actual, expected, exact);
      });
    });
  });
});

onEachDevice((device) => {
  const counted = (shape: number[]) =>
    tensor(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
      { device, shape },
    );

  test('reshape, transpose, permute, slice and broadcastTo share the storage and dispatch nothing', async () => {
    await step(() => {
      const x = counted([2, 3, 4]);
      const before = device.work.totalDispatches;
      const views = [
        x.reshape([6, 4]),
        x.reshape([-1]),
        x.transpose(),
        x.permute([2, 0, 1]),
        x.slice([1, 0, 2]),
        broadcastTo(x, [5, 2, 3, 4]),
        x.slice([1]).reshape([12]),
      ];
      for (const view of views) expect(view.storage).toBe(x.storage);
      expect(device.work.totalDispatches).toBe(before);
    });
  });

  test('reshape copies what does not lie in row-major order, once', async () => {
    await step(async () => {
      const x = counted([2, 3]);
      const before = device.work.totalDispatches;
      const y = x.transpose().reshape([6]);
      expect(device.work.totalDispatches).toBe(before + 1);
      expect(y.storage).not.toBe(x.storage);
      expect(await y.toArray()).toEqual([0, 3, 1, 4, 2, 5]);
    });
  });

  test('positions from the end, whole axes and empty parts', async () => {
    await step(async () => {
      const x = counted([3, 4]);
      expect(await x.slice([1, -2]).toArray()).toEqual([
        [6, 7],
        [10, 11],
      ]);
      expect(await x.slice([0, 1], [-1, -1]).toArray()).toEqual([
        [1, 2],
        [5, 6],
      ]);
      expect(x.slice([3]).shape).toEqual([0, 4]);
      expect(x.slice([2], [1]).shape).toEqual([0, 4]);
      expect(await x.slice([3]).toArray()).toEqual([]);
      expect(await x.slice([2]).slice([0, 3]).toArray()).toEqual([[11]]);
    });
  });

  test('an empty part at the very end of a buffer can be computed with', async () => {
    await step(async () => {
      const x = counted([64]);
      expect(await sum(x.slice([64])).item()).toBe(0);
      expect(await concatenate([x.slice([64]), x.slice([63])]).toArray()).toEqual([63]);
      await device.synchronize();
    });
  });

  test('a scalar takes any shape of one element', async () => {
    await step(async () => {
      const x = tensor(7, { device });
      expect(await x.reshape([1, 1]).toArray()).toEqual([[7]]);
      expect(await broadcastTo(x, [2, 2]).toArray()).toEqual([
        [7, 7],
        [7, 7],
      ]);
      expect(await x.slice([]).item()).toBe(7);
      expect(await x.permute([]).item()).toBe(7);
    });
  });

  test('integers keep their type', async () => {
    await step(async () => {
      const x = tensor(Int32Array.of(1, -2, 3, 2_000_000_001), { device, shape: [2, 2] });
      const y = concatenate([x.transpose(), x.slice([1])]);
      expect(y.dtype).toBe('i32');
      expect(await y.data()).toEqual(Int32Array.of(1, 3, -2, 2_000_000_001, 3, 2_000_000_001));
    });
  });

  test('a gradient cut from a concatenated one is summed with another', async () => {
    await step(async () => {
      const a = tensor([1, 2, 3], { device });
      const x = requireGradient(tensor([4, 5], { device }));
      const c = concatenate([a, x]);
      // The gradient of x is first the part of another buffer that starts at no aligned byte.
      sum(c.mul(tensor([1, 2, 3, 4, 5], { device })))
        .add(sum(x.mul(10)))
        .backward();
      expect(await x.gradient?.toArray()).toEqual([14, 15]);
      await device.synchronize();
    });
  });

  test('a concatenation inside another', async () => {
    await step(async () => {
      const [a, b, c] = [1, 2, 3].map((value) => requireGradient(tensor([value, value], { device })));
      const whole = concatenate([a, concatenate([b, c])]);
      whole.backward(tensor([1, 2, 3, 4, 5, 6], { device }));
      expect(await a.gradient?.toArray()).toEqual([1, 2]);
      expect(await b.gradient?.toArray()).toEqual([3, 4]);
      expect(await c.gradient?.toArray()).toEqual([5, 6]);
    });
  });

  test('gradients accumulate into the part of a concatenated one over two passes', async () => {
    await step(async () => {
      const a = tensor([1, 2, 3], { device });
      const x = requireGradient(tensor([4, 5], { device }));
      const weights = tensor([1, 2, 3, 4, 5], { device });
      for (let pass = 0; pass < 3; pass++) sum(concatenate([a, x]).mul(weights)).backward();
      expect(await x.gradient?.toArray()).toEqual([12, 15]);
      await device.synchronize();
    });
  });

  test('what does not fit is refused with the shapes', () => {
    const x = counted([2, 3]);
    const refusals: [() => unknown, typeof ShapeError | typeof ArgumentError, string][] = [
      [() => reshape(x, [4]), ShapeError, 'reshape: [2, 3] holds 6 elements and cannot take shape [4]'],
      [() => reshape(x, [-1, 4]), ShapeError, 'reshape: [2, 3] holds 6 elements and cannot take shape [-1, 4]'],
      [() => reshape(x, [-1, -1]), ShapeError, 'reshape: [2, 3] holds 6 elements and cannot take shape [-1, -1]'],
      [() => reshape(x, [-2, -3]), ShapeError, 'reshape: [2, 3] holds 6 elements and cannot take shape [-2, -3]'],
      [() => reshape(x, [1.5, 4]), ShapeError, 'reshape: [2, 3] holds 6 elements and cannot take shape [1.5, 4]'],
      [() => permute(x, [0, 0]), ArgumentError, 'permute: order [0, 0] must name each axis of [2, 3] once'],
      [() => permute(x, [0]), ArgumentError, 'permute: order [0] must name each axis of [2, 3] once'],
      [() => permute(x, [0, 2]), ArgumentError, 'permute: axis 2 is outside -2 … 1 of a tensor of rank 2'],
      [() => transpose(counted([3])), ArgumentError, 'transpose: axis -2 is outside -1 … 0 of a tensor of rank 1'],
      [() => slice(x, [0, 4]), ArgumentError, 'slice: position 4 is outside 0 … 3 of shape [2, 3]'],
      [() => slice(x, [-3]), ArgumentError, 'slice: position -3 is outside 0 … 2 of shape [2, 3]'],
      [() => slice(x, [0.5]), ArgumentError, 'slice: position 0.5 is outside 0 … 2 of shape [2, 3]'],
      [() => slice(x, [0, 0, 0]), ArgumentError, 'slice: more positions than the 2 axes of shape [2, 3]'],
      [() => broadcastTo(x, [2]), ShapeError, 'broadcastTo: shapes [2, 3] and [2] do not broadcast'],
      [() => broadcastTo(x, [3]), ShapeError, 'broadcastTo: [2, 3] does not stretch to [3]'],
      [() => concatenate([]), ArgumentError, 'concatenate: got no tensor'],
      [() => concatenate([x], 2), ArgumentError, 'concatenate: axis 2 is outside -2 … 1 of a tensor of rank 2'],
      [
        () => concatenate([x, counted([2, 2])]),
        ShapeError,
        'concatenate: f32 [2, 2] does not continue f32 [2, 3] along axis 0',
      ],
      [
        () => concatenate([x, tensor(new Int32Array(6), { device, shape: [2, 3] })]),
        ShapeError,
        'concatenate: i32 [2, 3] does not continue f32 [2, 3]',
      ],
    ];
    for (const [act, kind, message] of refusals) {
      expect(act).toThrow(kind);
      expect(act).toThrow(message);
    }
  });
});

onEachDevice((device) => {
  test('at takes positions, ranges and lists of positions', async () => {
    await step(async () => {
      const x = arange(24, { device }).reshape([2, 3, 4]);
      expect(await x.at(-1, 0).toArray()).toEqual([12, 13, 14, 15]);
      expect(await x.at(0, [1, 3], [-2, null]).toArray()).toEqual([
        [6, 7],
        [10, 11],
      ]);
      expect(await x.at(null, null, 1).toArray()).toEqual([
        [1, 5, 9],
        [13, 17, 21],
      ]);
      expect(await x.at(1, tensor([2, 0], { device, dtype: 'i32' }), 3).toArray()).toEqual([23, 15]);
      expect(await x.at(1, [3, 3]).shape).toEqual([0, 4]);
      for (const place of [3, -4, 1.5, '0', [0], [0, 4], [2, 1], [0, 'end']]) {
        expect(() => Reflect.apply(at, undefined, [x, 0, place])).toThrow(ArgumentError);
      }
      expect(() => x.at(0, 0, 0, 0)).toThrow('at: 4 places for the 3 axes');
    });
  });
});

test('gradients go back to where at took from', async () => {
  const x = random([3, 4, 2], { seed: 1, device: cpu, dtype: 'f64' });
  const rows = tensor([2, 0, 2], { device: cpu, dtype: 'i32' });
  await gradcheck((each) => each.at([1, null], -1), [x]);
  await gradcheck((each) => each.at(rows, [0, 2]), [x]);
});
