/** A Hugging Face folder becomes a model. */
import { Decoder, type DecoderConfig, parameterCount } from '../nn/decoder.ts';
import { checkDevice } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import type { DType } from '../tensor/dtype.ts';
import { FileFormatError, UnsupportedModelError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape, sameShape, sizeOf } from '../tensor/shape.ts';
import { ConfigReader } from './config.ts';
import type { Family, StoredWeight } from './family.ts';
import { type JsonObject, readJsonFile, shown } from './folder.ts';
import { gpt2 } from './gpt2.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { fillParts, find, storedShape } from './stored.ts';
import { WeightFiles } from './weights.ts';

/** The families that can be loaded. */
export const families: readonly Family[] = [llama, qwen2, qwen3, mistral, phi3, gpt2];

/** A model with what its folder said beside the weights. */
export interface Pretrained {
  readonly model: Decoder;
  readonly family: Family;
  /** config.json as it was. */
  readonly config: JsonObject;
  readonly folder: string;
  /** The tokens that end a text, by generation_config.json or else config.json. Often none: the tokenizer may know one. */
  readonly endTokens: readonly number[];
}

export interface LoadOptions {
  device?: Device;
  /**
   * How the matrices are stored; f32 by default. `bf16` takes half the memory, and they are frozen: adapters train on them, and
   * `thaw()` makes an f32 master of one. It rounds what the file has in more bits, F16 too. `stored`: bf16 where every matrix of the file is
   * BF16, so that nothing is rounded, else f32.
   */
  dtype?: DType | 'stored';
}

/** Tensors that old folders have beside the parameters: masks and frequencies that are computed here. */
const computed = /(\.attn\.(bias|masked_bias)|\.rotary_emb\.inv_freq)$/;

/**
 * The model in a Hugging Face folder: config.json, and model.safetensors or its shards. Weights in 16 bits are widened
 * exactly, unless `dtype` keeps bf16. They are read one tensor at a time. Dropout of the configuration is not carried over.
 *
 * @throws FileFormatError for files that are missing, cut, malformed, or do not fit the configuration; UnsupportedModelError
 * for a family or an option that is not supported.
 */
export async function loadPretrained(folder: string, options: LoadOptions = {}): Promise<Pretrained> {
  checkOptions('loadPretrained', options, ['device', 'dtype'], null);
  if (options.device !== undefined) checkDevice('loadPretrained', options.device);
  const { join } = platform.files;
  const path = join(folder, 'config.json');
  const config = await readJsonFile(path);
  if (!config) throw new FileFormatError(`${path}: there is no such file`);
  const family = familyOf(path, config);
  const description = describe(family, config);
  const endTokens =
    endTokensOf(await readJsonFile(join(folder, 'generation_config.json'))) ?? endTokensOf(config) ?? [];
  const files = await WeightFiles.openFolder(folder);
  try {
    const weights = family.weights(description);
    const nameInFile = namesOf(files, weights, description);
    checkCount(folder, files, description);
    const { device } = options;
    const dtype = options.dtype === 'stored' ? storedDType(files, weights.map(nameInFile)) : options.dtype;
    const model = new Decoder(description, { device, dtype, random: null });
    const parameters = model.namedParameters();
    for (const weight of weights) {
      const parts = weight.parameters.map((each) => find(parameters, each));
      checkShape(folder, files, nameInFile(weight), storedShape(weight, parts));
    }
    for (const weight of weights) {
      const values = await files.readStored(nameInFile(weight));
      const parts = weight.parameters.map((each) => find(parameters, each));
      scope('loadPretrained', () => fillParts(weight, parts, values));
    }
    return { model, family, config, folder, endTokens };
  } finally {
    await files.close();
  }
}

/** `eos_token_id`, which is a number or a list of them; null where there is none. */
function endTokensOf(config: JsonObject | null): number[] | null {
  const { eos_token_id: given = null } = config ?? {};
  return given === null ? null : [given].flat().filter((token) => typeof token === 'number');
}

/** @throws UnsupportedModelError for a family that is not supported. */
export function familyOf(path: string, config: JsonObject): Family {
  const { architectures } = config;
  const name: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  const family = families.find(({ architecture }) => architecture === name);
  if (family) return family;
  throw new UnsupportedModelError(
    `${path}: the architecture is ${shown(name)} ` +
      `(supported: ${families.map(({ architecture }) => architecture).join(', ')})`,
  );
}

/** The decoder that a configuration describes. @throws UnsupportedModelError for an option that is not supported. */
export function describe(family: Family, config: JsonObject): DecoderConfig {
  const reader = new ConfigReader(family.architecture, config);
  const description = family.readConfig(reader);
  reader.refuseOthers();
  return description;
}

/**
 * How tensors are called in these files. The published GPT-2 lacks the first part of its names.
 *
 * @throws FileFormatError for tensors that are missing or too many.
 */
function namesOf(files: WeightFiles, weights: readonly StoredWeight[], { tiedHead }: DecoderConfig) {
  const isShort = !files.names.some((name) => name.startsWith('transformer.'));
  const nameInFile = ({ name }: StoredWeight) => (isShort ? name.replace(/^transformer\./, '') : name);
  const expected = new Set(weights.map(nameInFile));
  const missing = [...expected].filter((name) => !files.find(name));
  const isExtra = (name: string) =>
    !expected.has(name) && !computed.test(name) && !(tiedHead && name === 'lm_head.weight');
  const extra = files.names.filter(isExtra);
  if (missing.length === 0 && extra.length === 0) return nameInFile;
  throw new FileFormatError(
    `weights: the tensors do not fit config.json; missing: ${missing.join(', ') || 'none'}; ` +
      `not expected: ${extra.join(', ') || 'none'}`,
  );
}

function storedDType(files: WeightFiles, names: readonly string[]): DType {
  const matrices = names.map((name) => files.find(name)).filter((each) => each?.shape.length === 2);
  return matrices.every((each) => each?.dtype === 'BF16') ? 'bf16' : 'f32';
}

/** Before anything is allocated: a configuration of a giant beside small weights is not built to find that out. */
function checkCount(folder: string, files: WeightFiles, config: DecoderConfig): void {
  const described = parameterCount(config);
  const stored = files.names.reduce((sum, name) => sum + sizeOf(files.find(name)?.shape ?? []), 0);
  if (described <= stored) return;
  throw new FileFormatError(
    `${folder}: config.json describes a model of ${described} parameters, and the weights are ${stored} numbers`,
  );
}

function checkShape(folder: string, files: WeightFiles, name: string, expected: readonly number[]): void {
  const shape = files.find(name)?.shape ?? [];
  if (sameShape(shape, expected)) return;
  throw new FileFormatError(
    `${folder}: ${name} has shape ${formatShape(shape)}; config.json says ${formatShape(expected)}`,
  );
}
