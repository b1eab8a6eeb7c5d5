import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { partsOfInner } from '../../../src/autograd/operations/matmul/kernels.ts';
import {
  DeviceLimitError,
  DTypeError,
  gradcheck,
  matmul,
  requireGradient,
  ShapeError,
  slice,
  snapshotWork,
  step,
  sum,
  type Tensor,
  tensor,
  workSince,
  zeros,
} from '../../../src/index.ts';
import type { Shape } from '../../../src/tensor/shape.ts';
import { WebGpuDevice } from '../../../src/tensor/webgpu/webgpu-device.ts';
import { cpu, onEachDevice, onWebGpu, reference, webgpu } from '../../devices.ts';
import { baseShape, expectClose, inLayout, type Layout, layout, random, runs } from '../../shapes.ts';

interface Case {
  a: Shape;
  b: Shape;
  kinds: readonly [Layout, Layout];
  biased: boolean;
  seed: number;
}

/** Products of one matrix, of batches, of a batch and one matrix, and of batches that broadcast. */
function cases(extent: fc.Arbitrary<number>): fc.Arbitrary<Case> {
  const batch = fc.constantFrom<[Shape, Shape]>(
    [[], []],
    [[3], []],
    [[2, 3], []],
    [[3], [3]],
    [
      [2, 3],
      [2, 1],
    ],
    [[1], [4]],
    [[], [2]],
  );
  return fc
    .record({
      m: extent,
      n: extent,
      k: extent,
      batch,
      kinds: fc.tuple(layout, layout),
      biased: fc.boolean(),
      seed: fc.nat({ max: 1000 }),
    })
    .map(({ m, n, k, batch: [left, right], ...rest }) => ({ a: [...left, m, k], b: [...right, k, n], ...rest }));
}

/** The last two axes swapped: what `transpose` undoes. */
function transposedShape(shape: Shape): Shape {
  return [...shape.slice(0, -2), ...shape.slice(-2).toReversed()];
}

describe('gradients agree with central differences in f64', () => {
  test('batches, broadcasts, views and biases', async () => {
    const extent = fc.constantFrom(1, 2, 3, 5);
    const property = fc.asyncProperty(cases(extent), async ({ a, b, kinds, biased, seed }) => {
      const inputs = [a, b].map((shape, i) =>
        random(baseShape(shape, kinds[i]), { seed: seed + i, device: cpu, dtype: 'f64' }),
      );
      if (biased) inputs.push(random(b.slice(-1), { seed, device: cpu, dtype: 'f64' }));
      const f = (a: Tensor, b: Tensor, bias?: Tensor) => matmul(inLayout(a, kinds[0]), inLayout(b, kinds[1]), bias);
      await gradcheck(f, inputs, { elements: 6, seed });
    });
    await fc.assert(property, runs(40));
  });

  test('a residual and a ReLU', async () => {
    const inputs = [[2, 3, 5], [5, 4], [4], [2, 3, 4]].map((shape, seed) =>
      random(shape, { seed: 20 + seed, device: cpu, dtype: 'f64' }),
    );
    const f = (a: Tensor, b: Tensor, bias: Tensor, residual: Tensor) =>
      matmul(a, b, bias, { residual, activation: 'relu' });
    await gradcheck(f, inputs);
  });

  for (const [transposeA, transposeB] of [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ]) {
    test(`a${transposeA ? 'ᵀ' : ''} · b${transposeB ? 'ᵀ' : ''}`, async () => {
      for (const batch of [[], [2]]) {
        const a = [...batch, 3, 5];
        const b = [...batch, 5, 2];
        const inputs = [transposeA ? transposedShape(a) : a, transposeB ? transposedShape(b) : b].map((shape, seed) =>
          random(shape, { seed, device: cpu, dtype: 'f64' }),
        );
        await gradcheck((a, b) => (transposeA ? a.transpose() : a).matmul(transposeB ? b.transpose() : b), inputs);
      }
    });
  }
});

