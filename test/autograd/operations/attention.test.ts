import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import '../../../src/autograd/methods.ts';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { requireGradient } from '../../../src/autograd/node.ts';
import { attention } from '../../../src/autograd/operations/attention/attention.ts';
import { matmul } from '../../../src/autograd/operations/matmul/matmul.ts';
import { add, mul } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { softmax } from '../../../src/autograd/operations/softmax.ts';
import { broadcastTo, permute, reshape, slice, transpose } from '../../../src/autograd/operations/views.ts';
import { normal, tensor } from '../../../src/tensor/create.ts';
import type { Device } from '../../../src/tensor/device.ts';
import { ArgumentError, DTypeError, ShapeError } from '../../../src/tensor/errors.ts';
import { Random } from '../../../src/tensor/random.ts';
import { step } from '../../../src/tensor/scope.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { WebGpuDevice } from '../../../src/tensor/webgpu/webgpu-device.ts';
import { cpu, onEachDevice, webgpu } from '../../devices.ts';
import { expectClose, random, runs } from '../../shapes.ts';
import { expectAgreement, leaf } from './agreement.ts';

const batch = 3;
const heads = 2;

/** Row counts of a batch of three with one row empty, one cut and one whole. */
function padded(time: number, device: Device): Tensor {
  return tensor([0, Math.ceil(time / 2), time], { device, dtype: 'i32' });
}

/** The textbook: softmax(scale · q kᵀ + mask) v with the scores held whole. */
function composed(q: Tensor, k: Tensor, v: Tensor, sees: (b: number, t: number, s: number) => boolean): Tensor {
  const [rows, time, , headSize] = q.shape;
  const byHead = (x: Tensor) => permute(x, [0, 2, 1, 3]);
  const mask = Float64Array.from({ length: rows * time * time }, (_, i) => {
    const [b, t, s] = [Math.floor(i / (time * time)), Math.floor(i / time) % time, i % time];
    return sees(b, t, s) ? 0 : -1e30;
  });
  const scores = mul(matmul(byHead(q), transpose(byHead(k))), 1 / Math.sqrt(headSize));
  const masked = add(scores, tensor(mask, { device: q.device, dtype: q.dtype, shape: [rows, 1, time, time] }));
  return permute(matmul(softmax(masked), byHead(v)), [0, 2, 1, 3]);
}

describe('attention means softmax(q kᵀ) v', () => {
  for (const causal of [false, true]) {
    test(causal ? 'causal' : 'full', async () => {
      await step(async () => {
        const shape = [2, 5, heads, 3];
        const [q, k, v] = [1, 2, 3].map((seed) => random(shape, { seed, device: cpu, dtype: 'f64' }));
        const lengths = tensor([5, 3], { device: cpu, dtype: 'i32' });
        const sees = (b: number, t: number, s: number) => s < [5, 3][b] && (!causal || s <= t);
        const expected = composed(q, k, v, sees);
        await expectClose(attention(q, k, v, { causal, lengths }), expected, { absolute: 1e-12 });
      });
    });
  }

  onEachDevice((device) => {
    test('a query that sees no key gives 0 and no gradient', async () => {
      await step(async () => {
        const [q, k, v] = [1, 2, 3].map((seed) => leaf([1, 4, 1, 8], { seed, device }));
        const lengths = tensor([0], { device, dtype: 'i32' });
        const output = attention(q, k, v, { lengths });
        expect([...(await output.data())]).toEqual(new Array(32).fill(0));
        output.sum().backward();
        for (const each of [q, k, v]) expect([...((await each.gradient?.data()) ?? [])]).toEqual(new Array(32).fill(0));
      });
    });

    test('scores too large for exp are shifted before it', async () => {
      await step(async () => {
        const q = tensor([300, 0], { device, shape: [1, 2, 1, 1] });
        const k = tensor([300, -300], { device, shape: [1, 2, 1, 1] });
        const v = tensor([1, 3], { device, shape: [1, 2, 1, 1] });
        expect([...(await attention(q, k, v).data())]).toEqual([1, 2]);
      });
    });
  });
});

