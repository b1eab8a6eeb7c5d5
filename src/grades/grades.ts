import type { Optimizer } from '../nn/optimizer.ts';
import type { GradientSums, StepReport } from '../nn/step-report.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { Policy } from './policy.ts';
import { type FirstSample, type Quantity, quantities, type Scale, Signal, scales } from './quantity.ts';
import {
  freezeLeftovers,
  isFrozen,
  type ParameterRegistry,
  projectionKinds,
  type RegistryEntry,
  type Selector,
} from './registry.ts';
import { calibrate, checkThreshold, isCalibrated, type Threshold, type ValueAt } from './threshold.ts';

/** Shares are parts of the schedule, so that one setting serves runs of any length. */
export interface GradESOptions {
  /** Length of the whole schedule in steps, T. */
  steps: number;
  /** What is watched of a matrix; see `quantity.ts` for the formulas and their sources. By default `split-half`. */
  quantity?: Quantity;
  /** What it is measured in. By default `peak`: the share of the matrix's own largest value. */
  scale?: Scale;
  /**
   * A matrix may freeze while its value is below this: τ of the paper. One number, one for each kind of matrix, or found
   * from a target when the grace period ends. Needed for every scale but `peak`, where 0.3 is the default for
   * `split-half` and 0.5 for the others.
   */
  threshold?: Threshold;
  /** Share of T before which nothing freezes, α of the paper. */
  grace?: number;
  /**
   * Where exactly the grace period ends: freezes may follow from checks of steps t > αT (`after`), t > ⌈αT⌉ (`after-ceiling`,
   * the paper's Algorithm 1) or t ≥ ⌊αT⌋ (`at-floor`, the released code).
   */
  graceEnd?: 'after' | 'after-ceiling' | 'at-floor';
  /** Share of T over which samples are averaged; 0 averages nothing. */
  horizon?: number;
  /** Share of T during which the value must stay below the threshold, at every check. 0: one low value is enough. */
  patience?: number;
  /** Share of T that passes between two freezes; the matrix that is lowest against its threshold goes first. */
  spacing?: number;
  /** Share of the watched matrices that may be frozen at a time. */
  maxFrozenShare?: number;
  /** Training is over when this share of the watched matrices is frozen (`max_frozen_ratio` of the released code). */
  stopShare?: number;
  /**
   * Steps between checks. Quantities, patience and spacing are in steps, so results do not depend on it but for when a
   * check falls; the averages of `split-half` get noisier with fewer samples, and a matrix then freezes on a chance dip. A
   * check costs a read-back, and more memory traffic for the gradients of the watched matrices. By default as many steps as
   * leave 192 samples to an average: every step up to 4,799 steps at the default horizon, every fourth at 10,000.
   */
  interval?: number;
  /** First step at which samples are taken where values need a history, such as the end of the warm-up. */
  sampleFrom?: number;
  /** What the first sample of a matrix counts as. */
  firstSample?: FirstSample;
  /**
   * Whether the check of step s takes effect after step s itself, as in the released code. That waits for the device at
   * every check; by default it takes effect at the next check, exactly.
   */
  waitForCheck?: boolean;
  /** What is watched: by default the seven projection matrices of every block. */
  watch?: Selector;
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. */
  freezeLeftovers?: boolean;
  /**
   * Brings a frozen matrix back when its value is above its threshold by `margin` (a share of it). It is probed every so
   * often (`every`, a share of T): its gradient is computed once, and nothing moves. For `gradient` and `split-half`. While
   * matrices may thaw, training is not over when all are frozen. A probe's value is averaged like every other, so
   * `every` should be well below the horizon. What froze as a leftover stays frozen.
   */
  thaw?: { every: number; margin: number } | null;
}

/** The values of all watched matrices at one check. */
export interface Check {
  step: number;
  values: ReadonlyMap<string, number>;
}

interface Watched {
  entry: RegistryEntry;
  signal: Signal;
  /** Step of the first check of the present run of checks below the threshold. */
  belowSince: number | null;
  /** Values of the second half of the grace period, from which a threshold is calibrated. */
  history: ValueAt[];
}

interface Measured {
  step: number;
  /** Whether frozen matrices were looked at. */
  isProbe: boolean;
  learningRate: number;
  report: Promise<StepReport>;
}

