/** Checkpoints as files: one safetensors file each, which appears whole or not at all. */
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { StateDict } from '../nn/module.ts';
import { readSafetensors, writeSafetensors } from '../nn/safetensors.ts';
import type { Saved } from '../nn/saved.ts';
import { FileFormatError } from '../tensor/errors.ts';

/** In the file's metadata, beside the arrays: what it is, and everything that is no array, as JSON. */
const format = 'frostgrad checkpoint 1';

/**
 * Writes what `training.save()` gave. The file is written aside, synced and renamed, so that a kill leaves the old one or
 * the new one.
 */
export async function writeCheckpoint(path: string, saved: Saved): Promise<void> {
  const arrays: StateDict = {};
  const state = JSON.stringify(encode(saved, '', arrays));
  const bytes = writeSafetensors(arrays, { format, state });
  const unfinished = `${path}.${process.pid}.unfinished`;
  try {
    const file = await open(unfinished, 'w');
    try {
      await file.writeFile(bytes);
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

/** @throws FileFormatError for a file that is no checkpoint, or was cut short. */
export async function readCheckpoint(path: string): Promise<Saved> {
  const { state, metadata } = readSafetensors(await readFile(path));
  if (metadata.format !== format) {
    throw new FileFormatError(`${path}: the format is '${metadata.format ?? 'none'}' (allowed: '${format}')`);
  }
  try {
    return decode(JSON.parse(metadata.state ?? ''), path, state);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new FileFormatError(`${path}: the state of the checkpoint is no JSON`, { cause });
  }
}

/** A value as JSON holds it. Arrays and the numbers that JSON lacks become objects whose key begins with $. */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

function encode(value: Saved, path: string, arrays: StateDict): Json {
  if (typeof value === 'number') {
    const isPlain = Number.isFinite(value) && !Object.is(value, -0);
    return isPlain ? value : { $number: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (value instanceof Float32Array || value instanceof Float64Array || value instanceof Int32Array) {
    arrays[path] = { shape: [value.length], data: value };
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
