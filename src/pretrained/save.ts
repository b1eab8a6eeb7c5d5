/** A model becomes a Hugging Face folder again, which transformers loads. */
import { copyFile, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Parameter } from '../nn/parameter.ts';
import { layOut, roundToBFloat16 } from '../nn/safetensors.ts';
import { type NumericArray, typedArray } from '../tensor/dtype.ts';
import { ArgumentError } from '../tensor/errors.ts';
import type { StoredWeight } from './family.ts';
import { find, type Pretrained, storedShape } from './load.ts';

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
  await mkdir(folder, { recursive: true });
  const { header, order } = layOut(tensors, { format: 'pt' });
  await writeAside(join(folder, 'model.safetensors'), async (write) => {
    await write(header);
    for (const { weight, parts } of order) {
      const values = Float32Array.from(await storedValues(weight, parts));
      const stored = dtype === 'bf16' ? roundToBFloat16(values) : values;
      await write(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    }
  });
  // transformers 5 calls it dtype.
  const key = 'torch_dtype' in config ? 'torch_dtype' : 'dtype';
  const saved = { ...config, [key]: dtype === 'bf16' ? 'bfloat16' : 'float32' };
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(saved, null, 2)}\n`);
  if (resolve(source) === resolve(folder)) return;
  const there = new Set(await readdir(source));
  for (const name of copied) if (there.has(name)) await copyFile(join(source, name), join(folder, name));
}

const dtypeNames = { f32: 'F32', bf16: 'BF16' } as const;

/** Writes a file under another name, and renames it when it is whole: a kill or a full disk leaves the old one or none. */
export async function writeAside(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const unfinished = `${path}.${process.pid}.unfinished`;
  try {
    const file = await open(unfinished, 'w');
    try {
      await fill(async (bytes) => file.writeFile(bytes));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** The values of a stored tensor from the parameters that it holds: what `fillParts` takes apart. */
export async function storedValues(
  weight: Pick<StoredWeight, 'isTransposed'>,
  parts: readonly Pick<Parameter, 'shape' | 'data'>[],
): Promise<NumericArray> {
  const arrays: NumericArray[] = [];
  for (const part of parts) arrays.push(await part.data());
  return fuse(
    weight.isTransposed,
    parts.map(({ shape }) => shape),
    arrays,
  );
}

/** Matrices of (inputs, outputs), or vectors of (outputs), one after the other along their outputs. */
export function fuse(isTransposed: boolean, shapes: readonly (readonly number[])[], arrays: readonly NumericArray[]) {
  const total = shapes.reduce((sum, shape) => sum + shape[shape.length - 1], 0);
  const inputs = shapes[0].length === 2 ? shapes[0][0] : 1;
  const result = typedArray(arrays[0] instanceof Float64Array ? 'f64' : 'f32', inputs * total);
  let first = 0;
  shapes.forEach((shape, i) => {
    const values = arrays[i];
    const outputs = shape[shape.length - 1];
    for (let row = 0, from = 0; row < inputs; row++) {
      for (let column = 0; column < outputs; column++, from++) {
        const at = first + column;
        result[isTransposed ? at * inputs + row : row * total + at] = values[from];
      }
    }
    first += outputs;
  });
  return result;
}
