/** A checkpoint whose matrices stay in bf16 computes what it computes when they are widened on loading. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  addLoRA,
  type Device,
  DTypeError,
  loadPretrained,
  mergeLoRA,
  type NumericArray,
  noGrad,
  type Pretrained,
  Random,
  savePretrained,
  step,
  tensor,
  unmergeLoRA,
  writeSafetensors,
} from '../../src/index.ts';
import { cpu, onEachDevice, ownDevices } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { fixture } from './fixtures.ts';

const folder = fixture('models/llama-tied');
const load = (device: Device, dtype: 'stored' | 'f32') => loadPretrained(folder, { device, dtype });

function logits({ model }: Pretrained) {
  return step(() => {
    const tokens = tensor([[1, 5, 3, 7, 2]], { device: model.tokens.table.device, dtype: 'i32' });
    return noGrad(() => model.eval().call(tokens)).data();
  });
}

/** An adapter whose B is not 0. */
async function adapt({ model }: Pretrained) {
  addLoRA(model, { rank: 2, random: new Random(1) });
  const state = await model.stateDict();
  for (const [name, { data }] of Object.entries(state)) if (name.endsWith('adapter.b')) data.fill(0.1);
  model.loadStateDict(state);
}

const own = await ownDevices();

describe('a base in bf16', () => {
  onEachDevice((device) => {
    test('half the bytes, the same logits, also with adapters, merged and not', async () => {
      device.trim();
      const bytes = () => device.memory().liveBytes;
      const before = bytes();
      const narrow = await load(device, 'stored');
      const between = bytes();
      const wide = await load(device, 'f32');
      expect((between - before) / (bytes() - between)).toBeLessThan(0.51);
      expect(narrow.model.tokens.table.dtype).toBe('bf16');
      expect(await logits(narrow)).toEqual(await logits(wide));
      for (const each of [narrow, wide]) await adapt(each);
      expect(await logits(narrow)).toEqual(await logits(wide));
      const unmerged = bytes();
      for (const { model } of [narrow, wide]) mergeLoRA(model);
      expect(await logits(narrow)).toEqual(await logits(wide));
      for (const { model } of [narrow, wide]) unmergeLoRA(model);
      expect(bytes()).toBe(unmerged);
      expect(await logits(narrow)).toEqual(await logits(wide));
    });

    test('adapters train as on f32, and so does a matrix that was thawed', async () => {
      const gradients: (NumericArray | undefined)[][] = [];
      for (const dtype of ['stored', 'f32'] as const) {
        const { model } = await load(device, dtype);
        addLoRA(model, { rank: 2, random: new Random(1), alsoTrain: /blocks.1.feedForward.up.weight/ });
        const up = model.namedParameters().get('blocks.1.feedForward.up.weight');
        expect(up?.dtype).toBe('f32');
        await step(async () => {
          model
            .call(tensor([[1, 5, 3]], { device, dtype: 'i32' }))
            .mean()
            .backward();
          const live = model.parameters().filter(({ isFrozen }) => !isFrozen);
          const found: (NumericArray | undefined)[] = [];
          for (const each of live) found.push(await each.gradient?.data());
          gradients.push(found);
        });
      }
      expect(gradients[0].length).toBeGreaterThan(2);
      expect(gradients[0]).toEqual(gradients[1]);
    });
  }, own);
});

test('saved as bf16, the file is the same, byte for byte', async () => {
  const [narrow, to] = [await load(cpu, 'stored'), temporaryFolder()];
  await savePretrained(narrow, to, { dtype: 'bf16' });
  const bytes = (from: string) => readFileSync(join(from, 'model.safetensors'));
  expect(bytes(to).equals(bytes(folder))).toBe(true);
  // A state keeps its 16 bits in a file too.
  const state = await narrow.model.stateDict();
  expect(writeSafetensors(state).length).toBeLessThan(1.1 * bytes(folder).length);
});

test('what is not BF16 in the file is rounded only when that is asked for', async () => {
  for (const name of ['qwen2', 'llama']) {
    const { model } = await loadPretrained(fixture(`models/${name}`), { device: cpu, dtype: 'stored' });
    expect(model.tokens.table.dtype).toBe('f32');
  }
  const { model } = await loadPretrained(fixture('models/gpt2'), { device: cpu, dtype: 'bf16' });
  expect(model.tokens.table.dtype).toBe('bf16');
  expect(model.positions?.table.dtype).toBe('f32');
  const wide = await loadPretrained(fixture('models/gpt2'), { device: cpu });
  const state = await wide.model.stateDict();
  expect(() => model.loadStateDict(state)).toThrow(DTypeError);
  expect(() => model.loadStateDict(state)).toThrow(/tokens.table is stored in bf16.*thaw\(\) it first/);
});
