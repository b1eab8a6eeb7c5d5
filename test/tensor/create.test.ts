import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  arange,
  DTypeError,
  defaultDevice,
  Embedding,
  eye,
  full,
  multinomial,
  type NestedArray,
  normal,
  OutOfMemoryError,
  oneHot,
  ones,
  openDevice,
  pad,
  Random,
  ShapeError,
  setDefaultDevice,
  step,
  tensor,
  uniform,
  zeros,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { checkIndices } from '../../src/tensor/create.ts';
import { cpu, onEachDevice, onWebGpu, webgpu } from '../devices.ts';

onEachDevice((device) => {
  test('nested arrays give their shape, and come back', async () => {
    await step(async () => {
      const cases: [NestedArray, number[]][] = [
        [3, []],
        [[1, 2, 3], [3]],
        [
          [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
          [3, 2],
        ],
        [
          [[[1]], [[2]]],
          [2, 1, 1],
        ],
        [
          [[], []],
          [2, 0],
        ],
        [[], [0]],
      ];
      for (const [data, shape] of cases) {
        const x = tensor(data, { device });
        expect(x.shape).toEqual(shape);
        expect(x.dtype).toBe('f32');
        expect(await x.toArray()).toEqual(data);
      }
    });
  });

  test('arange counts up to its end, by steps of whatever sign', async () => {
    await step(async () => {
      expect(await arange(4, { device }).toArray()).toEqual([0, 1, 2, 3]);
      expect(await arange(7, { start: 2, step: 2, device, dtype: 'i32' }).toArray()).toEqual([2, 4, 6]);
      expect(await arange(-1, { start: 1, step: -0.5, device }).toArray()).toEqual([1, 0.5, 0, -0.5]);
      expect(await arange(0, { device }).toArray()).toEqual([]);
      expect(await arange(-3, { device }).toArray()).toEqual([]);
      for (const step of [0, Number.NaN]) expect(() => arange(3, { step, device })).toThrow(ArgumentError);
      expect(() => arange(Number.POSITIVE_INFINITY, { device })).toThrow('arange: end is Infinity');
      expect(() => Reflect.apply(arange, undefined, [2, 10])).toThrow(
        new ArgumentError('arange: got 10 where options belong (allowed: device, dtype, start, step)'),
      );
    });
  });

  test('eye has ones on its diagonal', async () => {
    await step(async () => {
      expect(await eye(2, { device }).toArray()).toEqual([
        [1, 0],
        [0, 1],
      ]);
      expect(await eye(2, { columns: 3, device, dtype: 'i32' }).toArray()).toEqual([
        [1, 0, 0],
        [0, 1, 0],
      ]);
      expect(await eye(3, { columns: 1, device }).toArray()).toEqual([[1], [0], [0]]);
      expect(eye(0, { device }).shape).toEqual([0, 0]);
      expect(() => eye(-1, { device })).toThrow(ShapeError);
      expect(() => eye(1, { columns: 1.5, device })).toThrow(ShapeError);
    });
  });

  test('typed arrays keep their type and may be given a shape', async () => {
    await step(async () => {
      const floats = tensor(Float32Array.of(0.1, 2, 3, 4), { device, shape: [2, 2] });
      expect([floats.dtype, floats.shape]).toEqual(['f32', [2, 2]]);
      expect(await floats.data()).toEqual(Float32Array.of(0.1, 2, 3, 4));
      const integers = tensor(Int32Array.of(-1, 2_147_483_647), { device });
      expect([integers.dtype, integers.shape]).toEqual(['i32', [2]]);
      expect(await integers.data()).toEqual(Int32Array.of(-1, 2_147_483_647));
      expect(await tensor(Int32Array.of(1, 2), { device, dtype: 'f32' }).data()).toEqual(Float32Array.of(1, 2));
      expect(await tensor([1, 2], { device, dtype: 'i32' }).data()).toEqual(Int32Array.of(1, 2));
      expect(tensor([1, 2, 3, 4], { device, shape: [4, 1] }).shape).toEqual([4, 1]);
    });
  });

  test('a part of a typed array is copied, not its whole buffer', async () => {
    await step(async () => {
      const source = Float32Array.of(9, 1, 2, 3, 9);
      const x = tensor(source.subarray(1, 4), { device });
      source.fill(0);
      expect(await x.data()).toEqual(Float32Array.of(1, 2, 3));
    });
  });

  test('full, zeros and ones, of floats and integers', async () => {
    await step(async () => {
      expect(await full([2, 2], -1.5, { device }).toArray()).toEqual([
        [-1.5, -1.5],
        [-1.5, -1.5],
      ]);
      expect(await zeros([3], { device }).toArray()).toEqual([0, 0, 0]);
      expect(await ones([], { device }).item()).toBe(1);
      expect(await full([2], 7, { device, dtype: 'i32' }).data()).toEqual(Int32Array.of(7, 7));
      expect(await zeros([0, 3], { device }).toArray()).toEqual([]);
      const large = await ones([300_001], { device }).data();
      expect(large.every((value) => value === 1)).toBe(true);
    });
  });

  test('reading leaves a tensor as it was, and may happen many times at once', async () => {
    await step(async () => {
      const x = tensor([1, 2, 3], { device });
      const reads = await Promise.all([x.data(), x.mul(2).data(), x.data(), x.sum().item()]);
      expect(reads).toEqual([Float32Array.of(1, 2, 3), Float32Array.of(2, 4, 6), Float32Array.of(1, 2, 3), 6]);
      expect(await x.transpose(0, 0).toArray()).toEqual([1, 2, 3]);
    });
  });

  test('what is read is a copy', async () => {
    await step(async () => {
      const x = tensor([1, 2], { device });
      const data = await x.data();
      data[0] = 5;
      expect(await x.toArray()).toEqual([1, 2]);
    });
  });

  test('item takes tensors of one element of any rank, and no others', async () => {
    await step(async () => {
      expect(await tensor([[4]], { device }).item()).toBe(4);
      await expect(tensor([1, 2], { device }).item()).rejects.toThrow(ShapeError);
      await expect(tensor([1, 2], { device }).item()).rejects.toThrow(
        'item: a tensor of shape [2] holds 2 values, not 1',
      );
      await expect(zeros([0], { device }).item()).rejects.toThrow('item: a tensor of shape [0] holds 0 values, not 1');
    });
  });

  describe('bad input', () => {
    test('ragged arrays', () => {
      const before = device.memory().liveBytes;
      for (const ragged of [
        [[1, 2], [3]],
        [[1], 2],
        [1, [2]],
        [[[1]], [[2], [3]]],
        [[], [1]],
        [[[1]], [[]], [[2, 3]]],
      ]) {
        expect(() => tensor(ragged, { device })).toThrow(ShapeError);
        expect(() => tensor(ragged, { device })).toThrow(/^tensor: the arrays are ragged|^tensor: an entry is/);
      }
      expect(device.memory().liveBytes).toBe(before);
    });

    test('a shape that does not hold the data', () => {
      for (const [data, shape, message] of [
        [[1, 2, 3], [2, 2], 'tensor: 3 values do not fill shape [2, 2], which holds 4'],
        [Float32Array.of(1, 2), [1], 'tensor: 2 values do not fill shape [1], which holds 1'],
        [[1, 2], [0], 'tensor: 2 values do not fill shape [0], which holds 0'],
      ] as const) {
        const values = ArrayBuffer.isView(data) ? data : [...data];
        expect(() => tensor(values, { device, shape })).toThrow(ShapeError);
        expect(() => tensor(values, { device, shape })).toThrow(message);
      }
    });

    test('extents that are no whole numbers of at least 0', () => {
      for (const shape of [[-1], [2.5], [Number.NaN], [Number.POSITIVE_INFINITY]]) {
        for (const [name, act] of [
          ['tensor', () => tensor([1], { device, shape })],
          ['zeros', () => zeros(shape, { device })],
          ['uniform', () => uniform(shape, { device, random: new Random(0) })],
          ['normal', () => normal(shape, { device, random: new Random(0) })],
        ] as const) {
          expect(act).toThrow(ShapeError);
          expect(act).toThrow(`${name}: shape [${shape}] must hold whole numbers of at least 0`);
        }
      }
    });

    test('indices that are no integers, or out of range, where they came from the host', () => {
      const indices = tensor(Int32Array.of(0, 4, -100, 2), { device });
      expect(() => checkIndices('embedding', indices, 5)).toThrow(ArgumentError);
      expect(() => checkIndices('embedding', indices, 5)).toThrow(
        'embedding: index -100 is out of range (allowed: 0 … 4)',
      );
      expect(() => checkIndices('crossEntropy', indices, 4, -100)).toThrow(
        'crossEntropy: index 4 is out of range (allowed: 0 … 3, or -100 to be ignored)',
      );
      expect(() => checkIndices('crossEntropy', indices, 5, -100)).not.toThrow();
      expect(() => checkIndices('embedding', indices.slice([0], [2]), 5)).not.toThrow();
      expect(() => checkIndices('embedding', zeros([1], { device }), 5)).toThrow(DTypeError);
    });
  });
});

test('f64 lives on cpu', async () => {
  const x = tensor(Float64Array.of(0.1, 0.2), { device: cpu });
  expect(x.dtype).toBe('f64');
  expect(await x.data()).toEqual(Float64Array.of(0.1, 0.2));
  expect(await x.add(1e-12).data()).toEqual(Float64Array.of(0.1 + 1e-12, 0.2 + 1e-12));
  expect(await full([1], 0.1, { device: cpu, dtype: 'f64' }).item()).toBe(0.1);
});

onWebGpu((webgpu) => {
  test('f64 is refused', () => {
    const before = webgpu.memory();
    for (const [name, act] of [
      ['tensor', () => tensor(Float64Array.of(1), { device: webgpu })],
      ['tensor', () => tensor([1], { device: webgpu, dtype: 'f64' })],
      ['zeros', () => zeros([1], { device: webgpu, dtype: 'f64' })],
      ['normal', () => normal([1], { device: webgpu, dtype: 'f64', random: new Random(0) })],
    ] as const) {
      expect(act).toThrow(DTypeError);
      expect(act).toThrow(`${name}: dtype f64 is not available on webgpu (${webgpu.adapter}; allowed there: `);
    }
    expect(webgpu.memory()).toEqual(before);
  });
});

test('the default device is used where none is named', () => {
  const previous = defaultDevice();
  const device = new CpuDevice();
  try {
    setDefaultDevice(device);
    expect(tensor([1]).device).toBe(device);
    expect(zeros([1]).device).toBe(device);
    expect(normal([1], { random: new Random(0) }).device).toBe(device);
  } finally {
    setDefaultDevice(previous);
  }
});

test('the first device that a program opens is its default', () => {
  const program = `
    import { openDevice, tensor } from './src/index.ts';
    const [first, second] = [await openDevice('cpu'), await openDevice('cpu')];
    console.log(tensor([1]).device === first, second !== first);`;
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  expect(stdout.trim()).toBe('true true');
});

test('what does not fit is told before the host makes it', () => {
  const device = new CpuDevice({ memoryBudget: 2 ** 20 });
  expect(() => arange(1e12, { device })).toThrow(OutOfMemoryError);
  expect(() => eye(2 ** 20, { device })).toThrow(OutOfMemoryError);
  const random = new Random(1);
  const [large, weights] = [2 ** 43, ones([2], { device })];
  for (const make of [
    () => zeros([large], { device }),
    () => full([large], 2, { device }),
    () => full([large], 2, { device, dtype: 'i32' }),
    () => full([large], 2, { device, dtype: 'bf16' }),
    () => uniform([large], { device, random }),
    () => normal([large], { device, random }),
    () => oneHot(tensor([1], { device, dtype: 'i32' }), large),
    () => multinomial(weights, large, { random, replacement: true }),
    () => pad(weights, [[0, large]]),
    () => weights.slice([0], [1]).broadcastTo([large]).exp(),
    () => new Embedding(large, 1, { device, random }),
  ])
    expect(make).toThrow(OutOfMemoryError);
});

test('a device is opened by its kind, and no other kind is taken', async () => {
  expect((await openDevice('cpu')).kind).toBe('cpu');
  const found = await openDevice();
  expect(found.kind).toBe(webgpu?.software === false ? 'webgpu' : 'cpu');
  const unknown = JSON.parse('"tpu"');
  await expect(openDevice(unknown)).rejects.toThrow(ArgumentError);
  await expect(openDevice(unknown)).rejects.toThrow(
    "openDevice: 'tpu' is no kind of device (allowed: auto, webgpu, cpu)",
  );
});

test('arrays of small integers are i32, of small floats f32', () => {
  for (const kind of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Uint32Array]) {
    expect(Reflect.apply(tensor, undefined, [kind.of(1), { device: cpu }]).dtype).toBe('i32');
  }
  const small: unknown = Reflect.get(globalThis, 'Float16Array');
  if (typeof small !== 'function') return;
  expect(Reflect.apply(tensor, undefined, [Reflect.construct(small, [1]), { device: cpu }]).dtype).toBe('f32');
});