test('gradients agree with central differences in f64', async () => {
  const sizes = fc.constantFrom(1, 2, 3, 5);
  const property = fc.asyncProperty(
    sizes,
    sizes,
    fc.boolean(),
    fc.boolean(),
    fc.nat(99),
    async (time, size, causal, pads, seed) => {
      const [q, k, v] = [0, 1, 2].map((i) =>
        random([batch, time, heads, size], { seed: seed + i, device: cpu, dtype: 'f64' }),
      );
      const lengths = tensor([0, Math.ceil(time / 2), time], { device: cpu, dtype: 'i32' });
      await gradcheck(
        (...inputs) => attention(inputs[0], inputs[1], inputs[2], { causal, lengths: pads ? lengths : null }),
        [q, k, v],
        {
          elements: 6,
          seed,
        },
      );
    },
  );
  await fc.assert(property, runs(15));
});

function compare(device: Device, time: number, headSize: number, causal: boolean, pads: boolean): Promise<void> {
  return expectAgreement(
    device,
    (each) => {
      const leaves = [1, 2, 3].map((seed) => leaf([batch, time, heads, headSize], { seed, device: each }));
      const [q, k, v] = leaves;
      return { output: attention(q, k, v, { causal, lengths: pads ? padded(time, each) : null }), leaves };
    },
    { absolute: 2e-6 + 1e-7 * time, relative: 2e-5 },
  );
}

describe('kernels agree with the reference loops', () => {
  onEachDevice((device) => {
    for (const headSize of [8, 64, 128]) {
      for (const time of [1, 7, 64, 130]) {
        test(`head size ${headSize}, ${time} positions`, async () => {
          for (const causal of [false, true])
            for (const pads of [false, true]) await compare(device, time, headSize, causal, pads);
        });
      }
    }

    test('a head size that is no multiple of four', async () => {
      await compare(device, 9, 5, true, true);
    });
  });

  test.skipIf(!webgpu)('the form for graphics hardware, which shares through workgroup memory', async () => {
    const device = await WebGpuDevice.open({ kernelSet: 'hardware' });
    for (const time of [1, 63, 64, 65, 130])
      for (const causal of [false, true]) await compare(device, time, 8, causal, true);
  });
});

/** Heads of queries and of keys, and how many keys a query sees. */
const sharedCases = [
  { time: 9, keys: 9, heads: 4, keyHeads: 2, window: null },
  { time: 70, keys: 70, heads: 6, keyHeads: 2, window: null },
  { time: 33, keys: 33, heads: 9, keyHeads: 3, window: null },
  { time: 49, keys: 140, heads: 4, keyHeads: 2, window: null },
  { time: 70, keys: 70, heads: 6, keyHeads: 2, window: 5 },
  { time: 130, keys: 130, heads: 3, keyHeads: 1, window: 66 },
  { time: 130, keys: 130, heads: 2, keyHeads: 2, window: 1 },
  { time: 1, keys: 67, heads: 4, keyHeads: 1, window: 3 },
  { time: 3, keys: 140, heads: 2, keyHeads: 1, window: null },
  { time: 66, keys: 140, heads: 2, keyHeads: 1, window: 9 },
];