describe('the kernel, and the loop on vectors, agree with the reference loop', () => {
  onEachDevice((each) => {
    const compare = ({ a, b, kinds, biased, seed }: Case) =>
      step(async () => {
        const [expected, actual] = [reference, each].map((device) => {
          const [left, right] = [a, b].map((shape, i) =>
            inLayout(random(baseShape(shape, kinds[i]), { seed: seed + i, device }), kinds[i]),
          );
          return matmul(left, right, biased ? random(b.slice(-1), { seed, device }) : null);
        });
        await expectClose(actual, expected, { absolute: 2 ** -23 * (8 + a[a.length - 1]), relative: 0 });
      });

    test('around the edges of a tile', async () => {
      const edge = fc.constantFrom(1, 2, 7, 31, 32, 33, 63, 64, 65);
      await fc.assert(fc.asyncProperty(cases(edge), compare), runs(40));
    });

    test('a long inner axis', async () => {
      for (const k of [127, 128, 129, 1000, 1024, 1025, 2049]) {
        await compare({ a: [33, k], b: [k, 31], kinds: ['dense', 'permuted'], biased: true, seed: k });
      }
    });

    test('a second gradient is added to the first by the product itself, around the edges of a tile', async () => {
      for (const [m, n, k] of [
        [33, 31, 65],
        [32, 64, 32],
        [2, 1025, 3],
      ]) {
        await step(async () => {
          const [expected, actual] = [reference, each].map((device) => {
            const x = requireGradient(random([2, m, k], { seed: 1, device }));
            // Not a leaf: a leaf's gradients may come from several passes, and are added apart.
            const inner = x.mul(1);
            const [a, b] = [2, 3].map((seed) => inner.matmul(random([k, n], { seed, device })));
            const sum = a.add(b);
            const before = snapshotWork(device);
            sum.backward(random([2, m, n], { seed: 4, device }));
            expect(workSince(device, before).dispatches.get('accumulate')).toBeUndefined();
            return x.gradient;
          });
          if (!expected || !actual) expect.fail('no gradient');
          await expectClose(actual, expected, { absolute: 2 ** -23 * (16 + 4 * n), relative: 0 });
        });
      }
    });

    test('where the other operand brought the leading axes, the gradient is summed before it is added', async () => {
      await step(async () => {
        const [expected, actual] = [reference, each].map((device) => {
          const x = requireGradient(random([5, 4], { seed: 1, device }));
          const inner = x.mul(1);
          const products = [2, 3].map((seed) => inner.matmul(random([3, 4, 6], { seed, device })));
          sum(products[0].add(products[1])).backward();
          return x.gradient;
        });
        if (!expected || !actual) expect.fail('no gradient');
        await expectClose(actual, expected, { absolute: 1e-4, relative: 0 });
      });
    });

    test('a residual and a ReLU, added on the way, give what they give as passes of their own', async () => {
      for (const [m, n, k] of [
        [33, 31, 65],
        [32, 64, 32],
        [3, 36, 1028],
        [5, 9, 0],
      ]) {
        const shapes = [[2, m, k], [k, n], [n], [2, n, m]];
        await step(async () => {
          const [expected, actual] = [reference, each].map((device) => {
            const leaves = shapes.map((shape, seed) => requireGradient(random(shape, { seed, device })));
            const [a, b, bias, turned] = leaves;
            const residual = turned.transpose();
            const before = snapshotWork(device);
            const result =
              device === reference
                ? a.matmul(b, bias).add(residual).relu()
                : a.matmul(b, bias, { residual, activation: 'relu' });
            const { dispatches } = workSince(device, before);
            if (device === each) expect([...dispatches.keys()].toSorted()).toEqual(['matmul', 'strided-copy']);
            result.backward(random([2, m, n], { seed: 4, device }));
            return [result, ...leaves.map((leaf) => leaf.gradient)];
          });
          for (const [i, value] of expected.entries()) {
            const kernel = actual[i];
            if (!value || !kernel) expect.fail(`no gradient for operand ${i - 1}`);
            await expectClose(kernel, value, { absolute: 2 ** -23 * (8 + 2 * Math.max(m, n, k)), relative: 0 });
          }
        });
      }
    });

    test('gradients, around the edges of a tile', async () => {
      for (const [m, n, k] of [
        [33, 31, 65],
        [1, 64, 32],
        [65, 1, 33],
      ]) {
        await step(async () => {
          const [expected, actual] = [reference, each].map((device) => {
            const a = requireGradient(random([2, m, k], { seed: 1, device }));
            const b = requireGradient(random([k, n], { seed: 2, device }));
            const bias = requireGradient(random([n], { seed: 3, device }));
            matmul(a, b, bias).backward(random([2, m, n], { seed: 4, device }));
            return [a, b, bias].map((leaf) => leaf.gradient);
          });
          for (const [i, value] of expected.entries()) {
            const kernel = actual[i];
            if (!value || !kernel) expect.fail(`no gradient for operand ${i}`);
            await expectClose(kernel, value, { absolute: 2 ** -23 * (8 + 2 * Math.max(m, n, k)), relative: 0 });
          }
        });
      }
    });
  });
});

