/** The control that looks at nothing but the training loss. */
import type { Optimizer } from '../../nn/optimizer.ts';
import { type Saved, savedNumber, savedObject } from '../../nn/saved.ts';
import type { StepReport } from '../../nn/step-report.ts';
import { checkRandom } from '../../tensor/create.ts';
import type { Random } from '../../tensor/random.ts';
import type { Policy } from '../policy.ts';
import {
  freezeLeftovers,
  isFrozen,
  type ParameterRegistry,
  projectionKinds,
  type RegistryEntry,
  type Selector,
} from '../registry.ts';
import { RunningAverage } from '../signals/running-average.ts';
import { checkSettings, given, isFlag, isShare, isWholeNumber, withoutGradient } from '../watching.ts';
import { shuffled } from './freeze-list.ts';

/** Shares are parts of the schedule. */
export interface LossPlateauOptions {
  /** Length of the schedule in steps. */
  steps: number;
  /** Draws the order in which matrices freeze. */
  random: Random;
  /** Share before which nothing freezes. */
  grace?: number;
  /** Share over which the training loss is averaged. */
  horizon?: number;
  /** Share during which the average must not have improved. */
  patience?: number;
  /** What counts as an improvement: a loss below the best by this share of it. */
  margin?: number;
  watch?: Selector;
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. */
  freezeLeftovers?: boolean;
}

/** What a step came to. */
type Measured = Pick<StepReport, 'loss' | 'gradientNorm'>;

/**
 * The control that looks at nothing but the training loss: when its average has stopped falling for a while, the next
 * matrix in a random order freezes, and the wait begins anew. Like GradES it reads once a step, and acts one step later. A run whose
 * gradients were all exactly 0 ends with an error.
 */
export class LossPlateau implements Policy {
  readonly #registry: ParameterRegistry;
  readonly #optimizer: Optimizer;
  readonly #settings: Required<Omit<LossPlateauOptions, 'random' | 'watch'>>;
  readonly #watched: readonly RegistryEntry[];
  readonly #order: readonly RegistryEntry[];
  readonly #average: RunningAverage;
  #best = Number.POSITIVE_INFINITY;
  #bestStep = 0;
  #pending: { step: number; measured: Promise<Measured> } | null = null;
  /** Whether a gradient was ever other than 0. A loss without one stands still for another reason. */
  #hasGradient = false;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: LossPlateauOptions) {
    const defaults = { grace: 0.15, horizon: 0.08, patience: 0.02, margin: 0, freezeLeftovers: false };
    const shares = { grace: isShare, horizon: isShare, patience: isShare, margin: isShare };
    const allowed = { ...shares, steps: isWholeNumber, freezeLeftovers: isFlag };
    const { random, watch, ...others } = given('LossPlateau', options, [...Object.keys(allowed), 'random', 'watch']);
    checkRandom('LossPlateau', random);
    const settings = { ...defaults, ...others };
    checkSettings('LossPlateau', settings, allowed);
    this.#registry = registry;
    this.#optimizer = optimizer;
    this.#settings = settings;
    this.#watched = registry.active(registry.select(watch ?? projectionKinds));
    this.#order = shuffled(this.#watched, random);
    this.#average = new RunningAverage(settings.horizon * settings.steps);
  }

  get finished(): boolean {
    return this.#watched.every(isFrozen);
  }

  async afterStep(step: number): Promise<void> {
    const earlier = this.#pending;
    const measured = this.#optimizer.report().then(({ loss, gradientNorm }) => ({ loss, gradientNorm }));
    this.#pending = { step, measured };
    // A failure is thrown where the loss is awaited.
    measured.catch(() => {});
    if (earlier) this.#decide(earlier.step, await earlier.measured, step);
  }

  async end(): Promise<void> {
    await this.#pending?.measured;
    this.#pending = null;
  }

  async state(): Promise<Saved> {
    const pending = this.#pending && { step: this.#pending.step, ...(await this.#pending.measured) };
    const [best, bestStep, hasGradient] = [this.#best, this.#bestStep, this.#hasGradient];
    return { pending, average: this.#average.state(), best, bestStep, hasGradient };
  }

  restore(state: Saved): void {
    const { pending, average, best, bestStep, hasGradient } = savedObject('LossPlateau', state);
    this.#average.restore(average);
    this.#best = savedNumber('LossPlateau', best);
    this.#bestStep = savedNumber('LossPlateau', bestStep);
    this.#hasGradient = hasGradient === true;
    this.#pending = null;
    if (pending === null) return;
    const { step, ...saved } = savedObject('LossPlateau', pending);
    const [loss, gradientNorm] = [saved.loss, saved.gradientNorm].map((each) => savedNumber('LossPlateau', each));
    this.#pending = { step: savedNumber('LossPlateau', step), measured: Promise.resolve({ loss, gradientNorm }) };
  }

  #decide(measured: number, { loss, gradientNorm }: Measured, now: number): void {
    const { steps, grace, patience, margin } = this.#settings;
    this.#hasGradient ||= gradientNorm !== 0;
    if (!this.#hasGradient && measured > grace * steps) throw withoutGradient('LossPlateau', 'gradient', measured);
    const average = this.#average.observe(measured, loss);
    if (average === null) return;
    if (average < this.#best * (1 - margin)) {
      this.#best = average;
      this.#bestStep = measured;
    } else if (measured > grace * steps && measured - this.#bestStep >= patience * steps) {
      const next = this.#order.find((entry) => !isFrozen(entry));
      if (next) this.#registry.freeze(next, { step: now, reason: 'the training loss stands still' });
      // The wait begins anew, from the loss as it is now.
      this.#best = average;
      this.#bestStep = measured;
    }
    if (this.#settings.freezeLeftovers) freezeLeftovers(this.#registry, this.#watched, now);
  }
}