describe('shared heads of keys, a window, and keys of earlier positions', () => {
  const inputs = (device: Device, { time, keys, heads, keyHeads }: (typeof sharedCases)[number], headSize: number) => [
    leaf([2, time, heads, headSize], { seed: 1, device }),
    ...[2, 3].map((seed) => leaf([2, keys, keyHeads, headSize], { seed, device })),
  ];

  test('mean the same as copied heads, a mask, and the last queries of all', async () => {
    await step(async () => {
      const [time, keys, window] = [3, 7, 4];
      const q = random([2, keys, 4, 3], { seed: 1, device: cpu, dtype: 'f64' });
      const [k, v] = [2, 3].map((seed) => random([2, keys, 2, 3], { seed, device: cpu, dtype: 'f64' }));
      const copied = (x: Tensor) => reshape(broadcastTo(reshape(x, [2, keys, 2, 1, 3]), [2, keys, 2, 2, 3]), q.shape);
      const lengths = tensor([7, 5], { device: cpu, dtype: 'i32' });
      const sees = (b: number, t: number, s: number) => s <= t && s > t - window && s < [7, 5][b];
      const expected = composed(q, copied(k), copied(v), sees);
      await expectClose(attention(q, k, v, { causal: true, window, lengths }), expected, { absolute: 1e-12 });
      const last = slice(q, [0, keys - time]);
      const actual = attention(last, k, v, { causal: true, window, lengths });
      await expectClose(actual, slice(expected, [0, keys - time]), { absolute: 1e-12 });
    });
  });

  test('gradients agree with central differences in f64', async () => {
    for (const window of [null, 2]) {
      const q = random([2, 3, 4, 2], { seed: 1, device: cpu, dtype: 'f64' });
      const [k, v] = [2, 3].map((seed) => random([2, 5, 2, 2], { seed, device: cpu, dtype: 'f64' }));
      const lengths = tensor([5, 3], { device: cpu, dtype: 'i32' });
      await gradcheck((...each) => attention(each[0], each[1], each[2], { causal: true, window, lengths }), [q, k, v]);
    }
  });

  const compareShared = async (device: Device, headSize: number) => {
    for (const each of sharedCases) {
      const { window, keys } = each;
      for (const [pads, causal] of [
        [false, true],
        [true, true],
        [true, false],
      ] as const) {
        if (!causal && window !== null) continue;
        await expectAgreement(
          device,
          (on) => {
            const leaves = inputs(on, each, headSize);
            const lengths = pads ? tensor([keys - 2, keys], { device: on, dtype: 'i32' }) : null;
            const [q, k, v] = leaves;
            return { output: attention(q, k, v, { causal, window, lengths }), leaves };
          },
          { absolute: 2e-5, relative: 2e-5 },
        );
      }
    }
  };
  onEachDevice((device) => {
    test.each([5, 8, 64])('kernels agree with the reference loops, head size %i', (size) =>
      compareShared(device, size),
    );
  });
  test.skipIf(!webgpu)('in the form for graphics hardware', async () =>
    compareShared(await WebGpuDevice.open({ kernelSet: 'hardware' }), 8),
  );

  test('what does not fit is refused', () => {
    const x = (shape: number[]) => random(shape, { seed: 1, device: cpu });
    const [q, k] = [x([1, 4, 4, 2]), x([1, 4, 3, 2])];
    expect(() => attention(q, k, k)).toThrow(/\[1, 4, 3, 2\].*heads a multiple of keyHeads/);
    const short = x([1, 3, 4, 2]);
    expect(() => attention(q, short, short, { causal: true })).toThrow(ShapeError);
    expect(() => attention(q, q, q, { window: 2 })).toThrow('window is 2 with causal false');
    for (const window of [0, -1, 1.5])
      expect(() => attention(q, q, q, { causal: true, window })).toThrow(ArgumentError);
  });
});