/**
 * GradES (arXiv 2509.01842): watches the gradient of every projection matrix while training runs, after accumulation and
 * before clipping, and freezes each matrix whose value has fallen below the threshold. Training is over when all are
 * frozen. The defaults are the rule we recommend; `presets.ts` has those of the paper and of its code.
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
  readonly settings: Readonly<Required<Omit<GradESOptions, 'watch'>>>;
  readonly #optimizer: Optimizer;
  readonly #watched: readonly Watched[];
  #calibrated: number | null = null;
  #pending: Measured | null = null;
  #lastFreeze = Number.NEGATIVE_INFINITY;
  #lastProbe = Number.NEGATIVE_INFINITY;
  #isWatchingChanges = false;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: GradESOptions) {
    super();
    const settings = withDefaults(options);
    checkSettings(settings);
    this.registry = registry;
    this.settings = settings;
    this.#optimizer = optimizer;
    const { quantity, scale, horizon, steps, firstSample } = settings;
    const watched = registry.active(registry.select(options.watch ?? projectionKinds));
    checkThreshold(settings.threshold, watched, scale === 'peak' ? 1 : Number.MAX_VALUE);
    this.#watched = watched.map((entry) => {
      const elements = entry.parameters.reduce((sum, { size }) => sum + size, 0);
      const signal = new Signal({ quantity, scale, elements, horizon: horizon * steps, firstSample });
      return { entry, signal, belowSince: null, history: [] };
    });
    if (settings.freezeLeftovers && watched.every(({ block }) => block === null)) {
      throw new ArgumentError(
        'GradES: freezeLeftovers needs blocks, but no watched name holds `blocks.N.`: call the list of blocks `blocks`',
      );
    }
    const stranger = watched.find(({ parameters }) => parameters.some((each) => !optimizer.parameters.includes(each)));
    if (stranger) {
      throw new ArgumentError(`GradES: the optimizer does not train ${stranger.name}, so it cannot be watched`);
    }
  }

  get watched(): readonly RegistryEntry[] {
    return this.#watched.map(({ entry }) => entry);
  }

  get frozenCount(): number {
    return this.#watched.filter(({ entry }) => isFrozen(entry)).length;
  }

  get finished(): boolean {
    return this.settings.thaw === null && this.frozenCount >= this.settings.stopShare * this.#watched.length;
  }

  /** The threshold of all matrices; null where each kind has its own, or the grace period has still to show it. */
  get threshold(): number | null {
    const { threshold } = this.settings;
    if (typeof threshold === 'number') return threshold;
    return isCalibrated(threshold) ? this.#calibrated : null;
  }

  /** The threshold of one watched matrix; null before it is calibrated. */
  thresholdOf({ kind }: RegistryEntry): number | null {
    const { threshold } = this.settings;
    if (typeof threshold === 'number') return threshold;
    return isCalibrated(threshold) ? this.#calibrated : (threshold[kind] ?? null);
  }

  override beforeStep(step: number): void {
    this.#watchChanges(step);
    if (!this.#isCheck(step)) return;
    const { thaw, steps, quantity } = this.settings;
    if (thaw && step - this.#lastProbe >= thaw.every * steps) {
      this.#lastProbe = step;
      for (const parameter of this.#parameters) parameter.probe();
    }
    // Another policy may want halves where this one does not, so they are only ever asked for here.
    if (quantity === 'split-half') for (const parameter of this.#parameters) parameter.leaf.splitHalves = true;
  }

  override async afterStep(step: number): Promise<void> {
    if (!this.#isCheck(step)) return;
    for (const parameter of this.#parameters) {
      parameter.endProbe();
      parameter.leaf.splitHalves = false;
    }
    const earlier = this.#pending;
    const { learningRate } = this.#optimizer;
    const isProbe = this.#lastProbe === step;
    const measured = { step, isProbe, learningRate, report: this.#optimizer.report() };
    if (this.settings.waitForCheck) {
      this.#decide(measured, await measured.report, step);
      return;
    }
    this.#pending = measured;
    // A failure is thrown where the report is awaited, at the next check or at the end.
    measured.report.catch(() => {});
    if (earlier) this.#decide(earlier, await earlier.report, step);
  }

  override async end(): Promise<void> {
    const pending = this.#pending;
    this.#pending = null;
    for (const parameter of this.#parameters) {
      parameter.endProbe();
      parameter.leaf.splitHalves = false;
    }
    const change = this.#watchedChange;
    if (change && this.#isWatchingChanges) this.#optimizer.unwatch(change, this.#parameters);
    this.#isWatchingChanges = false;
    await pending?.report;
    // Steps after the last check may have met a broken gradient as well.
    await this.#optimizer.report();
  }

  get #parameters() {
    return this.#watched.flatMap(({ entry }) => entry.parameters);
  }

  /** What the optimizer must sum for this quantity; null where the sums are there anyway. */
  get #watchedChange(): 'gradientChange' | 'weightChange' | null {
    const { quantity } = this.settings;
    if (quantity === 'gradient-change') return 'gradientChange';
    return quantity === 'weight-change' ? 'weightChange' : null;
  }

  /** Changes are summed from the step before the first check on, and copies kept no longer than that. */
  #watchChanges(step: number): void {
    const change = this.#watchedChange;
    if (!change || this.#isWatchingChanges || step < this.#firstCheck - 1) return;
    this.#isWatchingChanges = true;
    // Over an interval, the released code compares with the weights of the last check.
    const every = this.settings.firstSample === 'converged' ? this.settings.interval : 1;
    this.#optimizer.watch(change, this.#parameters, change === 'weightChange' ? { every } : {});
  }

  get #firstCheck(): number {
    const { scale, horizon, firstSample, threshold, steps, grace, interval, sampleFrom } = this.settings;
    const needsHistory = scale === 'peak' || horizon > 0 || firstSample !== 'unknown' || isCalibrated(threshold);
    // An absolute threshold needs no history: one check before the grace period ends is enough.
    return needsHistory ? sampleFrom : Math.max(1, Math.floor(grace * steps) - interval);
  }

  #isCheck(step: number): boolean {
    const first = this.#firstCheck;
    return step >= first && (step - first) % this.settings.interval === 0;
  }

  #graceIsOver(step: number): boolean {
    const { grace, graceEnd, steps } = this.settings;
    if (graceEnd === 'at-floor') return step >= Math.floor(grace * steps);
    return step > (graceEnd === 'after' ? grace * steps : Math.ceil(grace * steps));
  }

  /** Takes the report of a check into account, after the update of step `now`. */
  #decide({ step: measured, isProbe, learningRate }: Measured, report: StepReport, now: number): void {
    const { patience, steps } = this.settings;
    const values = new Map<string, number>();
    const ready: { entry: RegistryEntry; value: number; threshold: number }[] = [];
    for (const watched of this.#watched) {
      const { entry, signal } = watched;
      const sums = isFrozen(entry) && !isProbe ? null : this.#sumsOf(entry, report);
      const value = sums && signal.observe(measured, sums, learningRate);
      if (value === null || !Number.isFinite(value)) {
        // What is frozen and not probed has no value, and waits for none.
        watched.belowSince = null;
        continue;
      }
      values.set(entry.name, value);
      this.#remember(watched, measured, value);
      const threshold = this.#thresholdAt(entry, measured);
      watched.belowSince = threshold !== null && value < threshold ? (watched.belowSince ?? measured) : null;
      if (threshold === null) continue;
      if (isFrozen(entry)) {
        this.#thawAbove(watched, value, threshold, now);
        continue;
      }
      const { belowSince } = watched;
      if (belowSince === null || !this.#graceIsOver(measured) || measured - belowSince < patience * steps) continue;
      ready.push({ entry, value, threshold });
    }
    this.checks.push({ step: measured, values });
    this.#freeze(ready, now);
  }

  #freeze(ready: { entry: RegistryEntry; value: number; threshold: number }[], now: number): void {
    const { spacing, steps, maxFrozenShare } = this.settings;
    ready.sort((a, b) => a.value / a.threshold - b.value / b.threshold);
    const room = Math.floor(maxFrozenShare * this.#watched.length) - this.frozenCount;
    for (const { entry, value, threshold } of ready.slice(0, Math.max(0, room))) {
      if (now - this.#lastFreeze < spacing * steps) break;
      if (spacing > 0) this.#lastFreeze = now;
      this.registry.freeze(entry, { step: now, value, threshold, reason: 'converged' });
    }
    if (this.settings.freezeLeftovers) freezeLeftovers(this.registry, this.watched, now);
  }

  #thawAbove({ entry }: Watched, value: number, threshold: number, now: number): void {
    const { thaw } = this.settings;
    if (!thaw || value <= threshold * (1 + thaw.margin)) return;
    this.registry.thaw(entry, { step: now, value, threshold, reason: 'its value has risen' });
  }

  /** The sums of every parameter of the matrix; null where one has none in this step. */
  #sumsOf(entry: RegistryEntry, report: StepReport): GradientSums[] | null {
    const sums = entry.parameters.flatMap((parameter) => report.gradients.get(parameter) ?? []);
    if (sums.length < entry.parameters.length) return null;
    if (this.settings.quantity === 'split-half' && sums.some(({ halvesProduct }) => halvesProduct === null)) {
      // It may have been frozen in the meantime; then it is no mistake.
      if (isFrozen(entry)) return null;
      throw new ArgumentError(
        `GradES: the gradient of ${entry.name} came without its halves. Only a matrix W that is used as x · W alone has ` +
          'them, and only if beforeStep() was called; watch others by the quantity gradient',
      );
    }
    return sums;
  }

  #remember({ history }: Watched, step: number, value: number): void {
    const { threshold, grace, steps } = this.settings;
    if (isCalibrated(threshold) && step > (grace * steps) / 2 && !this.#graceIsOver(step))
      history.push({ step, value });
  }

  #thresholdAt(entry: RegistryEntry, step: number): number | null {
    const { threshold, steps } = this.settings;
    if (isCalibrated(threshold) && this.#calibrated === null && this.#graceIsOver(step)) {
      const histories = this.#watched.map(({ history }) => history);
      this.#calibrated = calibrate(histories, threshold.frozenShare, steps);
    }
    return this.thresholdOf(entry);
  }
}

