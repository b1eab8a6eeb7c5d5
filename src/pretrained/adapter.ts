/** LoRA adapters in the layout of PEFT: adapter_config.json and adapter_model.safetensors. */
import { Linear } from '../nn/linear.ts';
import { attachAdapter, LoRAAdapter, type LoRAOptions } from '../nn/lora.ts';
import { layOut } from '../nn/safetensors.ts';
import { checkRandom } from '../tensor/create.ts';
import { type NumericArray, typedArray } from '../tensor/dtype.ts';
import { ArgumentError, FileFormatError, UnsupportedModelError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { Random } from '../tensor/random.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import { isObject, type JsonObject, readJsonFile, shown, writeJsonFile } from './folder.ts';
import type { Pretrained } from './load.ts';
import { fillParts, fuse } from './stored.ts';
import { WeightFiles } from './weights.ts';

/** A matrix of the file that can be adapted, and the layers of ours that it is: several where it is fused. */
interface AdaptedModule {
  /** Its name in the file, as `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly paths: readonly string[];
  readonly layers: readonly Linear[];
}

const prefix = 'base_model.model.';
/** Keys of adapter_config.json that say nothing about what the adapter computes, once its tensors are there. */
const withoutEffect = new Set(
  `auto_mapping base_model_name_or_path fan_in_fan_out inference_mode layers_pattern layers_to_transform megatron_core
  peft_type peft_version qalora_group_size revision target_modules task_type exclude_modules runtime_config`.split(
    /\s+/,
  ),
);

export interface LoadAdapterOptions {
  /** Of the dropout masks, where the adapter goes on training with dropout. */
  random?: Random;
}

/**
 * Puts an adapter that PEFT or `saveAdapter` saved onto its model, as `addLoRA` does: the base is frozen, A and B train. Where
 * the file has fused matrices, the parts share one A, as PEFT trains it, and are watched and frozen as one.
 *
 * @throws FileFormatError for an adapter of another model, or broken files; UnsupportedModelError for options that are not
 * supported; ArgumentError where the model has an adapter already, or the adapter is part of its weights. Nothing is changed then.
 */
export async function loadAdapter(
  pretrained: Pretrained,
  folder: string,
  options: LoadAdapterOptions = {},
): Promise<void> {
  checkOptions('loadAdapter', options, ['random']);
  const { random = new Random(0) } = options;
  checkRandom('loadAdapter', random);
  const path = platform.files.join(folder, 'adapter_config.json');
  const config = await readJsonFile(path);
  if (!config) throw new FileFormatError(`${path}: there is no such file`);
  const settings = readSettings(path, config);
  const modules = adaptableModules(pretrained);
  const taken = modules.flatMap(({ paths, layers }) => paths.filter((_, i) => layers[i].adapter));
  if (taken.length > 0) throw new ArgumentError(`loadAdapter: ${taken[0]} has an adapter already`);

  const files = await WeightFiles.openFolder(folder, 'adapter_model');
  try {
    const read = new Map<string, NumericArray>();
    for (const name of files.names) read.set(name, await files.read(name));
    const fingerprint = await fingerprintOf(read);
    if (mergedAdapters(pretrained.config).includes(fingerprint)) {
      throw new ArgumentError(
        `loadAdapter: ${folder} is part of the weights already: it was merged before they were saved`,
      );
    }
    const adapted = modules.filter(({ name }) => files.find(`${prefix}${name}.lora_A.weight`));
    const known = new Set(adapted.flatMap(({ name }) => tensorNames(name)));
    const stray = files.names.find((name) => !known.has(name));
    if (stray || adapted.length === 0) {
      const what = stray ? `${stray} fits no matrix of the model` : 'it has no tensors';
      throw new FileFormatError(`${folder}: ${what} (matrices: ${modules.map(({ name }) => name).join(', ')})`);
    }
    const made = adapted.map((module) => {
      const [nameOfA, nameOfB] = tensorNames(module.name);
      const rank = files.find(nameOfA)?.shape[0] ?? 0;
      const [inputs] = module.layers[0].weight.shape;
      const outputs = module.layers.reduce((sum, { weight }) => sum + weight.shape[1], 0);
      const expected = settings.rankOf(module.name);
      checkShape(folder, files, nameOfA, [expected, inputs]);
      checkShape(folder, files, nameOfB, [outputs, expected]);
      const { rankStabilized, dropout } = settings;
      const lora = { rank, alpha: settings.alphaOf(module.name), rankStabilized, dropout, random };
      return { ...module, nameOfA, nameOfB, adapters: adaptersOf(module, lora) };
    });
    for (const parameter of pretrained.model.parameters()) parameter.freeze();
    for (const { paths, layers, adapters, nameOfA, nameOfB } of made) {
      adapters.forEach((adapter, i) => {
        attachAdapter(layers[i], adapter, paths.join(' + '));
      });
      const bs = adapters.map(({ b }) => b);
      scope('loadAdapter', () => {
        fillParts({ name: nameOfA, isTransposed: true }, [adapters[0].a], read.get(nameOfA) ?? new Float32Array(0));
        fillParts({ name: nameOfB, isTransposed: true }, bs, read.get(nameOfB) ?? new Float32Array(0));
      });
    }
    // The new parameters get their names.
    pretrained.model.namedParameters();
  } finally {
    await files.close();
  }
}

/**
 * Writes the adapters of a model as PEFT does. Parts of a fused matrix that have an A of their own become one adapter of a
 * higher rank, which computes the same.
 *
 * @throws ArgumentError for a model without adapters, or parts of one fused matrix that are scaled differently.
 */
export async function saveAdapter(pretrained: Pretrained, folder: string): Promise<void> {
  const { files } = platform;
  const stored = await storedAdapters(pretrained);
  const [first] = stored;
  if (!first) throw new ArgumentError('saveAdapter: the model has no adapters: addLoRA(model, …) first');
  const { rank, alpha, rankStabilized, dropout } = first;
  const otherwise = stored.find((each) => each.rankStabilized !== rankStabilized || each.dropout !== dropout);
  if (otherwise) {
    throw new ArgumentError(`saveAdapter: ${otherwise.name} has another dropout or form of scale than ${first.name}`);
  }
  await files.makeFolder(folder);
  const tensors = stored.flatMap(({ tensors }) => tensors.map((each) => ({ ...each, dtype: 'F32' as const })));
  const { header, order } = layOut(tensors, { format: 'pt' });
  await files.write(files.join(folder, 'adapter_model.safetensors'), async (write) => {
    await write(header);
    for (const { data } of order) await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  });
  const pattern = (of: 'rank' | 'alpha', usual: number) =>
    Object.fromEntries(stored.filter((each) => each[of] !== usual).map((each) => [each.name, each[of]]));
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: files.basename(pretrained.folder),
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: rankStabilized,
    rank_pattern: pattern('rank', rank),
    alpha_pattern: pattern('alpha', alpha),
    target_modules: targetNames(pretrained, stored),
    bias: 'none',
    fan_in_fan_out: pretrained.family.architecture === 'GPT2LMHeadModel',
    inference_mode: true,
  };
  await writeJsonFile(files.join(folder, 'adapter_config.json'), config);
}

/** What an adapter computes, as a short text; an empty list for a model whose adapters, if any, are not merged. */
export async function fingerprintOfAdapter(pretrained: Pretrained): Promise<string[]> {
  const isMerged = adaptableModules(pretrained).some(({ layers }) => layers.some((layer) => layer.isMerged));
  if (!isMerged) return [];
  const stored = await storedAdapters(pretrained);
  return [await fingerprintOf(new Map(stored.flatMap(({ tensors }) => tensors.map(({ name, data }) => [name, data]))))];
}

/** The adapters that were merged into the weights of a folder, by their fingerprints. */
export function mergedAdapters({ merged_adapters: merged }: JsonObject): string[] {
  return Array.isArray(merged) ? merged.filter((each): each is string => typeof each === 'string') : [];
}

async function fingerprintOf(tensors: ReadonlyMap<string, NumericArray>): Promise<string> {
  const parts = [...tensors.keys()].toSorted().flatMap((name) => {
    const values = Float32Array.from(tensors.get(name) ?? []);
    return [new TextEncoder().encode(name), new Uint8Array(values.buffer)];
  });
  return (await platform.files.sha256(parts)).slice(0, 32);
}

function tensorNames(module: string): [string, string] {
  return [`${prefix}${module}.lora_A.weight`, `${prefix}${module}.lora_B.weight`];
}

/** The matrices of the file that are layers here, in the order of the blocks. */
function adaptableModules({ model, family }: Pretrained): AdaptedModule[] {
  const modules = model.namedModules();
  return family.weights(model.config).flatMap(({ name, parameters }): AdaptedModule[] => {
    const paths = parameters.map((path) => path.replace(/\.weight$/, ''));
    const layers = paths.map((path) => modules.get(path)).filter((each): each is Linear => each instanceof Linear);
    const isMatrix = layers.length === paths.length && name.endsWith('.weight');
    return isMatrix ? [{ name: name.replace(/\.weight$/, ''), paths, layers }] : [];
  });
}

/** One adapter for each part; all share the A of the first. */
function adaptersOf({ layers }: AdaptedModule, options: LoRAOptions): LoRAAdapter[] {
  const first = new LoRAAdapter(layers[0].weight, options);
  return [first, ...layers.slice(1).map(({ weight }) => new LoRAAdapter(weight, options, first.a))];
}

interface StoredAdapter {
  name: string;
  rank: number;
  alpha: number;
  rankStabilized: boolean;
  dropout: number;
  tensors: { name: string; shape: readonly number[]; data: Float32Array }[];
}

/** The adapters in the form of the file: A as (rank, inputs), B as (outputs, rank). */
async function storedAdapters(pretrained: Pretrained): Promise<StoredAdapter[]> {
  const stored: StoredAdapter[] = [];
  for (const { name, layers } of adaptableModules(pretrained)) {
    const adapters = layers.map(({ adapter }) => (adapter instanceof LoRAAdapter ? adapter : null));
    const present = adapters.filter((each) => each !== null);
    if (present.length === 0) continue;
    const [{ scale, rankStabilized, dropout }] = present;
    const [inputs] = layers[0].weight.shape;
    if (present.some((each) => each.scale !== scale || each.dropout.rate !== dropout.rate)) {
      throw new ArgumentError(`saveAdapter: the parts of ${name} have adapters of different scales or dropouts`);
    }
    // Below one another the As that are not shared; beside one another, at the place of its A, what each B adds to its part.
    const as = [...new Set(present.map(({ a }) => a))];
    const rank = as.reduce((sum, { shape }) => sum + shape[1], 0);
    const valuesOfA: NumericArray[] = [];
    for (const a of as) valuesOfA.push(await a.data());
    const shapesOfB = layers.map(({ weight }) => [rank, weight.shape[1]]);
    const valuesOfB: NumericArray[] = [];
    for (const [i, adapter] of adapters.entries()) {
      const whole = typedArray('f32', rank * shapesOfB[i][1]);
      const before = adapter ? as.slice(0, as.indexOf(adapter.a)).reduce((sum, { shape }) => sum + shape[1], 0) : 0;
      if (adapter) whole.set(await adapter.b.data(), before * shapesOfB[i][1]);
      valuesOfB.push(whole);
    }
    const [nameOfA, nameOfB] = tensorNames(name);
    const a = fuse(
      true,
      as.map(({ shape }) => shape),
      valuesOfA,
    );
    const b = fuse(true, shapesOfB, valuesOfB);
    const outputs = shapesOfB.reduce((sum, shape) => sum + shape[1], 0);
    stored.push({
      name,
      rank,
      alpha: as.length === 1 ? present[0].alpha : scale * (rankStabilized ? Math.sqrt(rank) : rank),
      rankStabilized,
      dropout: dropout.rate,
      tensors: [
        { name: nameOfA, shape: [rank, inputs], data: Float32Array.from(a) },
        { name: nameOfB, shape: [outputs, rank], data: Float32Array.from(b) },
      ],
    });
  }
  return stored;
}

/** The last parts of the names where all modules that end so are adapted, else the whole names. */
function targetNames(pretrained: Pretrained, stored: readonly StoredAdapter[]): string[] {
  const lastPart = (name: string) => name.slice(name.lastIndexOf('.') + 1);
  const adapted = new Set(stored.map(({ name }) => name));
  const others = adaptableModules(pretrained).filter(({ name }) => !adapted.has(name));
  const partly = new Set(others.map(({ name }) => lastPart(name)));
  return [...new Set([...adapted].map((name) => (partly.has(lastPart(name)) ? name : lastPart(name))))];
}

/** @throws UnsupportedModelError for what is not plain LoRA, by the name of the option. */
function readSettings(path: string, config: JsonObject) {
  const { r, lora_alpha, lora_dropout, use_rslora, rank_pattern, alpha_pattern, ...others } = config;
  const refuse = (key: string, value: unknown, supported: string): never => {
    throw new UnsupportedModelError(`${path}: the option ${key} is ${shown(value)} (supported: ${supported})`);
  };
  if (config.peft_type !== 'LORA') refuse('peft_type', config.peft_type, '"LORA"');
  for (const [key, value] of Object.entries(others)) {
    if (key === 'bias' && value === 'none') continue;
    if (key === 'init_lora_weights' && (typeof value === 'boolean' || value === 'gaussian')) continue;
    const isEmpty =
      value === null || value === false || (typeof value === 'object' && Object.keys(value ?? {}).length === 0);
    if (!isEmpty && !withoutEffect.has(key)) refuse(key, value, key === 'bias' ? '"none"' : 'none');
  }
  const number = (key: string, value: unknown, isAllowed: (value: number) => boolean, allowed: string): number => {
    if (typeof value === 'number' && isAllowed(value)) return value;
    throw new FileFormatError(`${path}: ${key} is ${shown(value)} (allowed: ${allowed})`);
  };
  const rank = (key: string, value: unknown) =>
    number(key, value, (each) => Number.isInteger(each) && each > 0, 'whole numbers of at least 1');
  const alpha = (key: string, value: unknown) =>
    number(key, value, (each) => Number.isFinite(each) && each > 0, 'numbers above 0');
  const usual = { rank: rank('r', r), alpha: alpha('lora_alpha', lora_alpha) };
  return {
    rankOf: (module: string) => rank('rank_pattern', fromPattern(rank_pattern, module) ?? usual.rank),
    alphaOf: (module: string) => alpha('alpha_pattern', fromPattern(alpha_pattern, module) ?? usual.alpha),
    rankStabilized: use_rslora === true,
    dropout: number('lora_dropout', lora_dropout ?? 0, (each) => each >= 0 && each < 1, 'at least 0, below 1'),
  };
}

/** PEFT's patterns: keys are regular expressions for the end of a module's name. */
function fromPattern(pattern: unknown, module: string): unknown {
  const entries = isObject(pattern) ? Object.entries(pattern) : [];
  const matches = (key: string) => {
    try {
      return new RegExp(`^(.*\\.)?(${key})$`).test(module);
    } catch (cause) {
      throw new FileFormatError(`adapter_config.json: ${JSON.stringify(key)} is no regular expression`, { cause });
    }
  };
  return entries.find(([key]) => matches(key))?.[1];
}

function checkShape(folder: string, files: WeightFiles, name: string, expected: readonly number[]): void {
  const shape = files.find(name)?.shape;
  if (shape && sameShape(shape, expected)) return;
  const found = shape ? `has shape ${formatShape(shape)}` : 'is missing';
  throw new FileFormatError(
    `${folder}: ${name} ${found}; the model and adapter_config.json say ${formatShape(expected)}`,
  );
}
