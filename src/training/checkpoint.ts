/** Checkpoints as files: one safetensors file each, which appears whole or not at all; the last few are kept. */
import { readSafetensors, writeSafetensors } from '../nn/safetensors.ts';
import type { Saved } from '../nn/saved.ts';
import type { StateDict } from '../nn/state-dict.ts';
import { ArgumentError, FileFormatError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';

/** In the file's metadata, beside the arrays: what it is, and everything that is no array, as JSON. */
const format = 'frostgrad checkpoint 1';

/**
 * Writes what `training.save()` gave. The file is written aside, synced and renamed, so that a kill leaves the old one or
 * the new one.
 */
export async function writeCheckpoint(path: string, saved: Saved): Promise<void> {
  // A Map, as a key may be `__proto__`.
  const arrays = new Map<string, StateDict[string]>();
  const state = JSON.stringify(encode(saved, '', arrays));
  await platform.files.write(path, (write) => write(writeSafetensors(Object.fromEntries(arrays), { format, state })));
}

/** @throws FileFormatError for a file that is no checkpoint, or was cut short. */
export async function readCheckpoint(path: string): Promise<Saved> {
  const { state, metadata } = readSafetensors(await platform.files.read(path));
  if (metadata.format !== format) {
    throw new FileFormatError(`${path}: the format is '${metadata.format ?? 'none'}' (allowed: '${format}')`);
  }
  try {
    return decode(JSON.parse(metadata.state ?? ''), path, state);
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof RangeError)) throw cause;
    const what = cause instanceof SyntaxError ? 'no JSON' : 'nested too deep';
    throw new FileFormatError(`${path}: the state of the checkpoint is ${what}`, { cause });
  }
}

/** Digits of a step in a file's name, so that names sort as steps do. */
const stepDigits = 9;

/** The last checkpoints of one training: one file a step, `<name>-<step>.safetensors`. */
export class Checkpoints {
  readonly #folder: string;
  readonly #name: string;
  readonly #keep: number;

  /**
   * @param folder must exist when the first one is written.
   * @param options `keep`: how many are left; the older ones are removed once a new one is whole. `name`: the beginning of theirs.
   * @throws ArgumentError
   */
  constructor(folder: string, options: { name?: string; keep?: number } = {}) {
    checkOptions('Checkpoints', options, ['name', 'keep'], 'keep');
    const { name = 'checkpoint', keep = 2 } = options;
    if (typeof folder !== 'string') {
      throw new ArgumentError(`Checkpoints: folder is ${String(folder)} (allowed: the path of a folder)`);
    }
    if (typeof name !== 'string' || !/^[^/\\]+$/.test(name)) {
      throw new ArgumentError(
        `Checkpoints: name is ${JSON.stringify(name)} (allowed: a name of a file, without a folder)`,
      );
    }
    if (!Number.isInteger(keep) || keep < 1) {
      throw new ArgumentError(`Checkpoints: keep ${keep} is out of range (allowed: whole numbers of at least 1)`);
    }
    this.#folder = folder;
    this.#name = name;
    this.#keep = keep;
  }

  async write(step: number, saved: Saved): Promise<void> {
    const name = `${this.#name}-${String(step).padStart(stepDigits, '0')}.safetensors`;
    await writeCheckpoint(this.#path(name), saved);
    // What an earlier run had reached beyond this step is no future of this one.
    const others = (await this.#names()).filter((each) => each !== name);
    const earlier = others.filter((each) => each < name);
    const outdated = [...others.filter((each) => each > name), ...earlier.slice(0, earlier.length - this.#keep + 1)];
    for (const each of outdated) await platform.files.remove(this.#path(each));
  }

  /**
   * The newest one that is whole; null where there is none at all. One that a failing disk has damaged is passed over with a warning.
   *
   * @throws FileFormatError where all are damaged.
   */
  async newest(): Promise<Saved | null> {
    let damage: FileFormatError | null = null;
    for (const name of (await this.#names()).reverse()) {
      try {
        return await readCheckpoint(this.#path(name));
      } catch (error) {
        if (!(error instanceof FileFormatError)) throw error;
        platform.warn(`${this.#path(name)} is passed over: ${error.message}`);
        damage ??= error;
      }
    }
    if (damage) throw damage;
    return null;
  }

  /** Of the files there are, the oldest first. */
  async #names(): Promise<string[]> {
    const start = `${this.#name}-`;
    const isStep = new RegExp(`^\\d{${stepDigits},}\\.safetensors$`);
    const all = await platform.files.list(this.#folder);
    return all.filter((name) => name.startsWith(start) && isStep.test(name.slice(start.length))).sort();
  }

  #path(name: string): string {
    return platform.files.join(this.#folder, name);
  }
}

/** A value as JSON holds it. Arrays and the numbers that JSON lacks become objects whose key begins with $. */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

function encode(value: Saved, path: string, arrays: Map<string, StateDict[string]>): Json {
  if (typeof value === 'number') {
    const isPlain = Number.isFinite(value) && !Object.is(value, -0);
    return isPlain ? value : { $number: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (value instanceof Float32Array || value instanceof Float64Array || value instanceof Int32Array) {
    arrays.set(path, { shape: [value.length], data: value });
    return { $array: path };
  }
  if (value === null || typeof value !== 'object') return value;
  const below = (key: string | number) => (path === '' ? String(key) : `${path}/${key}`);
  if (isList(value)) return value.map((each, i) => encode(each, below(i), arrays));
  const entries = Object.entries(value).map(([key, each]): [string, Json] => [
    key.startsWith('$') ? `$${key}` : key,
    encode(each, below(key), arrays),
  ]);
  return Object.fromEntries(entries);
}

function decode(value: Json, path: string, arrays: StateDict): Saved {
  if (value === null || typeof value !== 'object') return value;
  if (isList(value)) return value.map((each) => decode(each, path, arrays));
  if (typeof value.$number === 'string') return Number(value.$number);
  if (typeof value.$array === 'string') {
    const found = Object.hasOwn(arrays, value.$array) ? arrays[value.$array] : null;
    if (found) return found.data;
    throw new FileFormatError(`${path}: the checkpoint lacks its array '${value.$array}'`);
  }
  const entries = Object.entries(value).map(([key, each]): [string, Saved] => [
    key.startsWith('$') ? key.slice(1) : key,
    decode(each, path, arrays),
  ]);
  return Object.fromEntries(entries);
}

function isList<T>(value: readonly T[] | object): value is readonly T[] {
  return Array.isArray(value);
}
