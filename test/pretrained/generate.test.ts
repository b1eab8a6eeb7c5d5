/** Generation beside transformers, and what is drawn. */
import { describe, expect, test } from 'vitest';
import { ArgumentError, type Device, type GenerateOptions, generate, loadPretrained, Random } from '../../src/index.ts';
import { pickToken, type SamplingOptions } from '../../src/pretrained/sampling.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { collectGarbage } from '../nn/tiny.ts';
import { fixture, models, readFixture } from './fixtures.ts';

async function collect(model: Parameters<typeof generate>[0], prompt: readonly number[], options: GenerateOptions) {
  const tokens: number[] = [];
  for await (const token of generate(model, prompt, options)) tokens.push(token);
  return tokens;
}

const load = async (name: string, device: Device) => {
  const { prompt, generated } = readFixture(`models/${name}/expected.safetensors`);
  const { model } = await loadPretrained(fixture(`models/${name}`), { device });
  return { model, prompt: [...prompt.data], expected: [...generated.data] };
};

onEachDevice((device) => {
  test.each(models)(
    '%s: 64 greedy tokens are those of transformers, cached or not',
    { timeout: 60_000 },
    async (name) => {
      const { model, prompt, expected } = await load(name, device);
      expect(await collect(model, prompt, { maxTokens: 64 })).toEqual(expected);
      expect(await collect(model, prompt, { maxTokens: 16, useCache: false })).toEqual(expected.slice(0, 16));
    },
  );

  test('a stop token ends it, so does the context, and the cache is given back', async () => {
    const { model, prompt, expected } = await load('gpt2', device);
    const at = expected.findIndex((token, i) => i > 5 && expected.indexOf(token) === i);
    expect(await collect(model, prompt, { stopTokens: [expected[at]] })).toEqual(expected.slice(0, at));
    expect(await collect(model, prompt, {})).toHaveLength(96 - prompt.length);
    await collectGarbage();
    const before = device.memory().liveBytes;
    for await (const token of generate(model, prompt)) {
      expect(device.memory().liveBytes).toBeGreaterThan(before);
      if (token === expected[3]) break;
    }
    expect(device.memory().liveBytes).toBe(before);
    expect(model.training).toBe(true);
  });
});

test('the same seed gives the same text, cached or not', async () => {
  const { model, prompt } = await load('qwen3', cpu);
  const options = { maxTokens: 20, temperature: 0.9, topK: 20, topP: 0.95, seed: 3 };
  const text = await collect(model, prompt, options);
  expect(await collect(model, prompt, { ...options, useCache: false })).toEqual(text);
  expect(await collect(model, prompt, { ...options, seed: 4 })).not.toEqual(text);
});

describe('drawing', () => {
  const logits = Float32Array.of(1, 3, 2, 3, -1);
  const shares = (options: SamplingOptions) => {
    const random = new Random(1);
    const counts = new Array<number>(5).fill(0);
    for (let i = 0; i < 20_000; i++) counts[pickToken(logits, options, random)]++;
    return counts.map((count) => count / 20_000);
  };
  const softmax = (kept: readonly number[], temperature = 1) => {
    const weights = [...logits].map((logit, i) => (kept.includes(i) ? Math.exp(logit / temperature) : 0));
    const total = weights.reduce((sum, each) => sum + each);
    return weights.map((each) => each / total);
  };
  test.each<[string, SamplingOptions, number[]]>([
    ['greedy takes the first of the likeliest', { topK: 3 }, [0, 1, 0, 0, 0]],
    ['all', { temperature: 1 }, softmax([0, 1, 2, 3, 4])],
    ['a temperature', { temperature: 2 }, softmax([0, 1, 2, 3, 4], 2)],
    ['top-k', { temperature: 1, topK: 3 }, softmax([1, 2, 3])],
    ['top-k, of equals the first', { temperature: 1, topK: 1 }, softmax([1])],
    // The two likeliest have 0.80 together.
    ['top-p', { temperature: 1, topP: 0.79 }, softmax([1, 3])],
    ['top-p, the one that crosses it included', { temperature: 1, topP: 0.82 }, softmax([1, 2, 3])],
    ['a top-p that is tiny', { temperature: 1, topP: 1e-9 }, softmax([1])],
    ['top-p of what top-k left', { temperature: 1, topK: 2, topP: 0.5 }, softmax([1])],
  ])('%s', (_, options, expected) => {
    shares(options).forEach((share, i) => {
      expect(Math.abs(share - expected[i]), `token ${i}`).toBeLessThan(0.012);
    });
  });
});

test.each<[GenerateOptions, string]>([
  [{ temperature: -1 }, 'temperature is -1'],
  [{ temperature: Number.NaN }, 'temperature is NaN'],
  [{ topK: 1.5 }, 'topK is 1.5'],
  [{ topP: 0 }, 'topP is 0'],
  [{ topP: 1.1 }, 'topP is 1.1'],
  [{ maxTokens: 0 }, 'maxTokens is 0'],
])('%j is refused', async (options, message) => {
  const { model, prompt } = await load('llama', cpu);
  await expect(collect(model, prompt, options)).rejects.toThrow(ArgumentError);
  await expect(collect(model, prompt, options)).rejects.toThrow(message);
  await expect(collect(model, [], {})).rejects.toThrow('the prompt has 0 tokens');
  await expect(collect(model, new Array(96).fill(1), {})).rejects.toThrow('96 tokens (allowed: 1 … 95)');
  await expect(collect(model, [96], {})).rejects.toThrow('index 96 is out of range');
});
