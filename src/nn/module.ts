/** A part of a model: its parameters, its sub-modules, and the function they compute. */

import { holdsBFloat16 } from '../tensor/bfloat16.ts';
import { copyInto } from '../tensor/copy.ts';
import { normal, tensor, zeros } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { type DType, type NumericArray, resultDType } from '../tensor/dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from '../tensor/errors.ts';
import type { Random } from '../tensor/random.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Parameter } from './parameter.ts';
import { type Saved, savedArray, savedList, savedNumber, savedObject } from './saved.ts';

/** Where and from what a module makes its parameters. */
export interface BuildOptions {
  device?: Device;
  /** Of the parameters. bf16 is for what is frozen, and for the matrices alone: gains, biases and learned positions are f32 then. */
  dtype?: DType;
  /**
   * Source of the initial values; modules draw from it in the order they are built. Null: zeros, for a model whose values come
   * from a file.
   */
  random: Random | null;
}

/** Their names. */
export const buildOptions = ['device', 'dtype', 'random'] as const satisfies readonly (keyof BuildOptions)[];

/** For what is no matrix, or is added to other values: never bf16. */
export function besideMatrices<Options extends Partial<BuildOptions>>(options: Options): Options {
  return { ...options, dtype: options.dtype && resultDType(options.dtype) };
}

/** Normal numbers of the given deviation as initial values, or zeros where there is no source of them. */
export function initialNormal(shape: Shape, options: BuildOptions & { deviation: number }): Tensor {
  const { random, deviation, ...others } = options;
  return random ? normal(shape, { ...others, random, deviation }) : zeros(shape, others);
}

/** Values of parameters by name, as plain arrays: what a checkpoint holds. `dtype` says where a file may hold them in bf16, exactly. */
export type StateDict = Record<string, { shape: readonly number[]; data: NumericArray; dtype?: 'bf16' }>;

/**
 * A part of a model: its parameters, its sub-modules, and the function they compute. Parameters and sub-modules are
 * found in its properties and in arrays, maps, sets and plain objects of them, and named by the path to them. Fields written `#field`
 * are hidden from it, as from everyone.
 */
export abstract class Module<Inputs extends readonly unknown[] = [Tensor], Output = Tensor> {
  #training = true;

  /** The computation. Callers use `call`, which frees what the graph does not need. */
  abstract forward(...inputs: Inputs): Output;

  /** Runs `forward`; intermediate tensors that the backward pass does not need are released on return. */
  call(...inputs: Inputs): Output {
    return scope(this.constructor.name, () => this.forward(...inputs));
  }

  /** True while training; modules that behave otherwise in evaluation ask it. */
  get training(): boolean {
    return this.#training;
  }

  train(): this {
    return this.#setTraining(true);
  }

  eval(): this {
    return this.#setTraining(false);
  }

  /** Every parameter with its path, such as `blocks.0.attention.query.weight`; a shared one is listed once. */
  namedParameters(): Map<string, Parameter> {
    const found = new Map<string, Parameter>();
    const seen = new Set<unknown>();
    const visit = (value: unknown, path: string): void => {
      if (value instanceof Parameter) {
        if (seen.has(value)) return;
        seen.add(value);
        value.rename(path);
        found.set(path, value);
      } else {
        for (const [name, child] of childrenOf(value, seen)) visit(child, path === '' ? name : `${path}.${name}`);
      }
    };
    visit(this, '');
    return found;
  }

  /** Every module in it with its path, itself at the empty path; a shared one is listed once. */
  namedModules(): Map<string, Module<never, unknown>> {
    const found = new Map<string, Module<never, unknown>>();
    const seen = new Set<unknown>();
    const visit = (value: unknown, path: string): void => {
      if (value instanceof Module && !seen.has(value)) found.set(path, value);
      for (const [name, child] of childrenOf(value, seen)) visit(child, path === '' ? name : `${path}.${name}`);
    };
    visit(this, '');
    return found;
  }

  parameters(): Parameter[] {
    return [...this.namedParameters().values()];
  }

  /** Numbers that its parameters are of no use without, by name: they go into the state, and are compared when it is loaded. */
  constants(): Record<string, number> {
    return {};
  }

