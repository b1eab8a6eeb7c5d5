import type { Optimizer } from '../nn/optimizer.ts';
import type { StepReport } from '../nn/step-report.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { Policy } from './policy.ts';
import {
  freezeLeftovers,
  type ParameterRegistry,
  projectionKinds,
  type RegistryEntry,
  type Selector,
} from './registry.ts';
import { makeSignal, type Signal, type SignalKind } from './signal.ts';

/** Shares are parts of the schedule, so that one setting serves runs of any length. */
export interface GradESOptions {
  /** Length of the whole schedule in steps, T. */
  steps: number;
  /** What is watched; see `signal.ts` for the formulas. */
  signal?: SignalKind;
  /** A matrix may freeze while its signal is below this. Needed for `magnitude`, whose scale is a matter of the model. */
  threshold?: number;
  /** Share of T before which nothing freezes, α of the paper. */
  grace?: number;
  /** Share of T over which the relative signals average. */
  horizon?: number;
  /** Share of T during which the signal must stay below the threshold, at every check. */
  patience?: number;
  /** Share of T that passes between two freezes; the matrix with the lowest signal goes first. */
  spacing?: number;
  /**
   * Steps between checks. Every step, by default: the relative signals average noisy samples, and with fewer of them a
   * matrix freezes on a chance dip. A check costs one more pass over the gradients of the watched matrices.
   */
  interval?: number;
  /** First step at which the relative signals are sampled, such as the end of the warm-up. */
  sampleFrom?: number;
  /** What is watched: by default the seven projection matrices of every block. */
  watch?: Selector;
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. */
  freezeLeftovers?: boolean;
}

/** Defaults of the three signals. The paper's rule has no patience and no spacing: one low value is enough. */
const defaults = {
  'split-half': { threshold: 0.45, grace: 0.15, horizon: 0.08, patience: 0.02, spacing: 0.02 },
  'relative-magnitude': { threshold: 0.5, grace: 0.15, horizon: 0.08, patience: 0.02, spacing: 0.02 },
  magnitude: { threshold: undefined, grace: 0.5, horizon: 0, patience: 0, spacing: 0 },
} as const;

/** The signals of all watched matrices at one check. */
export interface Check {
  step: number;
  values: ReadonlyMap<string, number>;
}

interface Watched {
  entry: RegistryEntry;
  signal: Signal;
  /** Step of the first check of the present run of checks below the threshold. */
  belowSince: number | null;
}

/**
 * GradES (arXiv 2509.01842): watches the gradient of every projection matrix while training runs, after accumulation and
 * before clipping, and freezes each matrix whose signal has fallen below the threshold. Training is over when all are
 * frozen.
 *
 * The sums it needs are reduced on the device and read back once a check, without waiting: what step s measured takes
 * effect at the next check, exactly, so that the same seed gives the same run. A first sample is unknown, not zero; a
 * NaN or infinite gradient freezes nothing and ends the run with an error.
 *
 * The split-half signal halves the batch along the first axis of the activations, so that must count samples, and their
 * number must be even.
 */
