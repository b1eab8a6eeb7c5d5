/** A part of a model: its parameters, its sub-modules, and the function they compute. */

import { isRecording } from '../autograd/record.ts';
import { holdsBFloat16 } from '../tensor/bfloat16.ts';
import { copyInto } from '../tensor/copy.ts';
import { normal, tensor, zeros } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { type DType, resultDType } from '../tensor/dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from '../tensor/errors.ts';
import { tellNames } from '../tensor/names-elsewhere.ts';
import { platform } from '../tensor/platform/platform.ts';
import type { Random } from '../tensor/random.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Parameter } from './parameter.ts';
import { checkStateDict, type StateDict } from './state-dict.ts';

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
  return random !== null ? normal(shape, { ...others, random, deviation }) : zeros(shape, others);
}

/** The module whose call is under way, and those in it. */
let outermost: Module<never, unknown> | null = null;

/**
 * A part of a model: its parameters, its sub-modules, and the function they compute. Parameters and sub-modules are
 * found in its properties and in arrays, maps, sets and plain objects of them, and named by the path to them. Fields written `#field`
 * are hidden from it, as from everyone; a module in one that is called while a graph is recorded is told of in a warning.
 */
export abstract class Module<Inputs extends readonly unknown[] = [Tensor], Output = Tensor> {
  #training = true;
  /** Modules that were looked for here already. */
  readonly #listed = new WeakSet<Module<never, unknown>>();

  /** The computation. Callers use `call`, which frees what the graph does not need. */
  abstract forward(...inputs: Inputs): Output;

  /** Runs `forward`; intermediate tensors that the backward pass does not need are released on return. */
  call(...inputs: Inputs): Output {
    const outer = outermost;
    if (outer && isRecording()) outer.#tellUnlisted(this);
    outermost ??= this;
    try {
      return scope(this.constructor.name, () => this.forward(...inputs));
    } finally {
      outermost = outer;
    }
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

  /**
   * Every parameter with its path, such as `blocks.0.attention.query.weight`; a shared one is listed once.
   *
   * @throws ArgumentError where two have one path, such as those under the keys 1 and '1' of a Map.
   */
  namedParameters(): Map<string, Parameter> {
    const found = new Map<string, Parameter>();
    const seen = new Set<unknown>();
    const visit = (value: unknown, path: string): void => {
      if (value instanceof Parameter) {
        if (seen.has(value)) return;
        seen.add(value);
        value.rename(path);
        put(found, path, value);
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
      if (value instanceof Module && !seen.has(value)) put(found, path, value);
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
    // Pairs, as a name may be `__proto__`.
    const entries: [string, StateDict[string]][] = [];
    for (const [name, parameter] of this.namedParameters()) {
      if (without.has(parameter)) continue;
      const { shape, dtype } = parameter.original ?? parameter;
      const data = await (parameter.original ?? parameter).data();
      entries.push([name, dtype === 'bf16' ? { shape, data, dtype } : { shape, data }]);
    }
    for (const [name, value] of this.#namedConstants())
      entries.push([name, { shape: [], data: Float64Array.of(value) }]);
    return Object.fromEntries(entries);
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
    checkStateDict('loadStateDict', state);
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
      if (!sameShape(shape, parameter.shape)) {
        throw new ShapeError(
          `loadStateDict: ${name} has shape ${formatShape(parameter.shape)}, the state ${formatShape(shape)}`,
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

  /** Its parameters, a line each. */
  toString(): string {
    const parameters = [...this.namedParameters()];
    const lines = parameters.map(
      ([path, { dtype, shape, isFrozen }]) =>
        `\n  ${path}: ${dtype} ${formatShape(shape)}${isFrozen ? ', frozen' : ''}`,
    );
    const numbers = parameters.reduce((total, [, { size }]) => total + size, 0);
    return `${this.constructor.name} of ${numbers} numbers${lines.join('')}`;
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  #namedConstants(): Map<string, number> {
    const found = new Map<string, number>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, value] of Object.entries(module.constants()))
        found.set(path === '' ? name : `${path}.${name}`, value);
    }
    const taken = [...this.namedParameters().keys()].find((name) => found.has(name));
    if (taken !== undefined)
      throw new ArgumentError(`constants: '${taken}' is a parameter too (allowed: another name)`);
    return found;
  }

  /** Warns, once, where a module called in this one would not be trained with it: in a field written `#field`, say. */
  #tellUnlisted(called: Module<never, unknown>): void {
    if (this.#listed.has(called)) return;
    for (const each of this.namedModules().values()) this.#listed.add(each);
    if (this.#listed.has(called)) return;
    this.#listed.add(called);
    const own = new Set(this.parameters());
    if (called.parameters().every((each) => each.isFrozen || own.has(each))) return;
    platform.warn(
      `${this.constructor.name}: it calls a ${called.constructor.name} that it does not hold where parameters are looked for, so that ` +
        'parameters(), stateDict() and eval() leave it out. Properties, arrays, Maps and plain objects are; fields written #field are not',
    );
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

tellNames(Module.prototype, {
  zero_grad: 'a gradient ends with its step(); outside of steps optimizer.zeroGradients()',
  named_parameters: 'model.namedParameters()',
  state_dict: 'await model.stateDict()',
  load_state_dict: 'model.loadStateDict(…)',
  requires_grad_: 'parameter.freeze() of each of model.parameters()',
});

/** @throws ArgumentError where something else has the path: one of the two would be neither trained nor saved. */
function put<T extends object>(found: Map<string, T>, path: string, value: T): void {
  if (!found.has(path)) found.set(path, value);
  else
    throw new ArgumentError(
      `${value.constructor.name}: two of one model have the path '${path}' (allowed: keys of Maps and properties that differ as texts)`,
    );
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
