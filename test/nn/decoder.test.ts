/** The decoder by itself. Whole models are held against transformers in test/pretrained. */
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  addLoRA,
  backward,
  crossEntropy,
  Decoder,
  type DecoderConfig,
  type Device,
  gradientOf,
  KeyValueCache,
  noGrad,
  type ParameterKind,
  Random,
  ShapeError,
  step,
  tensor,
} from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { expectClose } from '../shapes.ts';

const config: DecoderConfig = {
  vocabulary: 11,
  width: 8,
  blocks: 2,
  heads: 4,
  keyHeads: 2,
  headSize: 4,
  hidden: 12,
  contextLength: 32,
  positions: { base: 100, size: 4, scaling: null },
  normalization: 'rms',
  epsilon: 1e-5,
  headNorms: true,
  biases: { queryKeyValue: true, output: false, feedForward: false },
  feedForward: 'swiglu',
  windows: [null, 3],
  tiedHead: true,
};
const learned: DecoderConfig = { ...config, positions: 'learned', normalization: 'layer', feedForward: 'gelu' };

function tokensOf(batch: number, time: number, device: Device) {
  const values = Int32Array.from({ length: batch * time }, (_, i) => (i * i + 3) % 11);
  return { values, tokens: tensor(values, { device, shape: [batch, time] }) };
}

onEachDevice((device) => {
  test.each([
    ['a tied head', config, null],
    ['a head of its own', { ...config, tiedHead: false }, null],
    ['an adapter on the head', { ...config, tiedHead: false }, ['query', 'head'] as const],
  ])('the loss with %s is that of whole logits, in value and gradients', async (_, each, target) => {
    const model = new Decoder(each, { device, random: new Random(1) });
    if (target) {
      addLoRA(model, { rank: 2, random: new Random(2), target });
      // B begins at 0, and A has no gradient then.
      for (const [path, { shape }] of model.namedParameters()) {
        if (path.endsWith('adapter.b'))
          model.loadStateDict({
            ...(await model.stateDict()),
            [path]: { shape, data: new Float32Array(shape[0] * shape[1]).fill(0.5) },
          });
      }
    }
    const { tokens } = tokensOf(2, 5, device);
    const targets = tensor(Int32Array.of(1, -100, 3, 4, -100, -100, 7, 8, -100, -100), { device, shape: [2, 5] });
    const lengths = tensor(Int32Array.of(5, 4), { device });
    const [whole, fused] = [
      () => crossEntropy(model.call(tokens, { lengths }), targets, { reduction: 'sum' }),
      () => model.loss(tokens, targets, { lengths, reduction: 'sum' }),
    ];
    const results = [];
    for (const loss of [whole, fused]) {
      const found = await step(async () => {
        const value = loss();
        value.backward();
        const gradients = model.parameters().flatMap((parameter) => gradientOf(parameter) ?? []);
        return [await value.data(), ...(await Promise.all(gradients.map((gradient) => gradient.data())))];
      });
      results.push(found);
    }
    expect(results[1]).toHaveLength(results[0].length);
    expect(results[0].length).toBeGreaterThan(3);
    for (const [i, values] of results[1].entries()) {
      for (const [k, value] of values.entries()) expect(value).toBeCloseTo(results[0][i][k], 4);
    }
  });

  test.each([config, learned])('pieces through a cache give what the whole gives', async (each) => {
    const model = new Decoder(each, { device, random: new Random(1) });
    const cache = new KeyValueCache(each.blocks, 10);
    const { values, tokens } = tokensOf(2, 10, device);
    const whole = await step(() => noGrad(() => model.call(tokens)).data());
    let start = 0;
    for (const length of [4, 1, 3, 2]) {
      await step(async () => {
        const piece = [0, 1].flatMap((row) => [...values.slice(10 * row + start, 10 * row + start + length)]);
        const part = tensor(Int32Array.from(piece), { device, shape: [2, length] });
        const logits = noGrad(() => model.call(part, { cache, lastOnly: true }));
        const expected = [0, 1].flatMap((row) => {
          const end = 11 * (10 * row + start + length);
          return [...whole.slice(end - 11, end)];
        });
        await expectClose(logits, tensor(expected, { device, shape: [2, 1, 11] }), { absolute: 2e-6 });
      });
      start += length;
    }
    expect(() => cache.makeRoom(1)).toThrow('10 and 1 more positions exceed its capacity of 10');
    for (const length of [-1, 11, 1.5]) {
      expect(() => cache.rewind(length)).toThrow(`rewind to ${length} (allowed: a whole number from 0 to 10`);
    }
    cache.rewind(9);
    const last = tensor(Int32Array.of(values[9], values[19]), { device, shape: [2, 1] });
    const logits = await step(() => noGrad(() => model.call(last, { cache })).data());
    for (const [i, value] of [...whole.slice(99, 110), ...whole.slice(209, 220)].entries()) {
      expect(logits[i]).toBeCloseTo(value, 5);
    }
    cache.release();
  });

  test('padding behind a row changes nothing before it', async () => {
    const model = new Decoder(config, { device, random: new Random(1) });
    await step(async () => {
      const { values, tokens } = tokensOf(1, 6, device);
      const lengths = tensor([4], { device, dtype: 'i32' });
      const padded = await noGrad(() => model.call(tokens, { lengths })).data();
      const short = await noGrad(() => model.call(tensor(values.slice(0, 4), { device, shape: [1, 4] }))).data();
      for (let i = 0; i < short.length; i++) expect(Math.abs(padded[i] - short[i])).toBeLessThan(2e-6);
    });
  });
});