test('the bits of a row depend neither on the other rows nor on their number', async () => {
  const hardware = webgpu && (await WebGpuDevice.open({ kernelSet: 'hardware' }));
  for (const device of [cpu, webgpu, hardware]) {
    if (!device) continue;
    await step(async () => {
      // On graphics hardware products of 1 and of 140 such rows would be cut in other parts; past the blocks of the vector loops.
      const [m, k, n] = [140, 1280, 360];
      const [a, b, bias, residual] = [[m, k], [k, n], [n], [m, n]].map((shape, seed) =>
        random(shape, { seed, device }),
      );
      const product = (from: number, to: number, adds: boolean) => {
        const [rows, rowsOfResidual] = [a, residual].map((x) => slice(x, [from], [to]));
        return adds ? matmul(rows, b, bias, { residual: rowsOfResidual }).data() : matmul(rows, b).data();
      };
      for (const adds of [false, true]) {
        const whole = await product(0, m, adds);
        for (const [from, to] of [
          [0, 1],
          [3, 5],
          [64, 75],
          [9, m],
        ]) {
          const part = await product(from, to, adds);
          expect(part.every((value, i) => Object.is(value, whole[from * n + i]))).toBe(true);
        }
      }
    });
  }
});

describe('the form for graphics hardware', () => {
  test.skipIf(!webgpu)('splits a long inner axis among workgroups, and adds the parts up', async () => {
    const device = await WebGpuDevice.open({ kernelSet: 'hardware' });
    for (const [m, k, n] of [
      [5, 512, 3],
      [70, 768, 65],
      [33, 301, 31],
    ]) {
      await step(async () => {
        const before = snapshotWork(device);
        const [expected, actual] = [reference, device].map((each) => {
          const a = requireGradient(random([m, k], { seed: 1, device: each }));
          // The gradient of b sums over the rows of a: k of them, where a comes transposed.
          const b = requireGradient(random([m, n], { seed: 2, device: each }));
          const product = matmul(a, random([k, n], { seed: 3, device: each }));
          matmul(a.transpose(), b).backward(random([k, n], { seed: 4, device: each }));
          return [product, a.gradient, b.gradient];
        });
        // Of the gradient of b alone: parts depend on the number of rows, on which a row's bits must not.
        expect(workSince(device, before).dispatches.get('sum-columns') ?? 0).toBe(k % 256 === 0 ? 1 : 0);
        for (const [i, value] of expected.entries()) {
          const kernel = actual[i];
          if (!value || !kernel) expect.fail(`no gradient for operand ${i}`);
          await expectClose(kernel, value, { absolute: 2 ** -23 * (8 + 2 * k), relative: 0 });
        }
      });
    }
    await step(async () => {
      const [expected, actual] = [reference, device].map((each) =>
        matmul(random([5, 512], { seed: 1, device: each }), random([2, 512, 3], { seed: 2, device: each })),
      );
      await expectClose(actual, expected, { absolute: 2 ** -23 * 520, relative: 0 });
    });
    device.trim();
    expect(device.memory().liveBytes).toBe(0);
  });

  test.skipIf(!webgpu)('adds a residual and takes a ReLU on the way', async () => {
    const device = await WebGpuDevice.open({ kernelSet: 'hardware' });
    await step(async () => {
      const [expected, actual] = [reference, device].map((each) => {
        const [a, b, bias, residual] = [[65, 33], [33, 70], [70], [65, 70]].map((shape, seed) =>
          random(shape, { seed, device: each }),
        );
        return matmul(a, b, bias, { residual, activation: 'relu' });
      });
      await expectClose(actual, expected, { absolute: 2 ** -23 * 40, relative: 0 });
    });
    device.trim();
  });

  test('parts are equal and not too short, and there are as many as a card has work for', () => {
    const hardware = { kernelSet: 'hardware' } as const;
    const parts = (m: number, k: number, n: number) => partsOfInner(hardware, m, k, n);
    expect(parts(128, 256, 512)).toBe(2);
    expect(parts(128, 4096, 128)).toBe(32);
    expect(parts(1024, 4096, 1024)).toBe(1);
    expect(parts(128, 255, 128)).toBe(1);
    expect(parts(64, 100, 64)).toBe(1);
    expect(partsOfInner(cpu, 128, 4096, 128)).toBe(1);
  });
});