  /**
   * Reads all parameters back, as they are without merged adapters; the constants of the modules beside them, as f64.
   *
   * @param without parameters that are left out.
   */
  async stateDict(without: ReadonlySet<Parameter> = new Set()): Promise<StateDict> {
    const state: StateDict = {};
    for (const [name, parameter] of this.namedParameters()) {
      if (without.has(parameter)) continue;
      const { shape, dtype } = parameter.original ?? parameter;
      const data = await (parameter.original ?? parameter).data();
      state[name] = dtype === 'bf16' ? { shape, data, dtype } : { shape, data };
    }
    for (const [name, value] of this.#namedConstants()) state[name] = { shape: [], data: Float64Array.of(value) };
    return state;
  }

  /**
   * Writes values back into the parameters, frozen ones too.
   *
   * @param without parameters that the state does not name.
   * @throws ArgumentError for names that are missing or too many, another constant, and while adapters are merged; ShapeError
   * for another shape or values that do not fill it; DTypeError for values that bf16 does not hold where the parameter is stored so;
   * nothing is written then.
   */
  loadStateDict(state: StateDict, without: ReadonlySet<Parameter> = new Set()): void {
    const parameters = new Map([...this.namedParameters()].filter(([, parameter]) => !without.has(parameter)));
    const constants = this.#namedConstants();
    const merged = [...parameters].find(([, { original }]) => original !== null);
    if (merged)
      throw new ArgumentError(`loadStateDict: the adapter of ${merged[0]} is merged; unmergeLoRA(model) first`);
    const missing = [...parameters.keys(), ...constants.keys()].filter((name) => !Object.hasOwn(state, name));
    const unknown = Object.keys(state).filter((name) => !parameters.has(name) && !constants.has(name));
    if (missing.length > 0 || unknown.length > 0) {
      throw new ArgumentError(
        `loadStateDict: the state must name each parameter once; missing: ${missing.join(', ') || 'none'}; ` +
          `unknown: ${unknown.join(', ') || 'none'}`,
      );
    }
    for (const [name, value] of constants) {
      const [found] = state[name].data;
      if (found !== value) throw new ArgumentError(`loadStateDict: ${name} is ${value}, in the state ${found}`);
    }
    for (const [name, parameter] of parameters) {
      const { shape, data } = state[name];
      if (!sameShape(shape, parameter.shape) || data.length !== parameter.size) {
        throw new ShapeError(
          `loadStateDict: ${name} has shape ${formatShape(parameter.shape)}, the state ${formatShape(shape)} with ` +
            `${data.length} values`,
        );
      }
      if (parameter.dtype !== 'bf16' || state[name].dtype === 'bf16' || holdsBFloat16(data)) continue;
      throw new DTypeError(
        `loadStateDict: ${name} is stored in bf16, and the state has numbers that bf16 does not hold; thaw() it first`,
      );
    }
    for (const [name, parameter] of parameters) {
      const { data, shape } = state[name];
      scope('loadStateDict', () => {
        const { device, dtype } = parameter;
        copyInto(tensor(data, { device, dtype, shape, name }), parameter, parameter.strides);
      });
    }
    for (const module of this.namedModules().values()) module.onLoad();
  }

  /** Called when its parameters were loaded, by itself or by a module that holds it. */
  protected onLoad(): void {}

  #namedConstants(): Map<string, number> {
    const found = new Map<string, number>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, value] of Object.entries(module.constants()))
        found.set(path === '' ? name : `${path}.${name}`, value);
    }
    return found;
  }

  #setTraining(training: boolean): this {
    const seen = new Set<unknown>();
    const visit = (value: unknown): void => {
      if (value instanceof Module) value.#training = training;
      for (const [, child] of childrenOf(value, seen)) visit(child);
    };
    visit(this);
    return this;
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

/** The entries in which parameters and modules are looked for, unless `value` was seen before. */
function childrenOf(value: unknown, seen: Set<unknown>): [string, unknown][] {
  if (typeof value !== 'object' || value === null || seen.has(value)) return [];
  const isMap = value instanceof Map;
  const isSet = value instanceof Set;
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  if (!(value instanceof Module || isMap || isSet || isPlain)) return [];
  seen.add(value);
  if (isSet) return [...value].map((child, i) => [String(i), child]);
  return isMap ? [...value].map(([key, child]) => [String(key), child]) : Object.entries(value);
}
