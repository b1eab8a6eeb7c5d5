/** Plain values that a checkpoint can hold, and how they are read back with their types checked. */
import type { NumericArray } from '../tensor/dtype.ts';
import { FileFormatError } from '../tensor/errors.ts';

/** JSON, with typed arrays as leaves; NaN and infinite numbers keep their value. */
export type Saved =
  | null
  | boolean
  | number
  | string
  | NumericArray
  | readonly Saved[]
  | { readonly [key: string]: Saved };

/** The keys of a saved object. @throws FileFormatError for anything else, naming `what`. */
export function savedObject(what: string, saved: Saved | undefined): { readonly [key: string]: Saved } {
  if (isSavedObject(saved)) return saved;
  throw new FileFormatError(`${what}: the checkpoint holds ${describe(saved)} (allowed: an object)`);
}

/** The entries of a saved list. @throws FileFormatError for anything else, naming `what`. */
export function savedList(what: string, saved: Saved | undefined): readonly Saved[] {
  if (Array.isArray(saved)) return saved;
  throw new FileFormatError(`${what}: the checkpoint holds ${describe(saved)} (allowed: a list)`);
}

/** A saved number. @throws FileFormatError for anything else, naming `what`. */
export function savedNumber(what: string, saved: Saved | undefined): number {
  if (typeof saved === 'number') return saved;
  throw new FileFormatError(`${what}: the checkpoint holds ${describe(saved)} (allowed: a number)`);
}

/** A saved number, or null. @throws FileFormatError for anything else, naming `what`. */
export function savedNumberOrNull(what: string, saved: Saved | undefined): number | null {
  return saved === null ? null : savedNumber(what, saved);
}

/** A saved text. @throws FileFormatError for anything else, naming `what`. */
export function savedText(what: string, saved: Saved | undefined): string {
  if (typeof saved === 'string') return saved;
  throw new FileFormatError(`${what}: the checkpoint holds ${describe(saved)} (allowed: a text)`);
}

/** A saved typed array. @throws FileFormatError for anything else, naming `what`. */
export function savedArray(what: string, saved: Saved | undefined): NumericArray {
  if (saved instanceof Float32Array || saved instanceof Float64Array || saved instanceof Int32Array) return saved;
  throw new FileFormatError(`${what}: the checkpoint holds ${describe(saved)} (allowed: a typed array)`);
}

function isSavedObject(saved: Saved | undefined): saved is { readonly [key: string]: Saved } {
  return typeof saved === 'object' && saved !== null && !Array.isArray(saved) && !ArrayBuffer.isView(saved);
}

function describe(saved: Saved | undefined): string {
  if (saved === undefined || saved === null) return 'nothing';
  if (ArrayBuffer.isView(saved)) return 'a typed array';
  if (Array.isArray(saved)) return 'a list';
  return typeof saved === 'object' ? 'an object' : `${typeof saved} ${JSON.stringify(saved)}`;
}