onEachDevice((device) => {
  test('NaN passes a ReLU that is applied on the way', async () => {
    for (const [m, n, k] of [
      [1, 1, 1],
      [5, 7, 3],
      [32, 64, 32],
      [33, 36, 8],
    ]) {
      await step(async () => {
        const values = new Float32Array(m * k).fill(1);
        values[k * (m - 1)] = Number.NaN;
        const a = tensor(values, { device, shape: [m, k] });
        const b = tensor(new Float32Array(k * n).fill(1), { device, shape: [k, n] });
        const found = await matmul(a, b, null, { activation: 'relu' }).data();
        const expected = found.map((_, i) => (i < (m - 1) * n ? k : Number.NaN));
        expect(found).toEqual(expected);
      });
    }
  });
});

onEachDevice((device) => {
  test('a product by hand, with and without bias', async () => {
    await step(async () => {
      const a = tensor(
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        { device },
      );
      const b = tensor(
        [
          [1, 0],
          [0, 1],
          [1, 1],
        ],
        { device },
      );
      expect(await a.matmul(b).toArray()).toEqual([
        [4, 5],
        [10, 11],
      ]);
      expect(await a.matmul(b, tensor([10, 20], { device })).toArray()).toEqual([
        [14, 25],
        [20, 31],
      ]);
    });
  });

  test('transposed views and a matrix shared by a batch are not copied', async () => {
    await step(() => {
      const a = random([4, 3, 5], { seed: 1, device });
      const b = random([2, 5], { seed: 2, device });
      const before = snapshotWork(device);
      a.matmul(b.transpose());
      a.transpose().matmul(a);
      expect(workSince(device, before).dispatches).toEqual(new Map([['matmul', 2]]));
    });
  });

  test('operations are counted', async () => {
    await step(() => {
      const before = snapshotWork(device);
      zeros([3, 4, 5], { device }).matmul(zeros([5, 6], { device }));
      expect(workSince(device, before).flops).toBe(2 * 3 * 4 * 5 * 6);
    });
  });

  test('an inner axis of nothing gives zeros, or the bias', async () => {
    await step(async () => {
      const empty = (shape: Shape) => tensor(new Float32Array(0), { device, shape });
      expect(
        await empty([2, 0])
          .matmul(empty([0, 3]))
          .toArray(),
      ).toEqual([
        [0, 0, 0],
        [0, 0, 0],
      ]);
      const bias = tensor([1, 2], { device });
      expect(
        await empty([2, 1, 0])
          .matmul(empty([0, 2]), bias)
          .toArray(),
      ).toEqual([[[1, 2]], [[1, 2]]]);
      expect(
        await empty([2, 1, 0])
          .matmul(empty([2, 0, 2]))
          .toArray(),
      ).toEqual([[[0, 0]], [[0, 0]]]);
    });
  });

  test('no rows, columns or matrices give nothing, and gradients of zeros', async () => {
    await step(async () => {
      const empty = tensor(new Float32Array(0), { device, shape: [0, 3] });
      const w = requireGradient(random([3, 2], { seed: 1, device }));
      const y = empty.matmul(w);
      expect(y.shape).toEqual([0, 2]);
      expect(await y.toArray()).toEqual([]);
      sum(y).backward();
      expect(await w.gradient?.toArray()).toEqual([
        [0, 0],
        [0, 0],
        [0, 0],
      ]);
      expect(tensor(new Float32Array(0), { device, shape: [0, 2, 3] }).matmul(w).shape).toEqual([0, 2, 2]);
      await device.synchronize();
    });
  });

  test('gradients through an inner axis of nothing', async () => {
    await step(async () => {
      const a = requireGradient(tensor(new Float32Array(0), { device, shape: [2, 3, 0] }));
      const w = requireGradient(tensor(new Float32Array(0), { device, shape: [0, 4] }));
      const bias = requireGradient(tensor([1, 2, 3, 4], { device }));
      sum(a.matmul(w, bias)).backward();
      expect(a.gradient?.shape).toEqual([2, 3, 0]);
      expect(w.gradient?.shape).toEqual([0, 4]);
      expect(await bias.gradient?.toArray()).toEqual([6, 6, 6, 6]);
      await device.synchronize();
    });
  });

  test('NaN and infinities reach exactly the rows and columns they belong to', async () => {
    await step(async () => {
      const a = tensor(
        [
          [1, 2],
          [Number.NaN, 1],
          [3, 4],
        ],
        { device },
      );
      const b = tensor(
        [
          [1, 1],
          [1, Number.POSITIVE_INFINITY],
        ],
        { device },
      );
      const [, infinite, first, second, third, last] = await a.matmul(b).data();
      expect([infinite, last, third]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 7]);
      expect([first, second]).toEqual([Number.NaN, Number.NaN]);
    });
  });

  test('what does not fit is refused with the shapes', () => {
    const make = (...shape: number[]) => zeros(shape, { device });
    const refusals: [() => Tensor, string][] = [
      [() => matmul(make(2, 3), make(2, 3)), 'matmul: [2, 3] · [2, 3] does not fit'],
      [() => matmul(make(3), make(4, 2)), 'matmul: [3] · [4, 2] does not fit'],
      [() => matmul(make(2, 3), make(2)), 'matmul: [2, 3] · [2] does not fit'],
      [() => matmul(make(), make()), 'matmul: [] · [] does not fit'],
      [() => matmul(make(2, 2, 3), make(3, 3, 4)), 'matmul: shapes [2] and [3] do not broadcast'],
      [() => matmul(make(2, 3), make(3, 4), make(3)), 'matmul: bias [3] must have shape [4]'],
      [() => matmul(make(2, 3), make(3, 4), make(1, 4)), 'matmul: bias [1, 4] must have shape [4]'],
      [
        () => matmul(make(5, 2, 3), make(3, 4), null, { residual: make(2, 4) }),
        'matmul: residual [2, 4] must have shape [5, 2, 4]',
      ],
    ];
    for (const [act, message] of refusals) {
      expect(act).toThrow(ShapeError);
      expect(act).toThrow(message);
    }
    const integers = tensor(new Int32Array(6), { device, shape: [2, 3] });
    expect(() => integers.matmul(make(3, 2))).toThrow(DTypeError);
    expect(() => make(2, 2).matmul(integers)).toThrow('matmul: operands have dtype f32 and i32');
  });
});