describe('what a query does not see may be NaN', () => {
  const shape = [1, 40, 2, 8];
  const cut = 25;
  /** NaN from position `cut` on, or before it. */
  const poisoned = (seed: number, device: Device, isBad: (position: number) => boolean) => {
    const source = new Random(seed);
    const values = Float32Array.from({ length: 640 }, () => source.normal());
    return requireGradient(
      tensor(
        values.map((value, i) => (isBad(Math.floor(i / 16)) ? Number.NaN : value)),
        { device, shape },
      ),
    );
  };
  const isLate = (position: number) => position >= cut;
  const never = () => false;

  const suite = (device: Device) => {
    const hides = (isHidden: (query: number, key: number) => boolean) => {
      const values = Float32Array.from({ length: 40 * 40 }, (_, i) =>
        isHidden(Math.floor(i / 40), i % 40) ? Number.NEGATIVE_INFINITY : 0,
      );
      return tensor(values, { device, shape: [40, 40] });
    };
    test.each([
      ['causal', { causal: true }],
      ['a window', { causal: true, window: 3 }],
      ['padding', { lengths: tensor([cut], { device, dtype: 'i32' }) }],
      ['a mask for all queries', { mask: hides((_, key) => isLate(key)) }],
      ['a causal mask', { mask: hides((query, key) => key > query) }],
      ['a mask, and causal', { mask: hides(() => false), causal: true }],
      ['a mask, and padding', { mask: hides(() => false), lengths: tensor([cut], { device, dtype: 'i32' }) }],
    ])('%s: keys and values', async (_name, options) => {
      await step(async () => {
        const run = async (isBad: (position: number) => boolean) => {
          const [q, k, v] = [poisoned(1, device, never), poisoned(2, device, isBad), poisoned(3, device, isBad)];
          const output = attention(q, k, v, options);
          slice(output, [0], [1, cut]).sum().backward();
          return [await output.data(), await q.gradient?.data()].map((each) => [...(each ?? [])].slice(0, 16 * cut));
        };
        expect(await run(isLate)).toEqual(await run(never));
      });
    });

    test('causal: queries and gradients of the positions before', async () => {
      await step(async () => {
        const run = async (isBad: (position: number) => boolean) => {
          const [q, k, v] = [poisoned(1, device, isBad), poisoned(2, device, never), poisoned(3, device, never)];
          attention(q, k, v, { causal: true }).sum().backward();
          const gradients = [await k.gradient?.data(), await v.gradient?.data()];
          return gradients.map((each) => [...(each ?? [])].slice(16 * cut));
        };
        expect(await run((position) => !isLate(position))).toEqual(await run(never));
      });
    });
  };
  onEachDevice(suite);

  onEachDevice((device) => {
    const options = { plain: {}, causal: { causal: true }, mask: { mask: tensor([0], { device }) } };
    test.each([
      ['plain', Number.NaN],
      ['causal', Number.NaN],
      ['mask', Number.NaN],
      ['plain', Number.POSITIVE_INFINITY],
      ['causal', Number.POSITIVE_INFINITY],
      ['mask', Number.POSITIVE_INFINITY],
    ] as const)('%s: what it does see is not lost, %f', async (form, bad) => {
      for (const place of [0, 1, 2]) {
        await step(async () => {
          const [q, k, v] = [0, 1, 2].map((i) => {
            const values = Float32Array.from({ length: 16 }, (_, at) =>
              i === place && at === 5 ? bad : Math.cos(at + i),
            );
            return requireGradient(tensor(values, { device, shape: [1, 4, 1, 4] }));
          });
          const output = attention(q, k, v, options[form]);
          output.sum().backward();
          const isBroken = (values: ArrayLike<number> | undefined) =>
            Array.from(values ?? []).some((each) => !Number.isFinite(each));
          const found = [
            await output.data(),
            await q.gradient?.data(),
            await k.gradient?.data(),
            await v.gradient?.data(),
          ];
          // The gradient of the values needs the weights alone.
          expect(found.slice(0, 3).map(isBroken)).toEqual([true, true, true]);
          if (place < 2) expect(isBroken(found[3])).toBe(true);
        });
      }
    });
  });
});

describe('only what is live is computed', () => {
  onEachDevice((device) => {
    test('the gradients of keys and values are skipped where neither is live', async () => {
      await step(() => {
        const shape = [1, 4, 1, 8];
        const q = leaf(shape, { seed: 1, device });
        const [k, v] = [2, 3].map((seed) => random(shape, { seed, device }));
        const before = device.work.dispatches.get('attention-key-value-gradient') ?? 0;
        attention(q, k, v).sum().backward();
        expect(device.work.dispatches.get('attention-key-value-gradient') ?? 0).toBe(before);
        expect(q.gradient).not.toBeNull();
      });
    });
  });
});

describe('bad input', () => {
  test('is refused with the shapes that came', () =>
    step(() => {
      const x = random([2, 3, 1, 4], { seed: 1, device: cpu });
      const other = random([2, 3, 1, 5], { seed: 1, device: cpu });
      expect(() => attention(x, other, x)).toThrow(ShapeError);
      expect(() => attention(x, other, x)).toThrow(/\[2, 3, 1, 5\]/);
      const wide = random([1, 1, 1, 129], { seed: 1, device: cpu });
      expect(() => attention(wide, wide, wide)).toThrow(/129.*1 … 128/);
      const lengths = tensor([1, 2], { device: cpu });
      expect(() => attention(x, x, x, { lengths })).toThrow(DTypeError);
      const short = tensor([1], { device: cpu, dtype: 'i32' });
      expect(() => attention(x, x, x, { lengths: short })).toThrow(/lengths \[1\]/);
    }));
});

