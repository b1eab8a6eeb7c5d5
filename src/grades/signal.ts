import type { GradientSums } from '../nn/step-report.ts';

/** Follows one matrix: takes the sums of its gradient at every check, and answers with one number. */
export interface Signal {
  /** The value after this check, or null while it is not known yet. */
  observe(step: number, sums: GradientSums): number | null;
}

/** Which quantity is watched. */
export type SignalKind = 'split-half' | 'magnitude' | 'relative-magnitude';

/**
 * @param horizon steps over which the relative signals average; the peak counts from one horizon after the first sample.
 */
export function makeSignal(kind: SignalKind, horizon: number): Signal {
  if (kind === 'magnitude') return new Magnitude();
  return kind === 'relative-magnitude' ? new RelativeMagnitude(horizon) : new SplitHalf(horizon);
}

/**
 * The paper's letter: ‖∇W‖₁ = Σ |g|, summed over the elements and divided by nothing (arXiv 2509.01842 v1, and Eq. 3 of
 * v3). Its threshold depends on the size of the matrix, the loss and the batch.
 */
class Magnitude implements Signal {
  observe(_step: number, { absolute }: GradientSums): number {
    return absolute;
  }
}

/** The same, averaged over the horizon and divided by the largest average so far: 1 at its height, whatever the size. */
class RelativeMagnitude implements Signal {
  readonly #average: RunningAverage;

  constructor(horizon: number) {
    this.#average = new RunningAverage(horizon);
  }

  observe(step: number, { absolute }: GradientSums): number | null {
    return this.#average.observe(step, absolute);
  }
}

/**
 * ρ = √( max(0, a) / max over time of a ),  a the running average of ⟨gA, gB⟩, where gA and gB are the gradients of the
 * two halves of one batch at the same weights.
 *
 * The noise of the two halves is independent, so ⟨gA, gB⟩ is an unbiased estimate of the squared norm of the expected
 * gradient: ρ is the gradient's magnitude with the mini-batch noise taken out, relative to its own peak. It is 1 at the
 * peak and 0 when only noise is left, for a matrix of any size, so that one threshold serves all.
 */
class SplitHalf implements Signal {
  readonly #average: RunningAverage;

  constructor(horizon: number) {
    this.#average = new RunningAverage(horizon);
  }

  observe(step: number, { halvesProduct }: GradientSums): number | null {
    if (halvesProduct === null) return null;
    const share = this.#average.observe(step, halvesProduct);
    return share === null ? null : Math.sqrt(Math.max(0, share));
  }
}

/**
 * An exponential average with weights that fall by 1/e a horizon, whatever the distance between samples, and the ratio
 * of it to its own largest value.
 */
export class RunningAverage {
  readonly #horizon: number;
  #first: number | null = null;
  #last = 0;
  #sum = 0;
  #weight = 0;
  #peak = Number.NEGATIVE_INFINITY;

  constructor(horizon: number) {
    this.#horizon = horizon;
  }

  /**
   * The average over its peak; null during the first horizon, when the peak does not count yet. A value that is not
   * finite is left out.
   */
  observe(step: number, value: number): number | null {
    if (!Number.isFinite(value)) return null;
    const start = this.#first ?? step;
    this.#first = start;
    const decay = this.#weight === 0 ? 0 : Math.exp(-(step - this.#last) / this.#horizon);
    this.#sum = this.#sum * decay + value;
    this.#weight = this.#weight * decay + 1;
    this.#last = step;
    if (step - start < this.#horizon) return null;
    const average = this.#sum / this.#weight;
    this.#peak = Math.max(this.#peak, average);
    // A peak that is not positive is noise from the start: there is no signal to be a share of.
    return this.#peak > 0 ? average / this.#peak : 0;
  }
}
