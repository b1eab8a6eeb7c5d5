/** An average over the recent past, for signals that are noisy. */
import { type Saved, savedList, savedNumber, savedNumberOrNull } from '../../nn/saved.ts';
import { ArgumentError } from '../../tensor/errors.ts';

/** An exponential average with weights that fall by 1/e a horizon, whatever the distance between samples. */
export class RunningAverage {
  readonly #horizon: number;
  #first: number | null = null;
  #last = 0;
  #sum = 0;
  #weight = 0;

  /** @param horizon in steps; 0 averages nothing. @throws ArgumentError for another than a number of at least 0. */
  constructor(horizon: number) {
    if (!(horizon >= 0))
      throw new ArgumentError(`RunningAverage: horizon is ${horizon} (allowed: numbers of at least 0)`);
    this.#horizon = horizon;
  }

  /** The average; null during the first horizon. A value that is not finite is left out, and answered with null. */
  observe(step: number, value: number): number | null {
    if (!Number.isFinite(value)) return null;
    const start = this.#first ?? step;
    this.#first = start;
    const decay = this.#weight === 0 ? 0 : Math.exp(-(step - this.#last) / this.#horizon);
    this.#sum = this.#sum * decay + value;
    this.#weight = this.#weight * decay + 1;
    this.#last = step;
    return step - start < this.#horizon ? null : this.#sum / this.#weight;
  }

  state(): Saved {
    return [this.#first, this.#last, this.#sum, this.#weight];
  }

  restore(state: Saved): void {
    const [first, last, sum, weight] = savedList('running average', state);
    this.#first = savedNumberOrNull('running average', first);
    this.#last = savedNumber('running average', last);
    this.#sum = savedNumber('running average', sum);
    this.#weight = savedNumber('running average', weight);
  }
}
