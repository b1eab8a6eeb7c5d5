import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { FileFormatError, readSafetensors } from '../../src/index.ts';
import { WeightFiles } from '../../src/pretrained/weights.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const models = fileURLToPath(new URL('fixtures/models', import.meta.url));

test('tensors of shards, one by one', async () => {
  const weights = await WeightFiles.openFolder(join(models, 'qwen3'));
  const parts = await Promise.all(
    [1, 2, 3].map(async (i) =>
      readSafetensors(await readFile(join(models, `qwen3/model-0000${i}-of-00003.safetensors`))),
    ),
  );
  const expected = Object.assign({}, ...parts.map(({ state }) => state));
  expect(weights.names.toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const name of weights.names) {
    expect(weights.find(name)?.shape).toEqual(expected[name].shape);
    expect(await weights.read(name)).toEqual(expected[name].data);
  }
  await expect(weights.read('nothing')).rejects.toThrow('there is no tensor nothing');
  await weights.close();
});

test('a shard that is missing, cut or not as the index says is named', async () => {
  const folder = temporaryFolder();
  const shard = join(folder, 'model-00002-of-00003.safetensors');
  const indexPath = join(folder, 'model.safetensors.index.json');
  const restore = () => cp(join(models, 'qwen3'), folder, { recursive: true });
  const opening = () => expect(WeightFiles.openFolder(folder)).rejects;
  await restore();
  await truncate(shard, 30_000);
  await opening().toThrow(FileFormatError);
  await opening().toThrow(/model-00002-of-00003.*is to stand at .* bytes/);
  await rm(shard);
  await opening().toThrow(/model-00002-of-00003.*there is no such file/);
  await restore();
  const index = JSON.parse(await readFile(indexPath, 'utf8'));
  const changed = async (change: Record<string, unknown>) =>
    writeFile(indexPath, JSON.stringify({ ...index, weight_map: { ...index.weight_map, ...change } }));
  await changed({ 'a.b': 'model-00001-of-00003.safetensors' });
  await opening().toThrow(/a\.b is to be in model-00001-of-00003.safetensors, which does not have it/);
  await changed({ 'a.b': '../secret.safetensors' });
  await opening().toThrow(/a\.b is in "..\/secret.safetensors" \(allowed: a .safetensors file beside it\)/);
  await writeFile(indexPath, '{}');
  await opening().toThrow('has no weight_map');
  await writeFile(indexPath, '{');
  await opening().toThrow('is no JSON');
});
