import type { GradientSums } from '../nn/step-report.ts';

/**
 * What is watched of a matrix W with gradient g. The paper's versions and its code differ; all are sums over elements,
 * and where several parameters make one matrix (A and B of an adapter) the sums add (arXiv 2509.01842 v3, Eq. 3 and 4).
 *
 * - `gradient`: Σ |g| = ‖∇W‖₁ (v1 and the abstract; v3 for adapters).
 * - `gradient-change`: Σ |g_t - g_{t-1}| = ‖∇W_t - ∇W_{t-1}‖₁ (v3, Eq. 1). Keeps a copy of each watched gradient.
 * - `weight-change`: Σ |w_t - w_{t-1}| = ‖W_t - W_{t-1}‖₁ (the released code). With AdamW it follows the learning rate
 *   more than the gradient.
 * - `split-half`: √⟨gA, gB⟩, with gA and gB the gradients of the two halves of one batch at the same weights. Their noise is
 *   independent, so ⟨gA, gB⟩ is an unbiased estimate of the squared norm of the expected gradient: a magnitude with the
 *   mini-batch noise taken out. It is averaged before the root is taken, and counts as 0 where the average is negative.
 */
export const quantities = ['split-half', 'gradient', 'gradient-change', 'weight-change'] as const;
export type Quantity = (typeof quantities)[number];

/**
 * What the quantity is measured in.
 *
 * - `sum`: as it stands. Its size goes with that of the matrix, of the loss and of the batch (the paper).
 * - `mean`: divided by the number n of elements; √(⟨gA, gB⟩ / n) for `split-half`.
 * - `rate`: divided by the learning rate of the step; what is left of a weight change is the direction of the optimizer.
 * - `peak`: divided by its own largest value so far, so that one threshold serves matrices of any size.
 */
export const scales = ['sum', 'mean', 'rate', 'peak'] as const;
export type Scale = (typeof scales)[number];

/** What the very first sample counts as. */
export type FirstSample =
  /** It is unknown: nothing follows from it. */
  | 'unknown'
  /** 0, so that it is below every threshold: what the released code does. */
  | 'converged'
  /** The gradient before the first is 0: Σ |g| (v3, Algorithm 1, ∇W₀ := 0). For `gradient-change`. */
  | 'from-zero';

export interface SignalOptions {
  quantity: Quantity;
  scale: Scale;
  /** Steps over which samples are averaged; 0 takes each as it comes. Nothing is known during the first horizon. */
  horizon: number;
  /** Elements of the matrix. */
  elements: number;
  firstSample?: FirstSample;
}

/** Follows one matrix: takes the sums of its gradient at every check, and answers with one number. */
export class Signal {
  readonly #options: SignalOptions;
  readonly #average: RunningAverage;
  #peak = Number.NEGATIVE_INFINITY;
  #samples = 0;

  constructor(options: SignalOptions) {
    this.#options = options;
    this.#average = new RunningAverage(options.horizon);
  }

  /**
   * @param sums of every parameter of the matrix.
   * @returns the value after this check, or null while it is not known.
   */
  observe(step: number, sums: readonly GradientSums[], learningRate: number): number | null {
    const { quantity, scale } = this.#options;
    const isFirst = this.#samples++ === 0;
    const { firstSample = 'unknown' } = this.#options;
    if (isFirst && firstSample === 'converged') return 0;
    const fromZero = isFirst && firstSample === 'from-zero' && quantity === 'gradient-change';
    const sample = add(sums, fromZero ? 'gradient' : quantity);
    if (sample === null) return null;
    const average = this.#average.observe(step, this.#scaled(sample, learningRate));
    if (average === null) return null;
    if (scale !== 'peak') return this.#isSquared ? Math.sqrt(Math.max(0, average)) : average;
    this.#peak = Math.max(this.#peak, average);
    // A peak that is not positive is noise from the start: there is no signal to be a share of.
    const share = this.#peak > 0 ? average / this.#peak : 0;
    return this.#isSquared ? Math.sqrt(Math.max(0, share)) : share;
  }

  /** A product of two gradients is of the second power until the root is taken. */
  get #isSquared(): boolean {
    return this.#options.quantity === 'split-half';
  }

  #scaled(sample: number, learningRate: number): number {
    const { scale, elements } = this.#options;
    if (scale === 'mean') return sample / elements;
    // A rate of 0 says nothing of what the change would have been: not finite, and so left out.
    if (scale === 'rate') return sample / (this.#isSquared ? learningRate ** 2 : learningRate);
    return sample;
  }
}

/** The quantity of one matrix, summed over its parameters; null where it is not known of one of them. */
function add(sums: readonly GradientSums[], quantity: Quantity): number | null {
  let total = 0;
  for (const each of sums) {
    const part = {
      'split-half': each.halvesProduct,
      gradient: each.absolute,
      'gradient-change': each.gradientChange,
      'weight-change': each.weightChange,
    }[quantity];
    if (part === null) return null;
    total += part;
  }
  return total;
}

/** An exponential average with weights that fall by 1/e a horizon, whatever the distance between samples. */
export class RunningAverage {
  readonly #horizon: number;
  #first: number | null = null;
  #last = 0;
  #sum = 0;
  #weight = 0;

  constructor(horizon: number) {
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
}