/** Of the rule we recommend; see docs/grades.md for the reasons. */
const defaults = {
  quantity: 'split-half',
  scale: 'peak',
  grace: 0.15,
  graceEnd: 'after',
  horizon: 0.08,
  patience: 0.02,
  spacing: 0.02,
  maxFrozenShare: 1,
  stopShare: 1,
  sampleFrom: 1,
  firstSample: 'unknown',
  waitForCheck: false,
  freezeLeftovers: false,
  thaw: null,
} as const satisfies Partial<GradESOptions>;

/** How many samples an average has in the runs that the default threshold was chosen on (docs/results). */
const samplesOfAverage = 192;

function withDefaults({ watch: _, ...options }: GradESOptions): GradES['settings'] {
  const { quantity, scale, horizon } = { ...defaults, ...options };
  oneOf('quantity', quantity, quantities);
  oneOf('scale', scale, scales);
  const ownThreshold = scale === 'peak' ? (quantity === 'split-half' ? 0.3 : 0.5) : undefined;
  const threshold = options.threshold ?? ownThreshold;
  if (threshold === undefined) {
    throw new ArgumentError(`GradES: the scale ${scale} has no threshold of its own: give one, tau of the paper`);
  }
  const interval = Math.max(1, Math.floor((horizon * options.steps) / samplesOfAverage));
  return { ...defaults, interval, ...options, threshold };
}