test('random integers are as likely below 0 as above, and stay in their dtype', async () => {
  const options = { device: cpu, dtype: 'i32', random: new Random(1) } as const;
  const counts = new Map<number, number>();
  for (const value of await uniform([4000], { ...options, low: -2, high: 2 }).data())
    counts.set(value, (counts.get(value) ?? 0) + 1);
  expect([...counts.keys()].sort()).toEqual([-1, -2, 0, 1]);
  for (const count of counts.values()) expect(count / 1000).toBeCloseTo(1, 0);
  const mean = await normal([4000], { ...options, mean: 0.5, deviation: 3 })
    .cast('f32')
    .mean()
    .item();
  expect(mean).toBeCloseTo(0.5, 0);
  expect(() => uniform([1], { ...options, low: 3e9, high: 4e9 })).toThrow(DTypeError);
  expect(() => normal([1], { ...options, mean: -3e9 })).toThrow(DTypeError);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, '1', null])(
  'random numbers have no bound, mean or deviation of %o',
  (bad) => {
    const random = new Random(1);
    for (const [make, options] of [
      [uniform, { low: bad }],
      [uniform, { high: bad }],
      [normal, { mean: bad }],
      [normal, { deviation: bad }],
    ] as const) {
      expect(() => Reflect.apply(make, undefined, [[1], { random, device: cpu, ...options }])).toThrow(ArgumentError);
    }
    expect(() => uniform([1], { random, low: 2, high: 1 })).toThrow(/low is 2 .*high, 1/);
    expect(() => normal([1], { random, deviation: -1 })).toThrow(/deviation is -1/);
  },
);

test('i32 takes whole numbers only', () => {
  expect(() => tensor([1.5], { device: cpu, dtype: 'i32' })).toThrow(/1\.5 does not fit dtype i32/);
  expect(() => full([1], Number.NaN, { device: cpu, dtype: 'i32' })).toThrow(/NaN does not fit dtype i32/);
  expect(() => tensor(Float64Array.of(2 ** 31), { device: cpu, dtype: 'i32' })).toThrow(/2147483648 does not fit/);
  expect(() => tensor([-(2 ** 31), 2 ** 31 - 1], { device: cpu, dtype: 'i32' })).not.toThrow();
  expect(() => tensor([[1], [Number.NaN]], { device: cpu, dtype: 'i32' })).toThrow(DTypeError);
});

test('indices are checked where the view shows them, and only there', () => {
  const indices = tensor(
    [
      [1, 2, -100],
      [0, 1, -100],
    ],
    { device: cpu, dtype: 'i32' },
  );
  expect(() => checkIndices('test', indices.slice([0, 0], [2, 2]), 3)).not.toThrow();
  expect(() => checkIndices('test', indices.slice([0, 1], [2, 3]), 3)).toThrow(/index -100/);
});
