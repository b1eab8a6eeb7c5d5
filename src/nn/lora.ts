/** Low-rank adapters (LoRA): adding, merging and taking them apart again. */
import { cast } from '../autograd/operations/cast.ts';
import { matmul } from '../autograd/operations/matmul/matmul.ts';
import { add, mul } from '../autograd/operations/pointwise/pointwise.ts';
import { noGrad } from '../autograd/record.ts';
import { normal, zeros } from '../tensor/create.ts';
import { computeDType } from '../tensor/dtype.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import type { Random } from '../tensor/random.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Dropout } from './dropout.ts';
import { Linear } from './linear.ts';
import { Module } from './module.ts';
import { Parameter, type ParameterKind } from './parameter.ts';

export interface LoRAOptions {
  /** r: inner extent of A and B. */
  rank: number;
  /** What the adapter's output is multiplied with is alpha / rank. */
  alpha?: number;
  /** alpha / √rank instead, which keeps the size of the change alike for every rank (Kalajdzievski, arXiv 2312.03732). */
  rankStabilized?: boolean;
  /** Share of the adapter's input that is dropped while training. */
  dropout?: number;
  /** Source of A's initial values and of the dropout masks. */
  random: Random;
}

/**
 * A low-rank change of one Linear (Hu et al., arXiv 2106.09685): x → scale · (dropout(x) · A) · B, with scale alpha / rank, A
 * (inputs, rank) normal with deviation 1/√inputs and B (rank, outputs) at 0, so that it begins by changing nothing.
 */
export class LoRAAdapter extends Module {
  readonly a: Parameter;
  readonly b: Parameter;
  readonly rank: number;
  readonly alpha: number;
  readonly rankStabilized: boolean;
  readonly scale: number;
  readonly dropout: Dropout;

  /**
   * @param a of another adapter of the same input, which this one shares; by default it gets one of its own.
   * @throws ArgumentError for a rank that is no whole number from 1 to the smaller extent of W, or a bad alpha.
   */
  constructor(weight: Parameter, options: LoRAOptions, a: Parameter | null = null) {
    super();
    checkOptions('LoRAAdapter', options, ['rank', 'alpha', 'rankStabilized', 'dropout', 'random']);
    const { rank, alpha = rank, rankStabilized = false, dropout = 0, random } = options;
    const [inputs, outputs] = weight.shape;
    const largest = Math.min(inputs, outputs);
    if (!Number.isInteger(rank) || rank < 1 || rank > largest) {
      throw new ArgumentError(`LoRA: rank ${rank} for a matrix of ${inputs} × ${outputs} (allowed: 1 … ${largest})`);
    }
    if (!(alpha > 0 && alpha < Number.POSITIVE_INFINITY)) {
      throw new ArgumentError(`LoRA: alpha ${alpha} is out of range (allowed: above 0)`);
    }
    const { device, kind } = weight;
    const dtype = computeDType(weight.dtype);
    this.a =
      a ?? new Parameter(normal([inputs, rank], { device, dtype, random, deviation: 1 / Math.sqrt(inputs) }), kind);
    this.b = new Parameter(zeros([rank, outputs], { device, dtype }), kind);
    this.rank = rank;
    this.alpha = alpha;
    this.rankStabilized = rankStabilized;
    this.scale = alpha / (rankStabilized ? Math.sqrt(rank) : rank);
    this.dropout = new Dropout(dropout, random);
  }

  override constants(): Record<string, number> {
    return { [this.rankStabilized ? 'rankStabilizedAlpha' : 'alpha']: this.alpha };
  }

  forward(x: Tensor): Tensor {
    return this.#scaled(matmul(matmul(this.dropout.call(x), this.a), this.b));
  }

  factors(x: Tensor): readonly [Tensor, Tensor] {
    return [this.#scaled(matmul(this.dropout.call(x), this.a)), this.b];
  }

  /** scale · A · B, of the shape of W. */
  change(): Tensor {
    return this.#scaled(matmul(this.a, this.b));
  }

  #scaled(x: Tensor): Tensor {
    return this.scale === 1 ? x : mul(x, this.scale);
  }
}

/** Which parameters: by kind, by a pattern on the path, or by any function of both. */
export type ParameterSelector = readonly ParameterKind[] | RegExp | ((path: string, parameter: Parameter) => boolean);

