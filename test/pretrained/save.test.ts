/** What is saved is what was loaded, and what transformers would have written. */
import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  ArgumentError,
  addLoRA,
  loadPretrained,
  mergeLoRA,
  Random,
  readSafetensors,
  savePretrained,
} from '../../src/index.ts';
import { cpu } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { fixture, models } from './fixtures.ts';

const bytesOf = (folder: string, file = 'model.safetensors') => readFileSync(join(folder, file));

test.each(models)('%s: saved again, the weights are the same', async (name) => {
  const folder = join(temporaryFolder(), 'saved');
  const loaded = await loadPretrained(fixture(`models/${name}`), { device: cpu });
  const isHalf = name === 'llama-tied';
  await savePretrained(loaded, folder, { dtype: isHalf ? 'bf16' : 'f32' });
  // Those of one f32 or bf16 file come back byte for byte; F16 is stored wider, and shards become one file.
  if (name !== 'qwen2' && name !== 'qwen3') {
    expect(bytesOf(folder).equals(bytesOf(fixture(`models/${name}`)))).toBe(true);
  }
  const again = await loadPretrained(folder, { device: cpu });
  expect(await again.model.stateDict()).toEqual(await loaded.model.stateDict());
  expect(again.model.config).toEqual(loaded.model.config);
  const { torch_dtype: _, dtype: __, ...config } = JSON.parse(bytesOf(folder, 'config.json').toString());
  expect(config).toEqual(JSON.parse(JSON.stringify({ ...loaded.config, dtype: undefined })));
  expect((await readdir(folder)).toSorted()).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
});

test('an adapter is saved only once it is merged', async () => {
  const loaded = await loadPretrained(fixture('models/llama'), { device: cpu });
  addLoRA(loaded.model, { rank: 2, random: new Random(1) });
  const folder = temporaryFolder();
  await expect(savePretrained(loaded, folder)).rejects.toThrow(ArgumentError);
  await expect(savePretrained(loaded, folder)).rejects.toThrow(/blocks.0.attention.query has an adapter.*mergeLoRA/);
  expect(await readdir(folder)).toEqual([]);
  mergeLoRA(loaded.model);
  await savePretrained(loaded, folder);
  expect(readSafetensors(bytesOf(folder)).metadata).toEqual({ format: 'pt' });
});

test('a folder can be saved over itself, and bad options are refused', async () => {
  const loaded = await loadPretrained(fixture('models/gpt2'), { device: cpu });
  const folder = temporaryFolder();
  await savePretrained(loaded, folder);
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  const again = await loadPretrained(folder, { device: cpu });
  await savePretrained(again, folder);
  expect(bytesOf(folder).equals(bytesOf(fixture('models/gpt2')))).toBe(true);
  expect(bytesOf(folder, 'tokenizer.json').toString()).toBe('{}');
  // @ts-expect-error: users run unchecked.
  await expect(savePretrained(again, folder, { dtype: 'f8' })).rejects.toThrow("dtype is 'f8'");
});
