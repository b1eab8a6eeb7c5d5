import { afterEach, describe, expect, test } from 'vitest';
import {
  AdamW,
  ArgumentError,
  backward,
  crossEntropy,
  type Device,
  type DType,
  DTypeError,
  gradcheck,
  Linear,
  Module,
  mul,
  Random,
  relu,
  SGD,
  ShapeError,
  step,
  sub,
  type Tensor,
  type Transformer,
  type TransformerConfig,
  tensor,
} from '../../src/index.ts';
import { copyInto } from '../../src/tensor/copy.ts';
import { cpu, onEachDevice, webgpu } from '../devices.ts';
import { plainLogits } from './plain-transformer.ts';
import { BATCH, releaseLater, releaseMade, TIME, Training, tinyBatch, tinyConfig, tinyModel } from './tiny.ts';

afterEach(releaseMade);

const variants: Record<string, Partial<TransformerConfig> & { padded?: boolean }> = {
  'language model': {},
  'language model, not causal, padded': { causal: false, padded: true },
  'language model with layer norms, learned positions, gelu': {
    normalization: 'layer',
    positions: { learned: TIME + 2 },
    feedForward: 'gelu',
  },
  classifier: { head: { classes: 3 } },
  'classifier, not causal, one head, relu, one position a token': {
    head: { classes: 3 },
    causal: false,
    heads: 1,
    feedForward: 'relu',
    positions: { learned: TIME },
  },
};

const lengthsOf = [TIME, 1, 3, TIME - 1];

const precisions: [string, Device, DType, number][] = [
  ['f64 on cpu', cpu, 'f64', 1e-11],
  ...(webgpu ? [['f32 on webgpu', webgpu, 'f32', 2e-4] satisfies [string, Device, DType, number]] : []),
];

describe.each(precisions)('%s', (_what, device, dtype, tolerance) => {
  test.each(Object.entries(variants))(
    '%s gives the logits of the plain formulas',
    async (_name, { padded, ...config }) => {
      const model = tinyModel(device, { ...config, dtype });
      const state = await model.stateDict();
      await step(async () => {
        const { tokens } = tinyBatch(device, 1);
        const lengths = padded ? tensor(Int32Array.from(lengthsOf), { device }) : null;
        const logits = model.call(tokens, lengths);
        const outputs = config.head === undefined ? tinyConfig.vocabulary : 3;
        expect(logits.shape).toEqual(config.head === undefined ? [BATCH, TIME, outputs] : [BATCH, outputs]);
        const actual = Array.from(await logits.data());
        const ids = Array.from(await tokens.data());
        const expected = Array.from({ length: BATCH }, (_, b) =>
          plainLogits(model.config, state, ids.slice(b * TIME, (b + 1) * TIME), padded ? lengthsOf[b] : TIME),
        ).flat(2);
        expect(actual.length).toBe(expected.length);
        for (const [i, value] of expected.entries()) {
          if (!(Math.abs(actual[i] - value) <= tolerance)) expect.fail(`logit ${i}: ${actual[i]} instead of ${value}`);
        }
      });
    },
  );
});

describe('the gradient of the whole model passes gradcheck in float64', () => {
  test.each(Object.entries(variants))('%s', async (_name, { padded, ...config }) => {
    const model = tinyModel(cpu, { ...config, dtype: 'f64' });
    const parameters = model.parameters();
    // gradcheck hands over its own leaves: the model computes with their values, and the graph leads to them.
    const withLeaves = (...leaves: Tensor[]) => {
      for (const [i, parameter] of parameters.entries()) {
        copyInto(leaves[i], parameter, parameter.strides);
        parameter.node = leaves[i].node;
      }
      const { tokens, targets } = tinyBatch(cpu, 1);
      const lengths = padded ? tensor(Int32Array.from(lengthsOf), { device: cpu }) : null;
      const classes = tensor(Int32Array.of(0, 2, 1, 2), { device: cpu });
      return crossEntropy(model.call(tokens, lengths), config.head === undefined ? targets : classes);
    };
    await gradcheck(withLeaves, parameters, { elements: 5, absoluteTolerance: 1e-8 });
  });
});

