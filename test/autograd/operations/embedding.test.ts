import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backward } from '../../../src/autograd/backward.ts';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import { requireGradient } from '../../../src/autograd/node.ts';
import { embedding } from '../../../src/autograd/operations/embedding.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { tensor } from '../../../src/tensor/create.ts';
import type { Device } from '../../../src/tensor/device.ts';
import {
  ArgumentError,
  DeviceMismatchError,
  DTypeError,
  ReleasedTensorError,
  ShapeError,
} from '../../../src/tensor/errors.ts';
import { Random } from '../../../src/tensor/random.ts';
import { step } from '../../../src/tensor/scope.ts';
import { type Shape, sizeOf } from '../../../src/tensor/shape.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { copy } from '../../../src/tensor/tensor.ts';
import { cpu, onEachDevice, webgpu } from '../../devices.ts';
import { baseShape, inLayout, layout, random, runs, shapes } from '../../shapes.ts';
import { expectAgreement, leaf } from './agreement.ts';

/** Indices below `count`, of which a few are frequent. */
function someIndices(shape: Shape, count: number, options: { seed: number; device: Device }): Tensor {
  const source = new Random(options.seed);
  const draw = () => source.integer(source.uniform() < 0.5 ? Math.min(3, count) : count);
  return tensor(Int32Array.from({ length: sizeOf(shape) }, draw), { device: options.device, shape });
}

const cases = fc.record({
  shape: shapes(),
  kind: layout,
  tableKind: layout,
  count: fc.constantFrom(1, 2, 17, 300),
  width: fc.constantFrom(1, 5, 64, 131),
  seed: fc.nat({ max: 1000 }),
});

test('the gradient agrees with central differences in f64', async () => {
  const property = fc.asyncProperty(cases, async ({ shape, kind, tableKind, seed }) => {
    const indices = inLayout(someIndices(baseShape(shape, kind), 5, { seed, device: cpu }), kind);
    const table = random(baseShape([5, 3], tableKind), { seed, device: cpu, dtype: 'f64' });
    await gradcheck((base) => embedding(indices, inLayout(base, tableKind)), [table], { elements: 6, seed });
  });
  await fc.assert(property, runs(20));
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((faster) => {
    const compare = (tokens: Shape, count: number, width: number, seed: number) =>
      expectAgreement(
        faster,
        (device) => {
          const indices = someIndices(tokens, count, { seed, device });
          const table = leaf([count, width], { seed, device });
          return { output: embedding(indices, table), leaves: [table] };
        },
        { absolute: 1e-7 * sizeOf(tokens), relative: 1e-5 },
      );

    test('embedding', async () => {
      const property = fc.asyncProperty(cases, ({ shape, kind, tableKind, count, width, seed }) =>
        expectAgreement(
          faster,
          (device) => {
            const indices = inLayout(someIndices(baseShape(shape, kind), count, { seed, device }), kind);
            const base = leaf(baseShape([count, width], tableKind), { seed, device });
            return { output: embedding(indices, inLayout(base, tableKind)), leaves: [base] };
          },
          { absolute: 1e-5, relative: 1e-5 },
        ),
      );
      await fc.assert(property, runs(25));
    });

    test('many tokens of few rows, and of many', async () => {
      await compare([40, 70], 2, 8, 1);
      await compare([40, 70], 5000, 8, 2);
    });
  });
});

onEachDevice((device) => {
  test('by hand: rows in the order of the indices, gradients summed, 0 where no index points', async () => {
    await step(async () => {
      const table = requireGradient(tensor([[1, 2], [3, 4], [5, 6], [7, 8]], { device })); // biome-ignore format: a matrix
      const rows = embedding(tensor(Int32Array.of(2, 0, 2), { device }), table);
      expect(await rows.toArray()).toEqual([
        [5, 6],
        [1, 2],
        [5, 6],
      ]);
      backward(rows, tensor([[1, 10], [2, 20], [4, 40]], { device })); // biome-ignore format: a matrix
      expect(await gradientOf(table)?.toArray()).toEqual([
        [2, 20],
        [0, 0],
        [5, 50],
        [0, 0],
      ]);
    });
  });

  test('the same bits every time', async () => {
    const gradient = () =>
      step(async () => {
        const table = leaf([7, 33], { seed: 1, device });
        const rows = embedding(someIndices([500], 7, { seed: 2, device }), table);
        backward(rows, random([500, 33], { seed: 3, device }));
        return await gradientOf(table)?.data();
      });
    expect(await gradient()).toEqual(await gradient());
  });

  test('no index at all: an empty result, a gradient of 0', async () => {
    await step(async () => {
      const table = requireGradient(tensor([[1], [2]], { device }));
      const rows = embedding(tensor(new Int32Array(0), { device, shape: [0, 3] }), table);
      expect(rows.shape).toEqual([0, 3, 1]);
      backward(sum(rows));
      expect(await gradientOf(table)?.toArray()).toEqual([[0], [0]]);
    });
  });

  test('indices that never were on the host give NaN outside the table, and no gradient', async () => {
    await step(async () => {
      const table = requireGradient(tensor([[1], [2]], { device }));
      const rows = embedding(copy(tensor(Int32Array.of(1, -1, 2, 0), { device })), table);
      expect(await rows.toArray()).toEqual([[2], [Number.NaN], [Number.NaN], [1]]);
      backward(sum(rows));
      expect(await gradientOf(table)?.toArray()).toEqual([[1], [1]]);
    });
  });

  test('an index outside the table is refused', () => {
    const table = tensor([[1], [2]], { device });
    for (const index of [-1, 2]) {
      const indices = tensor(Int32Array.of(0, index), { device });
      expect(() => embedding(indices, table)).toThrow(ArgumentError);
      expect(() => embedding(indices, table)).toThrow(`embedding: index ${index} is out of range (allowed: 0 … 1)`);
    }
  });
});

test('what does not fit is refused', () => {
  const indices = tensor(Int32Array.of(0), { device: cpu });
  const table = tensor([[1], [2]], { device: cpu });
  expect(() => embedding(indices, tensor([1, 2], { device: cpu }))).toThrow(/embedding: table has shape \[2\]/);
  expect(() => embedding(indices, tensor([1, 2], { device: cpu }))).toThrow(ShapeError);
  expect(() => embedding(tensor([0], { device: cpu }), table)).toThrow(DTypeError);
  expect(() => embedding(indices, tensor(Int32Array.of(1), { device: cpu, shape: [1, 1] }))).toThrow(DTypeError);
  if (webgpu) {
    const elsewhere = tensor([[1]], { device: webgpu });
    expect(() => embedding(indices, elsewhere)).toThrow(DeviceMismatchError);
  }
  indices.release();
  expect(() => embedding(indices, table)).toThrow(ReleasedTensorError);
});

test('a frozen table keeps nothing', () => {
  expect(embedding(tensor(Int32Array.of(0), { device: cpu }), tensor([[1]], { device: cpu })).node).toBeUndefined();
});