onEachDevice((device) => {
  /** Loss and gradients of a step by either path. */
  const train = (config: DecoderConfig, path: 'plain' | 'fused' | 'checkpointed') =>
    step(async () => {
      const model = new Decoder(config, { device, random: new Random(1) });
      const target: ParameterKind[] = config.tiedHead ? ['query', 'down'] : ['query', 'down', 'head'];
      addLoRA(model, {
        rank: 2,
        dropout: 0.3,
        random: new Random(2),
        target,
        alsoTrain: ['norm', 'gate', 'embedding'],
      });
      model.checkpointBlocks = path === 'checkpointed';
      const { tokens } = tokensOf(2, 6, device);
      const targets = tensor(
        [...tokensOf(2, 6, device).values].map((token, i) => (i % 3 === 0 ? -100 : token)),
        { device, dtype: 'i32', shape: [2, 6] },
      );
      const lengths = tensor([6, 4], { device, dtype: 'i32' });
      const loss =
        path === 'plain'
          ? crossEntropy(model.call(tokens, { lengths }), targets, { labelSmoothing: 0.1 })
          : model.loss(tokens, targets, { lengths, labelSmoothing: 0.1 });
      backward(loss);
      const found = [[await loss.item()]];
      for (const each of model.parameters()) found.push([...((await gradientOf(each)?.data()) ?? [])]);
      return found;
    });

  test.each([config, { ...learned, tiedHead: false }])(
    'its loss is that of its logits, with adapters, also on the head',
    async (each) => {
      const [plain, fused] = [await train(each, 'plain'), await train(each, 'fused')];
      expect(fused.map(({ length }) => length)).toEqual(plain.map(({ length }) => length));
      for (const [i, values] of fused.entries()) {
        for (const [j, value] of values.entries()) expect(Math.abs(value - plain[i][j])).toBeLessThan(2e-6);
      }
      expect(await train(each, 'checkpointed')).toEqual(fused);
    },
  );
});

test('a tied head is the table itself, which gets both gradients', async () => {
  const tied = new Decoder(config, { device: cpu, random: new Random(1) });
  const parted = new Decoder({ ...config, tiedHead: false }, { device: cpu, random: new Random(1) });
  expect(tied.head).toBeNull();
  const state = await tied.stateDict();
  const { data } = state['tokens.table'];
  const turned = Float32Array.from(data, (_, i) => data[(i % 11) * 8 + Math.floor(i / 11)]);
  parted.loadStateDict({ ...state, 'head.weight': { shape: [8, 11], data: turned } });
  await step(async () => {
    const { tokens } = tokensOf(2, 5, cpu);
    for (const model of [tied, parted]) crossEntropy(model.call(tokens), tokens).backward();
    const gradient = async (of: Parameters<typeof gradientOf>[0]) =>
      (await gradientOf(of)?.data()) ?? new Float32Array(0);
    const [both, ofTable] = [await gradient(tied.tokens.table), await gradient(parted.tokens.table)];
    const ofHead = parted.head ? await gradient(parted.head.weight) : new Float32Array(0);
    expect(both).toHaveLength(88);
    for (let i = 0; i < both.length; i++) {
      expect(Math.abs(both[i] - ofTable[i] - ofHead[(i % 8) * 11 + Math.floor(i / 8)])).toBeLessThan(1e-6);
    }
  });
});

describe('bad input', () => {
  test.each<[Partial<DecoderConfig>, string]>([
    [{ width: 0 }, 'width is 0'],
    [{ headSize: 2.5 }, 'headSize is 2.5'],
    [{ keyHeads: 3 }, 'keyHeads is 3 (allowed: what divides 4, the heads)'],
    [{ windows: [null] }, 'windows are 1'],
  ])('%j', (change, message) => {
    const build = () => new Decoder({ ...config, ...change }, { device: cpu, random: new Random(1) });
    expect(build).toThrow(ArgumentError);
    expect(build).toThrow(message);
  });

  test('too many tokens for learned positions, and none', async () => {
    const model = new Decoder(learned, { device: cpu, random: null });
    await step(() => {
      expect(() => model.call(tokensOf(1, 33, cpu).tokens)).toThrow('33 tokens exceed the 32 learned positions');
      expect(() => model.call(tensor(new Int32Array(0), { device: cpu, shape: [1, 0] }))).toThrow(ShapeError);
    });
  });
});