export interface AddLoRAOptions extends LoRAOptions {
  /** Weights of Linears that get an adapter; by default the seven projection matrices of every block. */
  target?: ParameterSelector;
  /** What else trains, such as a fresh head; what of it was frozen is thawed. Everything but that and the adapters is frozen. */
  alsoTrain?: ParameterSelector;
}

const projections: readonly ParameterKind[] = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'];

/**
 * Gives every targeted Linear of the model an adapter, and freezes the rest. The base keeps its paths, so its checkpoints
 * load as before; A and B are `….adapter.a` and `….adapter.b`, and one group, which a registry watches and freezes together.
 *
 * @throws ArgumentError where `target` or `alsoTrain` matches nothing, or a target has an adapter already; nothing is
 * changed then. The adapters take the mode of their Linear, training or evaluation.
 */
export function addLoRA(model: Module<never, unknown>, options: AddLoRAOptions): void {
  checkOptions('addLoRA', options, ['rank', 'alpha', 'rankStabilized', 'dropout', 'random', 'target', 'alsoTrain']);
  const { target = projections, alsoTrain, ...ofAdapter } = options;
  const linears = linearsOf(model);
  const targets = linears.filter(([path, linear]) => matches(target, `${path}.weight`, linear.weight));
  if (targets.length === 0) {
    const there = linears.map(([path]) => `${path}.weight`).join(', ') || 'no Linear';
    throw new ArgumentError(`addLoRA: target matches none of the weights of Linears; there are ${there}`);
  }
  const taken = targets.find(([, linear]) => linear.adapter);
  if (taken) throw new ArgumentError(`addLoRA: ${taken[0]} has an adapter already`);
  const base = model.namedParameters();
  const trained = [...base].filter(([path, parameter]) => alsoTrain && matches(alsoTrain, path, parameter));
  if (alsoTrain && trained.length === 0) {
    throw new ArgumentError(
      `addLoRA: alsoTrain matches none of the parameters; there are ${[...base.keys()].join(', ')}`,
    );
  }
  const adapters = targets.map(([, { weight }]) => new LoRAAdapter(weight, ofAdapter));
  targets.forEach(([path, linear], i) => {
    attachAdapter(linear, adapters[i], path);
  });
  const keeps = new Set(trained.map(([, parameter]) => parameter));
  for (const parameter of base.values()) {
    if (keeps.has(parameter)) parameter.thaw();
    else parameter.freeze();
  }
  // The new parameters get their names.
  model.namedParameters();
}

/** Gives a Linear an adapter, whose A and B are watched and frozen together under the name of the group. */
export function attachAdapter(linear: Linear, adapter: LoRAAdapter, group: string): void {
  linear.adapter = linear.training ? adapter : adapter.eval();
  for (const parameter of adapter.parameters()) parameter.group = group;
}

/**
 * Adds every adapter's change to its weight: the model then computes with W alone, at the cost of the base. The weight as
 * it was is kept: `unmergeLoRA` brings it back bit for bit, and a state dictionary holds it, with the adapters beside it. A weight
 * that is stored in bf16 is f32 while merged, so that nothing is rounded. While merged, adapters get no gradient.
 */
export function mergeLoRA(model: Module<never, unknown>): void {
  for (const [, linear] of linearsOf(model)) {
    const { adapter, weight } = linear;
    if (!adapter || linear.isMerged) continue;
    noGrad(() =>
      scope('mergeLoRA', () => {
        const change = adapter.change();
        const merged = add(weight.dtype === 'bf16' ? cast(weight, 'f32') : weight, change);
        weight.original = weight.view({ shape: weight.shape }, 'merge', null);
        weight.replace(merged);
      }),
    );
  }
}

/** Takes the changes out again. */
export function unmergeLoRA(model: Module<never, unknown>): void {
  for (const [, { weight }] of linearsOf(model)) {
    const { original } = weight;
    if (!original) continue;
    weight.replace(original);
    weight.original = null;
  }
}

function linearsOf(model: Module<never, unknown>): [string, Linear][] {
  return [...model.namedModules()].flatMap(([path, module]): [string, Linear][] =>
    module instanceof Linear ? [[path, module]] : [],
  );
}

function matches(selector: ParameterSelector, path: string, parameter: Parameter): boolean {
  if (selector instanceof RegExp) return new RegExp(selector.source, selector.flags.replace(/[gy]/g, '')).test(path);
  return typeof selector === 'function' ? selector(path, parameter) : selector.includes(parameter.kind);
}