export class GradES extends Policy {
  readonly registry: ParameterRegistry;
  readonly checks: Check[] = [];
  readonly threshold: number;
  readonly settings: Readonly<Required<Omit<GradESOptions, 'watch' | 'threshold'>>>;
  readonly #optimizer: Optimizer;
  readonly #watched: readonly Watched[];
  #pending: { step: number; report: Promise<StepReport> } | null = null;
  #lastFreeze = Number.NEGATIVE_INFINITY;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: GradESOptions) {
    super();
    const { signal = 'split-half', steps, watch = projectionKinds } = options;
    const base = defaults[signal];
    if (base === undefined) {
      throw new ArgumentError(`GradES: signal '${signal}' is unknown (allowed: ${Object.keys(defaults).join(', ')})`);
    }
    const threshold = options.threshold ?? base.threshold;
    if (threshold === undefined) {
      throw new ArgumentError('GradES: the signal `magnitude` has no threshold of its own: give one, tau of the paper');
    }
    const highest = signal === 'magnitude' ? Number.MAX_VALUE : 1;
    if (!(threshold > 0 && threshold <= highest)) {
      throw new ArgumentError(`GradES: threshold ${threshold} is out of range (allowed: above 0, at most ${highest})`);
    }
    wholeNumber('steps', steps, 1);
    const settings = {
      steps,
      signal,
      grace: options.grace ?? base.grace,
      horizon: options.horizon ?? base.horizon,
      patience: options.patience ?? base.patience,
      spacing: options.spacing ?? base.spacing,
      interval: options.interval ?? 1,
      sampleFrom: options.sampleFrom ?? 1,
      freezeLeftovers: options.freezeLeftovers ?? false,
    };
    for (const name of ['grace', 'horizon', 'patience', 'spacing'] as const) {
      if (settings[name] >= 0 && settings[name] <= 1) continue;
      throw new ArgumentError(
        `GradES: ${name} ${settings[name]} is out of range (allowed: a share of the schedule, 0 … 1)`,
      );
    }
    wholeNumber('interval', settings.interval, 1);
    wholeNumber('sampleFrom', settings.sampleFrom, 1);
    this.registry = registry;
    this.threshold = threshold;
    this.settings = settings;
    this.#optimizer = optimizer;
    this.#watched = registry.active(registry.select(watch)).map((entry) => ({
      entry,
      signal: makeSignal(signal, settings.horizon * steps),
      belowSince: null,
    }));
    if (settings.freezeLeftovers && this.#watched.every(({ entry }) => entry.block === null)) {
      throw new ArgumentError(
        'GradES: freezeLeftovers needs blocks, but no watched name holds `blocks.N.`: call the list of blocks `blocks`',
      );
    }
    const strangers = this.#watched.filter(({ entry }) => !optimizer.parameters.includes(entry.parameter));
    if (strangers.length > 0) {
      throw new ArgumentError(
        `GradES: the optimizer does not train ${strangers[0].entry.name}, so it cannot be watched`,
      );
    }
  }

  get watched(): readonly RegistryEntry[] {
    return this.#watched.map(({ entry }) => entry);
  }

  get frozenCount(): number {
    return this.#watched.filter(({ entry }) => entry.parameter.isFrozen).length;
  }

  get finished(): boolean {
    return this.frozenCount === this.#watched.length;
  }

  override beforeStep(step: number): void {
    const wantsHalves = this.settings.signal === 'split-half' && this.#isCheck(step);
    for (const { entry } of this.#watched) entry.parameter.leaf.splitHalves = wantsHalves;
  }

  override async afterStep(step: number): Promise<void> {
    if (!this.#isCheck(step)) return;
    const earlier = this.#pending;
    this.#pending = { step, report: this.#optimizer.report() };
    // A failure is thrown where the report is awaited, at the next check or at the end.
    this.#pending.report.catch(() => {});
    if (earlier) this.#decide(earlier.step, await earlier.report, step);
  }

  override async end(): Promise<void> {
    const pending = this.#pending;
    this.#pending = null;
    for (const { entry } of this.#watched) entry.parameter.leaf.splitHalves = false;
    await pending?.report;
    // Steps after the last check may have met a broken gradient as well.
    await this.#optimizer.report();
  }

  #isCheck(step: number): boolean {
    const { signal, steps, grace, interval, sampleFrom } = this.settings;
    // An absolute threshold needs no history: one check before the grace period ends is enough.
    const first = signal === 'magnitude' ? Math.max(1, Math.floor(grace * steps) - interval) : sampleFrom;
    return step >= first && (step - first) % interval === 0;
  }

  /** Takes the report of the check at step `measured` into account, after the update of step `now`. */
  #decide(measured: number, report: StepReport, now: number): void {
    const { grace, patience, spacing, steps } = this.settings;
    const values = new Map<string, number>();
    const ready: { entry: RegistryEntry; value: number }[] = [];
    for (const watched of this.#watched) {
      const { entry, signal } = watched;
      const sums = report.gradients.get(entry.parameter);
      if (this.settings.signal === 'split-half' && sums?.halvesProduct === null && !entry.parameter.isFrozen) {
        throw new ArgumentError(
          `GradES: the gradient of ${entry.name} came without its halves. Only a matrix W that is used as x · W alone has ` +
            'them, and only if beforeStep() was called; watch others by the signal relative-magnitude',
        );
      }
      const value = sums && !entry.parameter.isFrozen ? signal.observe(measured, sums) : null;
      if (value === null || !Number.isFinite(value)) {
        watched.belowSince = null;
        continue;
      }
      values.set(entry.name, value);
      watched.belowSince = value < this.threshold ? (watched.belowSince ?? measured) : null;
      const { belowSince } = watched;
      if (belowSince === null || measured <= grace * steps || measured - belowSince < patience * steps) continue;
      ready.push({ entry, value });
    }
    this.checks.push({ step: measured, values });
    ready.sort((a, b) => a.value - b.value);
    for (const { entry, value } of ready) {
      if (now - this.#lastFreeze < spacing * steps) break;
      if (spacing > 0) this.#lastFreeze = now;
      this.registry.freeze(entry, { step: now, value, threshold: this.threshold, reason: 'converged' });
    }
    if (this.settings.freezeLeftovers) freezeLeftovers(this.registry, this.watched, now);
  }
}

function wholeNumber(name: string, value: number, lowest: number): void {
  if (Number.isInteger(value) && value >= lowest) return;
  throw new ArgumentError(`GradES: ${name} ${value} must be a whole number of at least ${lowest}`);
}
