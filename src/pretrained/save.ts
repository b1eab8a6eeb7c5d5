/** A model becomes a Hugging Face folder again, which transformers loads. */
import { layOut } from '../nn/safetensors.ts';
import { roundToBFloat16 } from '../tensor/bfloat16.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { fingerprintOfAdapter, mergedAdapters } from './adapter.ts';
import { writeJsonFile } from './folder.ts';
import type { Pretrained } from './load.ts';
import { find, storedShape, storedValues } from './stored.ts';

export interface SaveOptions {
  /** How the weights are stored. bf16 halves the file, and rounds what is not a bf16 number. */
  dtype?: 'f32' | 'bf16';
}

/** Files of a folder that are copied as they are: tokenizer, templates, defaults of generation. */
const copied = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
];

/**
 * Writes config.json, model.safetensors and what the model's folder has of tokenizer files. Names and orientation are those of
 * the family, parted matrices are fused again. The weights are written tensor by tensor, aside, and renamed when they are whole.
 *
 * Adapters are not part of it: merge them first, or save them by themselves (`saveAdapter`).
 *
 * @throws ArgumentError where a layer has an adapter that is not merged.
 */
export async function savePretrained(pretrained: Pretrained, folder: string, options: SaveOptions = {}): Promise<void> {
  checkOptions('savePretrained', options, ['dtype']);
  const { files } = platform;
  const { model, family, config, folder: source } = pretrained;
  const { dtype = 'f32' } = options;
  if (dtype !== 'f32' && dtype !== 'bf16') {
    throw new ArgumentError(`savePretrained: dtype is '${dtype}' (allowed: 'f32', 'bf16')`);
  }
  for (const [path, module] of model.namedModules()) {
    if (!('adapter' in module && module.adapter && 'isMerged' in module && !module.isMerged)) continue;
    throw new ArgumentError(`savePretrained: ${path} has an adapter that is not merged: mergeLoRA(model) first`);
  }
  const parameters = model.namedParameters();
  const tensors = family.weights(model.config).map((weight) => {
    const parts = weight.parameters.map((path) => find(parameters, path));
    return { name: weight.name, dtype: dtypeNames[dtype], shape: storedShape(weight, parts), weight, parts };
  });
  const fingerprint = await fingerprintOfAdapter(pretrained);
  await files.makeFolder(folder);
  const { header, order } = layOut(tensors, { format: 'pt' });
  await files.write(files.join(folder, 'model.safetensors'), async (write) => {
    await write(header);
    for (const { weight, parts } of order) {
      const values = Float32Array.from(await storedValues(weight, parts));
      const stored = dtype === 'bf16' ? roundToBFloat16(values) : values;
      await write(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    }
  });
  // transformers 5 calls it dtype.
  const key = 'torch_dtype' in config ? 'torch_dtype' : 'dtype';
  const merged = [...new Set([...mergedAdapters(config), ...fingerprint])];
  const saved = {
    ...config,
    [key]: dtype === 'bf16' ? 'bfloat16' : 'float32',
    ...(merged.length > 0 ? { merged_adapters: merged } : {}),
  };
  await writeJsonFile(files.join(folder, 'config.json'), saved);
  if (files.isSame(source, folder)) return;
  const there = new Set(await files.list(source));
  for (const name of copied) if (there.has(name)) await files.copy(files.join(source, name), files.join(folder, name));
}

const dtypeNames = { f32: 'F32', bf16: 'BF16' } as const;