function checkSettings(settings: GradES['settings']): void {
  const { quantity, thaw, threshold, grace, horizon, steps, interval, sampleFrom } = settings;
  oneOf('graceEnd', settings.graceEnd, ['after', 'after-ceiling', 'at-floor']);
  oneOf('firstSample', settings.firstSample, ['unknown', 'converged', 'from-zero']);
  for (const name of ['grace', 'horizon', 'patience', 'spacing', 'maxFrozenShare', 'stopShare'] as const) {
    share(name, settings[name]);
  }
  for (const name of ['steps', 'interval', 'sampleFrom'] as const) {
    if (Number.isInteger(settings[name]) && settings[name] >= 1) continue;
    throw new ArgumentError(`GradES: ${name} ${settings[name]} must be a whole number of at least 1`);
  }
  if (thaw) {
    share('thaw.every', thaw.every);
    if (!(thaw.margin >= 0)) throw new ArgumentError(`GradES: thaw.margin ${thaw.margin} must be at least 0`);
    if (quantity === 'gradient-change' || quantity === 'weight-change') {
      throw new ArgumentError(
        `GradES: a frozen matrix has no ${quantity} that a probe could show (thaw allows split-half and gradient)`,
      );
    }
  }
  const knownFrom = Math.max(sampleFrom + horizon * steps, (grace * steps) / 2);
  if (isCalibrated(threshold) && (grace * steps - knownFrom) / interval < 4) {
    throw new ArgumentError(
      `GradES: threshold.frozenShare needs at least 4 checks in the second half of the grace period, after the first ` +
        `horizon; grace ${grace} of ${steps} steps leaves ${Math.max(0, Math.floor((grace * steps - knownFrom) / interval))}`,
    );
  }
}

function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new ArgumentError(`GradES: ${name} '${value}' is unknown (allowed: ${allowed.join(', ')})`);
}

function share(name: string, value: number): void {
  if (value >= 0 && value <= 1) return;
  throw new ArgumentError(`GradES: ${name} ${value} is out of range (allowed: a share of the schedule, 0 … 1)`);
}
