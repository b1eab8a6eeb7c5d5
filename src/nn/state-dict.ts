/** Values of parameters by name, and the check of those that come from elsewhere. */
import type { NumericArray } from '../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../tensor/errors.ts';
import { checkShape, formatShape, sizeOf } from '../tensor/shape.ts';
import { type Saved, savedArray, savedList, savedNumber, savedObject } from './saved.ts';

/** Values of parameters by name, as plain arrays: what a checkpoint holds. `dtype` says where a file may hold them in bf16, exactly. */
export type StateDict = Record<string, { shape: readonly number[]; data: NumericArray; dtype?: 'bf16' }>;

/** @throws ArgumentError for what is no state dictionary; ShapeError for an entry whose values do not fill its shape. */
export function checkStateDict(operation: string, state: unknown): void {
  const allowed = '(allowed: { name: { shape, data } }, with data a Float32Array, Float64Array or Int32Array)';
  if (typeof state !== 'object' || state === null || ![Object.prototype, null].includes(Object.getPrototypeOf(state))) {
    const kind = typeof state === 'object' && state !== null ? state.constructor.name : String(state);
    const likely = state instanceof Promise ? '; await it first' : '';
    throw new ArgumentError(`${operation}: the state is ${kind} ${allowed}${likely}`);
  }
  for (const [name, entry] of Object.entries(state)) {
    const { shape, data, dtype } = { shape: null, data: null, dtype: undefined, ...entry };
    if (!(data instanceof Float32Array || data instanceof Float64Array || data instanceof Int32Array)) {
      throw new ArgumentError(`${operation}: ${name} is no entry of a state ${allowed}`);
    }
    if (dtype !== undefined && dtype !== 'bf16') {
      throw new ArgumentError(
        `${operation}: ${name} has dtype ${String(dtype)} (allowed: none, or bf16; the array tells others)`,
      );
    }
    checkShape(`${operation}: ${name}`, shape);
    if (data.length === sizeOf(shape)) continue;
    throw new ShapeError(`${operation}: ${name} of shape ${formatShape(shape)} has ${data.length} values`);
  }
}

/** The state dictionary that a checkpoint holds. @throws FileFormatError where it is none, naming `what`. */
export function stateDictFrom(what: string, saved: Saved | undefined): StateDict {
  const entries = Object.entries(savedObject(what, saved)).map(([name, value]): [string, StateDict[string]] => {
    const { shape, data } = savedObject(`${what}: ${name}`, value);
    const extents = savedList(`${what}: ${name}`, shape).map((extent) => savedNumber(`${what}: ${name}`, extent));
    return [name, { shape: extents, data: savedArray(`${what}: ${name}`, data) }];
  });
  return Object.fromEntries(entries);
}