describe.each([1e5, 1e6, 1e7, 1e8])('scores of %f', (size) => {
  onEachDevice((device) => {
    test('give gradients of values that are those of the softmax, however rounded', async () => {
      const [time, width] = [6, 8];
      const source = new Random(3);
      await step(async () => {
        const options = { device, random: source };
        const [q, k, v] = [size, 1, 1].map((deviation) =>
          requireGradient(normal([1, time, 1, width], { ...options, deviation })),
        );
        attention(q, k, v, { causal: true }).sum().backward();
        // Each query hands out weights that sum to 1, so that each column of the gradient sums to the number of queries.
        const total = (await v.gradient?.sum().item()) ?? 0;
        expect(total / (time * width)).toBeGreaterThan(0);
        expect(total / (time * width)).toBeLessThan(1.001);
      });
    });
  });
});

describe("a mask of one's own", () => {
  const f64 = (shape: readonly number[], seed: number) => random(shape, { seed, device: cpu, dtype: 'f64' });
  const hides = (device: Device, dtype: 'f32' | 'f64') =>
    tensor(
      [0, 1, 1, 0, 0, 1, 1, 1].map((is) => (is ? Number.NEGATIVE_INFINITY : 0)),
      { device, dtype, shape: [1, 1, 2, 4] },
    );

  onEachDevice((device) => {
    test('means what the kernels mean, alone and beside the other options', async () => {
      await step(async () => {
        const [q, k, v] = [
          [2, 5, 4, 8],
          [2, 7, 2, 8],
          [2, 7, 2, 8],
        ].map((shape, seed) => random(shape, { seed, device }));
        const lengths = tensor([7, 3], { device, dtype: 'i32' });
        const nothing = tensor([0], { device });
        for (const options of [
          {},
          { causal: true },
          { causal: true, window: 2 },
          { lengths },
          { causal: true, lengths },
        ]) {
          await expectClose(attention(q, k, v, { ...options, mask: nothing }), attention(q, k, v, options), {
            absolute: 1e-5,
          });
        }
        const bias = tensor(
          [
            0,
            0,
            0,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
          ],
          { device },
        );
        const three = tensor([3, 3], { device, dtype: 'i32' });
        await expectClose(attention(q, k, v, { mask: bias }), attention(q, k, v, { lengths: three }), {
          absolute: 1e-5,
        });
        const [few, fewer] = [slice(k, [0, 0], [2, 2]), slice(v, [0, 0], [2, 2])];
        await expectClose(attention(q, few, fewer, { mask: nothing }), attention(q, few, fewer), { absolute: 1e-5 });
      });
    });

    test('gives 0 and no gradient where it hides everything', async () => {
      await step(async () => {
        const [q, k, v] = [
          [1, 2, 1, 4],
          [1, 4, 1, 4],
          [1, 4, 1, 4],
        ].map((shape, seed) => leaf(shape, { seed, device }));
        const all = tensor(
          [
            [0, 0, 0, 0],
            [1, 1, 1, 1],
          ].map((row) => row.map((is) => (is ? Number.NEGATIVE_INFINITY : 0))),
          { device },
        );
        const output = attention(q, k, v, { mask: all });
        expect([...(await output.data())].slice(4)).toEqual([0, 0, 0, 0]);
        output.sum().backward();
        const gradient = [...((await q.gradient?.data()) ?? [])];
        expect(gradient.every(Number.isFinite)).toBe(true);
        expect(gradient.slice(4)).toEqual([0, 0, 0, 0]);
      });
    });
  });

  test('gradients agree with central differences, that of the mask too', async () => {
    const bias = f64([1, 2, 2, 4], 4);
    const f = (q: Tensor, k: Tensor, v: Tensor, mask: Tensor) =>
      attention(q, k, v, { mask: add(mask, hides(cpu, 'f64')) });
    await gradcheck(f, [f64([1, 2, 2, 4], 1), f64([1, 4, 1, 4], 2), f64([1, 4, 1, 4], 3), bias]);
  });

  test('one that does not broadcast is refused', () => {
    const [q, k] = [f64([1, 2, 1, 4], 1), f64([1, 4, 1, 4], 2)];
    expect(() => attention(q, k, k, { mask: f64([3, 4], 3) })).toThrow(ShapeError);
    expect(() => attention(q, k, k, { mask: f64([1, 1, 1, 1, 4], 3) })).toThrow(ShapeError);
  });
});