onEachDevice((device) => {
  const logitsOf = (model: Transformer, values: Int32Array, lengths?: readonly number[]) =>
    step(async () => {
      const tokens = tensor(values, { device, shape: [2, 4] });
      const counts = lengths ? tensor(Int32Array.from(lengths), { device }) : null;
      return Array.from(await model.call(tokens, counts).data());
    });

  test('a causal model does not look ahead, another does', async () => {
    const changed = [Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8), Int32Array.of(1, 2, 3, 9, 5, 6, 7, 8)];
    const width = 4 * tinyConfig.vocabulary;
    const untouched = 3 * tinyConfig.vocabulary;
    for (const causal of [true, false]) {
      const model = tinyModel(device, { causal });
      const [a, b] = [await logitsOf(model, changed[0]), await logitsOf(model, changed[1])];
      expect(b.slice(width)).toEqual(a.slice(width));
      expect(b.slice(untouched, width)).not.toEqual(a.slice(untouched, width));
      const before = expect(b.slice(0, untouched));
      if (causal) before.toEqual(a.slice(0, untouched));
      else before.not.toEqual(a.slice(0, untouched));
    }
  });

  test('what stands in the padding reaches no position before it', async () => {
    const model = tinyModel(device, { causal: false });
    const a = await logitsOf(model, Int32Array.of(1, 2, 0, 0, 5, 6, 7, 8), [2, 4]);
    const b = await logitsOf(model, Int32Array.of(1, 2, 9, 3, 5, 6, 7, 8), [2, 4]);
    const seen = 2 * tinyConfig.vocabulary;
    expect(b.slice(0, seen)).toEqual(a.slice(0, seen));
    expect(b.slice(2 * seen)).toEqual(a.slice(2 * seen));
  });

  test('what stands in the padding does not reach the answer of a classifier', async () => {
    const model = tinyModel(device, { head: { classes: 3 } });
    const a = await logitsOf(model, Int32Array.of(1, 2, 0, 0, 5, 6, 7, 8), [2, 4]);
    const b = await logitsOf(model, Int32Array.of(1, 2, 9, 3, 5, 6, 7, 8), [2, 4]);
    expect(b).toEqual(a);
    const shorter = await logitsOf(model, Int32Array.of(1, 2, 0, 0, 5, 6, 7, 8), [1, 4]);
    expect(shorter.slice(0, 3)).not.toEqual(a.slice(0, 3));
  });

  test.each<[string, Partial<TransformerConfig>, RegExp]>([
    ['no vocabulary', { vocabulary: 0 }, /vocabulary 0/],
    ['half a block', { blocks: 1.5 }, /blocks 1.5/],
    ['no hidden width', { hidden: 0 }, /hidden 0/],
    ['negative heads', { heads: -2 }, /heads -2/],
    ['a width of NaN', { width: Number.NaN }, /width NaN/],
    ['heads that do not divide the width', { heads: 3 }, /width 8.*3 heads/],
    ['an odd share for rotary positions', { heads: 8 }, /width 8.*8 heads.*even/],
    ['no classes', { head: { classes: 0 } }, /classes 0/],
    ['half a class', { head: { classes: 2.5 } }, /classes 2.5/],
    ['no learned positions', { positions: { learned: 0 } }, /learned 0/],
    ['negative learned positions', { positions: { learned: -3 } }, /learned -3/],
  ])('%s is refused by name, and nothing is left behind', (_what, config, message) => {
    const before = device.memory().liveBuffers;
    expect(() => tinyModel(device, config)).toThrow(ArgumentError);
    expect(() => tinyModel(device, config)).toThrow(message);
    expect(device.memory().liveBuffers).toBe(before);
  });

  test('an odd share is right for learned positions', async () => {
    const model = tinyModel(device, { heads: 8, positions: { learned: TIME } });
    await step(() => {
      expect(model.call(tinyBatch(device, 1).tokens).shape).toEqual([BATCH, TIME, 11]);
    });
  });

  test('tokens of another rank, dtype, range or length get a named error', async () => {
    const model = tinyModel(device, { positions: { learned: TIME } });
    await step(() => {
      const tokens = (values: number[], shape: number[]) => tensor(Int32Array.from(values), { device, shape });
      expect(() => model.call(tokens([1, 2], [2]))).toThrow(ShapeError);
      expect(() => model.call(tensor([[1, 2]], { device }))).toThrow(DTypeError);
      expect(() => model.call(tokens([1, 11], [1, 2]))).toThrow(ArgumentError);
      expect(() => model.call(tokens([1, -1], [1, 2]))).toThrow(/-1.*0 … 10/);
      expect(() => model.call(tokens(new Array<number>(7).fill(1), [1, 7]))).toThrow(ShapeError);
      expect(() => model.call(tokens(new Array<number>(7).fill(1), [1, 7]))).toThrow(/7 tokens.*6 learned/);
      const lengths = tensor(Int32Array.of(1, 2, 3), { device });
      expect(() => model.call(tokens([1, 2], [1, 2]), lengths)).toThrow(ShapeError);
    });
  });

  test('a small transformer learns which token follows', async () => {
    const training = new Training(device, { optimizer: { learningRate: 0.03, weightDecay: 0, maxGradientNorm: 1 } });
    await training.steps(1, 1);
    for (let s = 2; s <= 39; s++) await training.step(s);
    await training.steps(40, 40);
    const [first, last] = training.losses;
    expect(first).toBeGreaterThan(2);
    expect(last).toBeLessThan(0.2);
  });

  test.each([
    ['AdamW', (model: Xor) => new AdamW(model.parameters(), { learningRate: 0.05 })],
    ['SGD', (model: Xor) => new SGD(model.parameters(), { learningRate: 0.2, momentum: 0.9 })],
  ])('%s learns the exclusive or', async (_name, make) => {
    const model = new Xor(device);
    for (const parameter of model.parameters()) releaseLater(parameter);
    const optimizer = releaseLater(make(model));
    for (let s = 1; s <= 120; s++) {
      await step(() => {
        const loss = model.loss();
        backward(loss);
        optimizer.step(loss);
      });
    }
    expect((await optimizer.report()).loss).toBeLessThan(0.01);
  });
});

class Xor extends Module {
  readonly hidden: Linear;
  readonly output: Linear;

  constructor(device: Device) {
    super();
    const options = { device, random: new Random(2), bias: true };
    this.hidden = new Linear(2, 8, options);
    this.output = new Linear(8, 1, options);
  }

  forward(x: Tensor): Tensor {
    return this.output.call(relu(this.hidden.call(x)));
  }

  loss(): Tensor {
    const { device } = this.hidden.weight;
    const inputs = tensor(
      [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ],
      { device },
    );
    const error = sub(this.call(inputs), tensor([[0], [1], [1], [0]], { device }));
    return mul(error, error).mean();
  }
}
