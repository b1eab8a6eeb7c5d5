/** A sum that somebody watches, with what must be kept for it. */
import { copyInto } from '../tensor/copy.ts';
import { tensor, zeros } from '../tensor/create.ts';
import { ArgumentError, ShapeError } from '../tensor/errors.ts';
import { scope } from '../tensor/scope.ts';
import { copy, type Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './parameter.ts';
import type { ParameterSum } from './parameter-sum.ts';
import { type Saved, savedArray, savedNumber, savedObject } from './saved.ts';

/** y of a formula: the gradient or the weights before, and the step they are of; 0 before the first. */
interface Companion {
  tensor: Tensor;
  step: number;
}

/**
 * Owns what one sum needs: gradients in halves while a measurement is asked for, and for as long as it lives the gradient
 * or the weights before. Made by `optimizer.watch`; whoever made it releases it.
 */
export class SumWatch {
  readonly sum: ParameterSum;
  readonly parameters: ReadonlySet<Parameter>;
  readonly #onRelease: (watch: SumWatch) => void;
  readonly #companions = new Map<Parameter, Companion>();
  #endHalves: (() => void)[] = [];
  #isRequested = false;
  #isReleased = false;

  constructor(sum: ParameterSum, parameters: readonly Parameter[], onRelease: (watch: SumWatch) => void) {
    this.sum = sum;
    this.parameters = new Set(parameters);
    this.#onRelease = onRelease;
    for (const parameter of parameters) this.follow(parameter);
  }

  get isRequested(): boolean {
    return this.#isRequested;
  }

  /** Has the next step of the optimizer measure the sum. To be called before the forward pass, which may compute halves then. */
  measureNext(): void {
    if (this.#isReleased) throw new ArgumentError(`watch: the watch of ${this.sum.name} was released`);
    if (this.#isRequested) return;
    this.#isRequested = true;
    if (this.sum.over !== 'halves') return;
    this.#endHalves = [...this.parameters].map((parameter) => parameter.leaf.requestHalves());
  }

  /** Takes the request back; the optimizer does when its step is over. */
  endRequest(): void {
    this.#isRequested = false;
    for (const end of this.#endHalves) end();
    this.#endHalves = [];
  }

  companionOf(parameter: Parameter): Tensor | null {
    return this.#companions.get(parameter)?.tensor ?? null;
  }

  /**
   * What the pass over the gradient of step `step` has to do for this watch; null where that is nothing. Only the gradients of
   * neighbouring steps can be compared: after a gap nothing is measured, and the gradient is stored anew.
   */
  planOver(
    parameter: Parameter,
    step: number,
    inHalves: boolean,
  ): { isMeasured: boolean; companion: Tensor | null; storesCompanion: boolean } | null {
    if (this.sum.over !== 'gradient-before') {
      const isMeasured = this.#isRequested && (this.sum.over === 'gradient' || inHalves);
      return isMeasured ? { isMeasured, companion: null, storesCompanion: false } : null;
    }
    const companion = this.#companions.get(parameter);
    if (!companion) return null;
    const follows = companion.step === 0 || companion.step === step - 1;
    return { isMeasured: this.#isRequested && follows, companion: companion.tensor, storesCompanion: true };
  }

  /** To be called by whoever wrote the gradient of step `step` to the companion. */
  stored(parameter: Parameter, step: number): void {
    const companion = this.#companions.get(parameter);
    if (companion) companion.step = step;
  }

  /** Keeps what the sum needs of a parameter that trains, and gives it back where that is frozen. */
  follow(parameter: Parameter): void {
    const { over } = this.sum;
    if (!this.parameters.has(parameter) || over === 'gradient' || over === 'halves') return;
    this.#companions.get(parameter)?.tensor.release(`${parameter.name} was frozen, or thawed`);
    this.#companions.delete(parameter);
    if (parameter.isFrozen) return;
    const kept =
      over === 'weights-before'
        ? copy(parameter)
        : zeros(parameter.shape, { device: parameter.device, dtype: parameter.dtype });
    kept.persist();
    this.#companions.set(parameter, { tensor: kept, step: 0 });
  }

  /** What is kept, by the names of the parameters: the part of a checkpoint that belongs to whoever watches. */
  async state(): Promise<Saved> {
    const state: [string, Saved][] = [];
    for (const [parameter, { tensor, step }] of this.#companions) {
      state.push([parameter.name, { step, data: await tensor.data() }]);
    }
    return Object.fromEntries(state);
  }

  /**
   * Goes on from a state, for parameters that still train.
   *
   * @throws ArgumentError for names that are not watched, ShapeError for arrays that do not fit; nothing is changed then.
   */
  restore(state: Saved): void {
    const what = `the watch of ${this.sum.name}`;
    const named = new Map([...this.parameters].map((parameter) => [parameter.name, parameter]));
    const found = Object.entries(savedObject(what, state)).map(([name, saved]) => {
      const kept = savedObject(what, saved);
      const [step, data] = [savedNumber(what, kept.step), savedArray(what, kept.data)];
      const parameter = named.get(name);
      if (!parameter) throw new ArgumentError(`restore: ${name} is not watched for ${this.sum.name}`);
      if (data.length !== parameter.size) {
        throw new ShapeError(`restore: ${name} holds ${parameter.size} values, the state ${data.length}`);
      }
      return { companion: this.#companions.get(parameter), step, data };
    });
    for (const { companion, step, data } of found) {
      if (!companion) continue;
      const { device, dtype, shape, strides } = companion.tensor;
      scope('restore', () => copyInto(tensor(data, { device, dtype, shape }), companion.tensor, strides));
      companion.step = step;
    }
  }

  /** Gives everything back; nothing is measured for this watch any more. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.endRequest();
    for (const { tensor } of this.#companions.values()) tensor.release(`${this.sum.name} is not watched any more`);
    this.#companions.clear();
    this.#onRelease(this);
  }
}
