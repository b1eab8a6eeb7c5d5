import { afterEach, expect, test } from 'vitest';
import {
  Attention,
  add,
  attention,
  Block,
  DeviceMismatchError,
  Dropout,
  Embedding,
  FeedForward,
  gelu,
  LayerNorm,
  Linear,
  type Module,
  matmul,
  mul,
  Random,
  RMSNorm,
  relu,
  Sequential,
  ShapeError,
  SwiGLU,
  silu,
  step,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { cpu, onEachDevice, webgpu } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';
import { layer, type Matrix, product, rms } from './plain-transformer.ts';
import { releaseLater, releaseMade, tinyConfig } from './tiny.ts';

afterEach(releaseMade);

onEachDevice((device) => {
  const options = () => ({ device, random: new Random(5) });
  const made = <M extends Module<never, unknown>>(module: M): M => {
    for (const parameter of module.parameters()) releaseLater(parameter);
    return module;
  };
  const input = (shape: readonly number[], seed = 9) => random(shape, { seed, device });
  const rowsOf = async (x: Tensor): Promise<Matrix> => {
    const width = x.shape[x.rank - 1];
    const data = Array.from(await x.data());
    return Array.from({ length: x.size / width }, (_, row) => data.slice(row * width, (row + 1) * width));
  };
  const expectRows = (actual: Tensor, expected: Matrix) =>
    expectClose(actual, tensor(Float64Array.from(expected.flat()), { device, dtype: 'f32', shape: actual.shape }));

  test('Linear is x · W + b over the last axis of any number of axes', async () => {
    const linear = made(new Linear(5, 3, { ...options(), bias: true }));
    await step(async () => {
      linear.loadStateDict({ ...(await linear.stateDict()), bias: { shape: [3], data: Float32Array.of(1, -2, 3) } });
      const x = input([2, 4, 5]);
      const y = linear.call(x);
      expect(y.shape).toEqual([2, 4, 3]);
      const plain = product(await rowsOf(x), await rowsOf(linear.weight));
      await expectRows(
        y,
        plain.map(([a, b, c]) => [a + 1, b - 2, c + 3]),
      );
      expect(linear.call(input([5, 5])).shape).toEqual([5, 3]);
      expect(() => linear.call(input([2, 4]))).toThrow(ShapeError);
    });
    expect(made(new Linear(5, 3, options())).bias).toBeNull();
    expect(made(new Linear(5, 3, { ...options(), kind: 'query' })).weight.kind).toBe('query');
  });

  test('Embedding picks rows of its table', async () => {
    const embedding = made(new Embedding(4, 3, options()));
    await step(async () => {
      const rows = await rowsOf(embedding.table);
      const y = embedding.call(tensor(Int32Array.of(3, 0, 0, 2), { device, shape: [2, 2] }));
      expect(y.shape).toEqual([2, 2, 3]);
      expect(await rowsOf(y)).toEqual([rows[3], rows[0], rows[0], rows[2]]);
    });
  });

  test('RMSNorm and LayerNorm follow their formulas, with the epsilon they were given', async () => {
    const gain = [0.5, -1, 2, 1, 3];
    const bias = [1, 2, 3, 4, 5];
    const vector = (values: number[]) => ({ shape: [5], data: Float32Array.from(values) });
    await step(async () => {
      const x = input([3, 2, 5]);
      const rows = await rowsOf(x);
      for (const epsilon of [undefined, 0.5]) {
        const rmsNorm = made(new RMSNorm(5, { device, epsilon }));
        await expectRows(
          rmsNorm.call(x),
          rows.map((row) => rms(row, [1, 1, 1, 1, 1], epsilon)),
        );
        rmsNorm.loadStateDict({ gain: vector(gain) });
        await expectRows(
          rmsNorm.call(x),
          rows.map((row) => rms(row, gain, epsilon)),
        );
        const layerNorm = made(new LayerNorm(5, { device, epsilon }));
        layerNorm.loadStateDict({ gain: vector(gain), bias: vector(bias) });
        await expectRows(
          layerNorm.call(x),
          rows.map((row) => layer(row, gain, epsilon).map((value, i) => value + bias[i])),
        );
        const unbiased = made(new LayerNorm(5, { device, epsilon, bias: false }));
        expect([...unbiased.namedParameters().keys()]).toEqual(['gain']);
        await expectRows(
          unbiased.call(x),
          rows.map((row) => layer(row, [1, 1, 1, 1, 1], epsilon)),
        );
      }
    });
  });

  test('SwiGLU and the plain feed-forward part are what their compositions are', async () => {
    await step(async () => {
      const x = input([2, 3, 8]);
      const gated = made(new SwiGLU(tinyConfig, options()));
      const { gate, up, down } = gated;
      await expectClose(gated.call(x), matmul(mul(silu(matmul(x, gate.weight)), matmul(x, up.weight)), down.weight));
      for (const [feedForward, activation] of [
        ['relu', relu],
        ['gelu', gelu],
      ] as const) {
        const plain = made(new FeedForward({ ...tinyConfig, feedForward }, options()));
        await expectClose(plain.call(x), matmul(activation(matmul(x, plain.up.weight)), plain.down.weight));
      }
    });
  });

  test('Attention without positions is what its composition is, heads side by side', async () => {
    await step(async () => {
      const x = input([2, 5, 8]);
      const lengths = tensor(Int32Array.of(5, 2), { device });
      for (const causal of [true, false]) {
        const module = made(new Attention({ ...tinyConfig, causal, positions: { learned: 5 } }, options()));
        const byHead = ({ weight }: Linear) => matmul(x, weight).reshape([2, 5, 2, 4]);
        const [q, k, v] = [module.query, module.key, module.value].map(byHead);
        for (const each of [null, lengths]) {
          const mixed = attention(q, k, v, { causal, lengths: each }).reshape([2, 5, 8]);
          await expectClose(module.call(x, each), matmul(mixed, module.output.weight));
        }
      }
    });
  });

  test('Block adds both parts to what comes in, each after its norm', async () => {
    await step(async () => {
      const x = input([2, 5, 8]);
      const block = made(new Block(tinyConfig, options()));
      const attended = add(x, block.attention.call(block.attentionNorm.call(x)));
      await expectClose(block.call(x), add(attended, block.feedForward.call(block.feedForwardNorm.call(attended))));
    });
  });

  test('a tensor of another device is refused with both devices named', async () => {
    const other = device === cpu ? webgpu : cpu;
    if (!other) return;
    const linear = made(new Linear(5, 3, options()));
    await step(() => {
      const x = random([2, 5], { seed: 1, device: other });
      expect(() => linear.call(x)).toThrow(DeviceMismatchError);
      expect(() => linear.call(x)).toThrow(/cpu.*webgpu|webgpu.*cpu/);
    });
  });
});

onEachDevice((device) => {
  test('Sequential hands its input through modules and functions, in the mode it is in', async () => {
    await step(async () => {
      const random = new Random(3);
      const [first, last] = [new Linear(2, 3, { random, device }), new Linear(3, 1, { random, device, bias: true })];
      const model = new Sequential(first, relu, new Dropout(0.5, random), last);
      expect([...model.namedParameters().keys()]).toEqual(['layers.0.weight', 'layers.3.weight', 'layers.3.bias']);
      const x = tensor([[1, 2]], { device });
      expect(await model.eval().call(x).toArray()).toEqual(await last.call(relu(first.call(x))).toArray());
    });
  });
});

test('Sequential refuses what computes nothing', () => {
  expect(() => Reflect.construct(Sequential, [relu, 'relu'])).toThrow(
    'Sequential: layer 1 is string (allowed: modules, and functions',
  );
});
