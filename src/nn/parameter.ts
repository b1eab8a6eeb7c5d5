/** A tensor that training changes, and that can be frozen. */
import { dropGradient } from '../autograd/leaf-gradient.ts';
import { LeafNode } from '../autograd/node.ts';
import { checkTensors } from '../autograd/record.ts';
import { ArgumentError, DTypeError } from '../tensor/errors.ts';
import { copy, Tensor } from '../tensor/tensor.ts';

/** What a parameter is for. The first seven are the projection matrices that GradES watches. */
export const parameterKinds = [
  'query',
  'key',
  'value',
  'output',
  'gate',
  'up',
  'down',
  'weight',
  'bias',
  'norm',
  'embedding',
  'head',
] as const;
export type ParameterKind = (typeof parameterKinds)[number];

export type FreezeListener = (parameter: Parameter) => void;

/**
 * A tensor that training changes. It outlives every step. Frozen, it is a constant to every operation: its gradient is
 * not computed, nothing is saved for it, and whoever keeps state for it (an optimizer) lets that go. One that is stored in bf16 is
 * frozen from the beginning, and becomes f32 when it is thawed.
 */
export class Parameter extends Tensor {
  readonly kind: ParameterKind;
  /** Its path in the module that holds it, once that module has listed its parameters. */
  name: string;
  /** Parameters of one group are watched and frozen together, under this name; null where it stands for itself. */
  group: string | null = null;
  readonly leaf: LeafNode;
  /** What it was before a change that can be taken back, such as a merged adapter's: a state dictionary holds this. Null: no change. */
  original: Tensor | null = null;
  readonly #listeners = new Set<FreezeListener>();
  #isFrozen = false;

  /**
   * Takes over the values of `initial`, which is released.
   *
   * @throws ArgumentError for an unknown kind, or what is a parameter already; DTypeError for integers, which have no gradient, and f16, too coarse to
   * be trained.
   */
  constructor(initial: Tensor, kind: ParameterKind) {
    if (!parameterKinds.includes(kind)) {
      throw new ArgumentError(`Parameter: there is no kind ${kind} (allowed: ${parameterKinds.join(', ')})`);
    }
    checkTensors('Parameter', [initial]);
    if (initial instanceof Parameter) {
      throw new ArgumentError(`Parameter: ${initial.name} is one already; hold it in both modules to share it`);
    }
    if (initial.dtype === 'i32' || initial.dtype === 'f16') {
      // An update is a thousandth of a weight and less: rounded to 11 bits it would often not arrive.
      throw new DTypeError(
        `Parameter: ${kind} has dtype ${initial.dtype} (allowed: f32, f64; values between layers may be f16)`,
      );
    }
    const ownsAll = initial.storage.references === 1 && initial.storage.buffer.byteLength === initial.byteLength;
    const own = initial.isContiguous && ownsAll ? initial : copy(initial);
    super(own.storage, own.dtype, own, kind, null);
    own.release('a parameter took it over');
    initial.release('a parameter took it over');
    this.storage.outlivesSteps = true;
    this.kind = kind;
    this.name = kind;
    this.leaf = new LeafNode(this, kind);
    this.node = this.leaf;
    if (this.dtype === 'bf16') this.freeze();
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** Takes a path as its name, unless it has a longer one: a part of a model lists its parameters by shorter paths. */
  rename(path: string): void {
    if (this.name !== this.kind && path.length < this.name.length) return;
    this.name = path;
    this.leaf.name = path;
  }

  /**
   * Takes the parameter out of the backward graph, with its gradient and every state kept for it. The next forward pass
   * builds a smaller graph; a backward pass over a graph recorded before computes no gradient for it either.
   */
  freeze(): void {
    if (this.#isFrozen) return;
    this.#isFrozen = true;
    this.leaf.live = false;
    this.node = undefined;
    this.releaseGradient(`${this.name} was frozen`);
    for (const listener of this.#listeners) listener(this);
  }

  /**
   * Brings a frozen parameter back. Optimizers start its state anew, as for a parameter never seen before. What was stored in bf16 is
   * widened, exactly, and takes twice the memory from then on.
   */
  thaw(): void {
    if (!this.#isFrozen) return;
    if (this.dtype === 'bf16') this.replace(copy(this, 'thaw', 'f32'));
    this.#isFrozen = false;
    this.leaf.live = true;
    this.node = this.leaf;
    for (const listener of this.#listeners) listener(this);
  }

  /** Holds the values of `values`, a dense tensor of its shape, from now on, stored as they are there, or in f32 where that is bf16 and it trains. `values` is released. */
  replace(values: Tensor): void {
    const own = values.dtype === 'bf16' && !this.#isFrozen ? copy(values, 'thaw', 'f32') : values;
    this.hold(own);
    this.storage.outlivesSteps = true;
    for (const each of new Set([own, values])) each.release('a parameter took it over');
  }

  /** Calls `listener` after every freeze and thaw, until the function it returns is called. */
  onFreezeChange(listener: FreezeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  releaseGradient(reason: string): void {
    dropGradient(this.leaf, reason);
  }
}
