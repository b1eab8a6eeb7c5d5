/** What transformers and PEFT computed, and how ours is held against it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type Device, gradientOf, readSafetensors, type StateDict, tensor } from '../../src/index.ts';
import type { Parameter } from '../../src/nn/parameter.ts';
import type { StoredWeight } from '../../src/pretrained/family.ts';
import { find, storedValues } from '../../src/pretrained/stored.ts';
import type { NumericArray } from '../../src/tensor/dtype.ts';

export const models = ['llama', 'llama-tied', 'qwen2', 'qwen3', 'mistral', 'phi3', 'gpt2'] as const;
export const adapters = ['llama', 'llama-rslora', 'llama-one-block', 'phi3', 'gpt2'] as const;

export function fixture(path: string): string {
  return fileURLToPath(new URL(`fixtures/${path}`, import.meta.url));
}

export function readFixture(path: string): StateDict {
  return readSafetensors(readFileSync(fixture(path))).state;
}

/** Tokens, and for each position the token after it as a target: -100 at the last, and where there is none. */
export function batchOf({ input_ids, labels }: StateDict, device: Device) {
  const [batch, time] = input_ids.shape;
  const next = Int32Array.from(labels.data, (_, i) => (i % time === time - 1 ? -100 : labels.data[i + 1]));
  return {
    tokens: tensor(input_ids.data, { device, shape: [batch, time] }),
    targets: tensor(next, { device, shape: [batch, time] }),
  };
}

/** The largest difference, as a share of the largest value. */
export function difference(expected: NumericArray, actual: NumericArray): number {
  expect(actual.length).toBe(expected.length);
  let [largest, worst] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    worst = Math.max(worst, Math.abs(expected[i] - actual[i]));
    if (Number.isNaN(actual[i])) return Number.NaN;
  }
  return worst / largest;
}

/** Values, or gradients, in the form of the file. */
export function inFileForm(
  weight: StoredWeight,
  parameters: ReadonlyMap<string, Parameter>,
  of: 'values' | 'gradients',
): Promise<NumericArray> {
  const parts = weight.parameters.map((path) => {
    const parameter = find(parameters, path);
    const { shape } = parameter;
    return {
      shape,
      data: async () => {
        const source = of === 'values' ? parameter : gradientOf(parameter);
        if (!source) throw new Error(`${path} has no gradient`);
        return source.data();
      },
    };
  });
  return storedValues(weight, parts);
}
