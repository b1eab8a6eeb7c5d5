import type { Optimizer } from '../../nn/optimizer.ts';
import type { StepReport } from '../../nn/step-report.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import type { Random } from '../../tensor/random.ts';
import { Policy } from '../policy.ts';
import { RunningAverage } from '../quantity.ts';
import {
  freezeLeftovers,
  isFrozen,
  type ParameterRegistry,
  projectionKinds,
  type RegistryEntry,
  type Selector,
} from '../registry.ts';
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

/**
 * The control that looks at nothing but the training loss: when its average has stopped falling for a while, the next
 * matrix in a random order freezes, and the wait begins anew. Like GradES it reads once a step, and acts one step later.
 */
export class LossPlateau extends Policy {
  readonly #registry: ParameterRegistry;
  readonly #optimizer: Optimizer;
  readonly #settings: Required<Omit<LossPlateauOptions, 'random' | 'watch'>>;
  readonly #watched: readonly RegistryEntry[];
  readonly #order: readonly RegistryEntry[];
  readonly #average: RunningAverage;
  #best = Number.POSITIVE_INFINITY;
  #bestStep = 0;
  #pending: { step: number; report: Promise<StepReport> } | null = null;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, { random, watch, ...options }: LossPlateauOptions) {
    super();
    const defaults = { grace: 0.15, horizon: 0.08, patience: 0.02, margin: 0, freezeLeftovers: false };
    const settings = { ...defaults, ...options };
    for (const name of ['grace', 'horizon', 'patience', 'margin'] as const) {
      if (settings[name] >= 0 && settings[name] <= 1) continue;
      throw new ArgumentError(`LossPlateau: ${name} ${settings[name]} is out of range (allowed: 0 … 1)`);
    }
    if (!Number.isInteger(settings.steps) || settings.steps < 1) {
      throw new ArgumentError(`LossPlateau: steps ${settings.steps} must be a whole number of at least 1`);
    }
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

  override async afterStep(step: number): Promise<void> {
    const earlier = this.#pending;
    this.#pending = { step, report: this.#optimizer.report() };
    // A failure is thrown where the report is awaited.
    this.#pending.report.catch(() => {});
    if (earlier) this.#decide(earlier.step, (await earlier.report).loss, step);
  }

  override async end(): Promise<void> {
    await this.#pending?.report;
    this.#pending = null;
  }

  #decide(measured: number, loss: number, now: number): void {
    const { steps, grace, patience, margin } = this.#settings;
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