onWebGpu((webgpu) => {
  test('more matrices than a dispatch takes are refused', async () => {
    await step(() => {
      const a = zeros([65_536, 1, 1], { device: webgpu });
      expect(() => matmul(a, a)).toThrow(DeviceLimitError);
      expect(() => matmul(a, a)).toThrow('matmul: 1 x 1 x 65536 workgroups, but the device takes 65535');
    });
  });
});

onEachDevice((device) => {
  test('a vector is a row on the left, a column on the right', async () => {
    await step(async () => {
      const table = tensor(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        { device },
      );
      const [two, three] = [tensor([1, 10], { device }), tensor([1, 10, 100], { device })];
      expect(await table.matmul(two).toArray()).toEqual([21, 43, 65]);
      expect(await three.matmul(table).toArray()).toEqual([531, 642]);
      expect(await three.matmul(three).toArray()).toBe(10101);
      expect(
        await two
          .matmul(
            tensor(
              [
                [
                  [1, 2],
                  [3, 4],
                ],
                [
                  [5, 6],
                  [7, 8],
                ],
              ],
              { device },
            ),
          )
          .toArray(),
      ).toEqual([
        [31, 42],
        [75, 86],
      ]);
      expect(await matmul(table, two, null, { residual: three, activation: 'relu' }).toArray()).toEqual([22, 53, 165]);
      expect(() => table.matmul(three)).toThrow(ShapeError);
    });
  });
});

test('gradients of products with vectors', async () => {
  const [table, two, three] = [[3, 2], [2], [3]].map((shape, seed) =>
    random(shape, { seed, device: cpu, dtype: 'f64' }),
  );
  await gradcheck((a, x) => matmul(a, x), [table, two]);
  await gradcheck((x, a) => matmul(x, a), [three, table]);
  await gradcheck((x) => matmul(x, x), [two]);
});
