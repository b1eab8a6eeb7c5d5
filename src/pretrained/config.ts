/** Reads config.json of a Hugging Face folder key by key, and refuses what nobody read. */
import type { RotaryPositions } from '../nn/decoder.ts';
import { FileFormatError, UnsupportedModelError } from '../tensor/errors.ts';
import { isObject, type JsonObject, shown } from './folder.ts';

/** Keys that do not change what the model computes, or only while it is trained (dropout is not carried over). */
const withoutEffect = new Set(
  `_name_or_path architectures attention_dropout attn_pdrop auto_map bos_token_id dtype embd_pdrop eos_token_id
  initializer_range merged_adapters keys_to_ignore_at_inference model_type n_ctx original_max_position_embeddings output_attentions
  output_hidden_states pad_token_id pretraining_tp reorder_and_upcast_attn resid_pdrop return_dict sep_token_id
  task_specific_params torch_dtype transformers.js_config transformers_version unk_token_id use_cache is_llama_config`.split(
    /\s+/,
  ),
);
const prefixesWithoutEffect = ['summary_', '_attn_implementation'];

/**
 * The keys of a configuration. A family reads those it knows; at the end `refuseOthers` refuses any that are left, because
 * an option that is not followed makes the model compute something else than it should.
 */
export class ConfigReader {
  readonly #family: string;
  readonly #config: JsonObject;
  readonly #read = new Set<string>();

  constructor(family: string, config: JsonObject) {
    this.#family = family;
    this.#config = config;
  }

  /** The value of a key as it stands; undefined where it is missing or null. */
  get(key: string): unknown {
    this.#read.add(key);
    return this.#config[key] ?? undefined;
  }

  /** A whole number above 0. @throws FileFormatError where it is missing without a default, or something else. */
  size(key: string, standard?: number, largest = 2 ** 31): number {
    const value = this.get(key) ?? standard;
    if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= largest) return value;
    throw new FileFormatError(`config.json: ${key} is ${shown(value)} (allowed: whole numbers from 1 to ${largest})`);
  }

  /** The number of blocks, which is what lists are made of before any file is opened. */
  blocks(key: string): number {
    return this.size(key, undefined, 4096);
  }

  /** The same, or null. */
  sizeOrNull(key: string): number | null {
    return this.get(key) === undefined ? null : this.size(key);
  }

  /** A number above 0. @throws FileFormatError */
  positive(key: string, standard: number): number {
    return positiveNumber(key, this.get(key) ?? standard);
  }

  /** @throws FileFormatError */
  flag(key: string, standard: boolean): boolean {
    const value = this.get(key) ?? standard;
    if (typeof value === 'boolean') return value;
    throw new FileFormatError(`config.json: ${key} is ${shown(value)} (allowed: true, false)`);
  }

  /** @throws UnsupportedModelError where the key has another value than those that are supported; missing is the first. */
  expect(key: string, ...supported: readonly unknown[]): void {
    const value = this.get(key) ?? supported[0];
    if (!supported.includes(value)) this.refuse(key, value, supported.map((each) => JSON.stringify(each)).join(', '));
  }

  /** @throws UnsupportedModelError that names the option, its value and what is supported. */
  refuse(key: string, value: unknown, supported: string): never {
    throw new UnsupportedModelError(`${this.#family}: the option ${key} is ${shown(value)} (supported: ${supported})`);
  }

  /** @throws UnsupportedModelError for a key that nobody read, unless it is null, false, or known to change nothing. */
  refuseOthers(): void {
    for (const [key, value] of Object.entries(this.#config)) {
      if (this.#read.has(key) || withoutEffect.has(key) || value === null || value === false) continue;
      if (prefixesWithoutEffect.some((prefix) => key.startsWith(prefix))) continue;
      this.refuse(key, value, 'no such option');
    }
  }

  /**
   * The rotary positions of heads of `headSize`: `rope_parameters` as transformers 5 writes them, or `rope_theta`,
   * `rope_scaling` and `partial_rotary_factor` as before.
   */
  rotary(headSize: number): RotaryPositions {
    const before = {
      rope_theta: this.get('rope_theta'),
      partial_rotary_factor: this.get('partial_rotary_factor'),
      ...asObject('rope_scaling', this.get('rope_scaling')),
    };
    const all: JsonObject = { ...before, ...asObject('rope_parameters', this.get('rope_parameters')) };
    const { rope_theta, partial_rotary_factor, rope_type, type, ...others } = all;
    const kind = rope_type ?? type ?? 'default';
    const base = positiveNumber('rope_theta', rope_theta ?? 10_000);
    const share = positiveNumber('partial_rotary_factor', partial_rotary_factor ?? 1);
    const size = Math.trunc(headSize * share);
    if (share > 1 || size < 2 || size % 2 !== 0) {
      this.refuse('partial_rotary_factor', share, `even parts of a head, of ${headSize} elements`);
    }
    const number = (key: string) => positiveNumber(`rope_scaling.${key}`, others[key]);
    const onlyWith = (...known: readonly string[]) => {
      const stray = Object.entries(others).find(([key, value]) => !known.includes(key) && value !== null);
      if (stray) this.refuse(`rope_scaling.${stray[0]}`, stray[1], `${known.join(', ') || 'none'} for type ${kind}`);
    };
    switch (kind) {
      case 'default':
        // The original length says what other types are measured from.
        onlyWith('original_max_position_embeddings');
        return { base, size, scaling: null };
      case 'linear':
        onlyWith('factor', 'original_max_position_embeddings');
        return { base, size, scaling: { type: 'linear', factor: number('factor') } };
      case 'llama3': {
        onlyWith('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings');
        const scaling = {
          type: 'llama3',
          factor: number('factor'),
          lowFrequencyFactor: number('low_freq_factor'),
          highFrequencyFactor: number('high_freq_factor'),
          originalPositions: number('original_max_position_embeddings'),
        } as const;
        return { base, size, scaling };
      }
      default:
        return this.refuse('rope_scaling.rope_type', kind, 'default, linear, llama3');
    }
  }

  /**
   * How many positions a token sees in each block, or null for all: `sliding_window` where `layer_types` says so, and where
   * there is no such list in the blocks that `slides` names.
   */
  windows(blocks: number, window: number | null, slides: (block: number) => boolean): (number | null)[] {
    const types = this.get('layer_types');
    if (types === undefined) return Array.from({ length: blocks }, (_, i) => (slides(i) ? window : null));
    if (!Array.isArray(types) || types.length !== blocks) {
      throw new FileFormatError(`config.json: layer_types must be a list of ${blocks}, one for each block`);
    }
    return types.map((type: unknown) => {
      if (type === 'full_attention') return null;
      if (type === 'sliding_attention') return window;
      return this.refuse('layer_types', type, 'full_attention, sliding_attention');
    });
  }
}

function positiveNumber(key: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw new FileFormatError(`config.json: ${key} is ${shown(value)} (allowed: numbers above 0)`);
}

function asObject(key: string, value: unknown): JsonObject {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  throw new FileFormatError(`config.json: ${key} is ${shown(value)} (allowed: an object)`);
}
