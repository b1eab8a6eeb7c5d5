/** GradES, as we recommend it: a matrix whose signal has fallen to a small share of its own peak leaves the backward graph. */
import type { Optimizer } from '../nn/optimizer.ts';
import { type Saved, savedList, savedNumber, savedNumberOrNull, savedObject } from '../nn/saved.ts';
import type { SumWatch } from '../nn/sum-watch.ts';
import { ArgumentError } from '../tensor/errors.ts';
import type { Policy } from './policy.ts';
import { freezeLeftovers, isFrozen, type ParameterRegistry, type RegistryEntry, type Selector } from './registry.ts';
import { entrySums } from './signals/entry-sums.ts';
import { RunningAverage } from './signals/running-average.ts';
import type { Signal } from './signals/signal.ts';
import { splitHalf } from './signals/split-half.ts';
import {
  checkSettings,
  given,
  isFlag,
  isShare,
  isShareAboveNothing,
  isWholeNumber,
  watchedEntries,
  withoutGradient,
} from './watching.ts';

/** Shares are parts of the schedule, so that one setting serves runs of any length. */
export interface GradESOptions {
  /** Length of the whole schedule in steps, T. */
  steps: number;
  /** What is watched of a matrix; by default the split-half signal. */
  signal?: Signal;
  /** A matrix may freeze while its value is below this share of its own peak; by default the signal's own. */
  threshold?: number;
  /** Share of T before which nothing freezes, α of the paper. */
  grace?: number;
  /** Share of T over which the signal is averaged; 0 averages nothing. */
  horizon?: number;
  /**
   * Share of T during which the value must stay below the threshold, at every check, and that passes between two freezes, each of
   * one matrix in 14 that are watched; the lowest go first. 0: one low value is enough, for as many matrices as have one.
   */
  patience?: number;
  /**
   * Steps between checks. By default as many as leave 192 samples to an average: every step up to 4,799 steps, every fourth
   * at 10,000. A check costs a read-back, and more memory traffic for the gradients of the watched matrices.
   */
  interval?: number;
  /** First step at which a sample is taken, such as the end of the warm-up. */
  sampleFrom?: number;
  /** What is watched: by default the seven projection matrices of every block. */
  watch?: Selector;
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. */
  freezeLeftovers?: boolean;
  /**
   * Of several matrices that may freeze, whether the one of the lowest block goes first, not the one with the lowest value: it is
   * worth more, once the frozen blocks at the bottom are not run (`cacheFrozenPrefix` of `Training`).
   */
  fromBelow?: boolean;
}

/** The values of all watched matrices at one check: each a share of the matrix's own peak. */
export interface Check {
  step: number;
  values: ReadonlyMap<string, number>;
}

/** The rule was chosen with these; see docs/grades.md for the reasons. */
const defaults = {
  grace: 0.15,
  horizon: 0.08,
  patience: 0.02,
  sampleFrom: 1,
  freezeLeftovers: false,
  fromBelow: false,
};
/** Matrices of the models that the patience was chosen on: of so many, one freezes at a time. */
const matricesOfOneFreeze = 14;
/** How many samples an average has in the runs that the default threshold was chosen on. */
const samplesOfAverage = 192;

const allowed = {
  signal: {
    words: 'a signal, such as splitHalf',
    holds: (value: unknown) => typeof value === 'object' && value !== null && 'over' in value && 'power' in value,
  },
  steps: isWholeNumber,
  threshold: isShareAboveNothing,
  grace: isShare,
  horizon: isShare,
  patience: isShare,
  interval: isWholeNumber,
  sampleFrom: isWholeNumber,
  freezeLeftovers: isFlag,
  fromBelow: isFlag,
};

/** One matrix as the rule follows it. */
interface Followed {
  readonly entry: RegistryEntry;
  readonly average: RunningAverage;
  peak: number;
  /** Step of the first check of the present run of checks below the threshold. */
  belowSince: number | null;
  /** Whether a sum was ever other than 0. Until then there is no gradient that could have become small. */
  hasGradient: boolean;
  /** First step whose sample counts: one that has a step before to be compared with, where the signal compares. */
  knownFrom: number;
}

/**
 * GradES (arXiv 2509.01842), with a signal that is free of mini-batch noise and relative to each matrix's own peak, averaged,
 * with patience, and few freezes at a time. Training is over when all watched matrices are frozen.
 *
 * The sums are reduced on the device and read back once a check, without waiting: what step s measured takes effect at
 * the next check, exactly, so that the same seed gives the same run. A first sample is unknown, not zero; a NaN or infinite
 * gradient freezes nothing and ends the run with an error, and so does a gradient that never was other than 0.
 */
export class GradES implements Policy {
  readonly settings: Readonly<Required<Omit<GradESOptions, 'watch'>>>;
  readonly #registry: ParameterRegistry;
  readonly #optimizer: Optimizer;
  readonly #followed: readonly Followed[];
  readonly #listeners = new Set<(check: Check) => void>();
  #watch: SumWatch | null = null;
  /** What the last check measured, which has yet to take effect. */
  #pending: { step: number; sums: Promise<ReadonlyMap<string, number>> } | null = null;
  #lastFreeze = Number.NEGATIVE_INFINITY;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: GradESOptions) {
    const { watch, ...others } = given('GradES', options, [...Object.keys(allowed), 'watch']);
    const { signal = splitHalf, horizon = defaults.horizon, steps } = others;
    const interval = Math.max(1, Math.floor((horizon * steps) / samplesOfAverage));
    this.settings = { ...defaults, horizon, interval, threshold: signal.threshold, ...others, signal };
    checkSettings('GradES', { ...this.settings }, allowed);
    this.#registry = registry;
    this.#optimizer = optimizer;
    const watched = watchedEntries('GradES', registry, optimizer, watch, this.settings.freezeLeftovers);
    this.#followed = watched.map((entry) => {
      const average = new RunningAverage(horizon * steps);
      return { entry, average, peak: Number.NEGATIVE_INFINITY, belowSince: null, hasGradient: false, knownFrom: 1 };
    });
  }

  get watched(): readonly RegistryEntry[] {
    return this.#followed.map(({ entry }) => entry);
  }

  get frozenCount(): number {
    return this.watched.filter(isFrozen).length;
  }

  get finished(): boolean {
    return this.frozenCount === this.#followed.length;
  }

  get threshold(): number {
    return this.settings.threshold;
  }

  /** Calls `listener` after every check, until the function it returns is called. */
  onCheck(listener: (check: Check) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  beforeStep(step: number): void {
    const { signal, sampleFrom } = this.settings;
    // At the first check the gradient of the step before must be there already.
    const firstStep = signal.over === 'gradient-before' ? sampleFrom - 1 : sampleFrom;
    if (step >= firstStep && !this.#watch) {
      this.#watch = this.#startWatch();
      for (const followed of this.#followed) followed.knownFrom = this.#knownAfter(step);
    }
    if (this.#isCheck(step)) this.#watch?.measureNext();
  }

  async afterStep(step: number): Promise<void> {
    if (!this.#isCheck(step) || !this.#watch) return;
    const earlier = this.#pending;
    const watch = this.#watch;
    const sums = this.#optimizer.report().then((report) => entrySums(watch, this.watched, report));
    this.#pending = { step, sums };
    // A failure is thrown where the sums are awaited, at the next check or at the end.
    sums.catch(() => {});
    if (earlier) this.#decide(earlier.step, await earlier.sums, step);
  }

  async end(): Promise<void> {
    const pending = this.#pending;
    this.#pending = null;
    this.#watch?.release();
    this.#watch = null;
    await pending?.sums;
    // Steps after the last check may have met a broken gradient as well.
    await this.#optimizer.report();
  }

  async state(): Promise<Saved> {
    const pending = this.#pending && {
      step: this.#pending.step,
      sums: Object.fromEntries(await this.#pending.sums),
    };
    const followed = this.#followed.map((each) => [
      ...[each.average.state(), each.peak, each.belowSince, each.knownFrom, each.hasGradient],
    ]);
    return { pending, followed, lastFreeze: this.#lastFreeze, watch: (await this.#watch?.state()) ?? null };
  }

  restore(state: Saved): void {
    const { pending, followed, lastFreeze, watch } = savedObject('GradES', state);
    const rows = savedList('GradES', followed);
    if (rows.length !== this.#followed.length) {
      throw new ArgumentError(`GradES: the state follows ${rows.length} matrices, this rule ${this.#followed.length}`);
    }
    this.#followed.forEach((each, i) => {
      const [average, peak, belowSince, knownFrom, hasGradient] = savedList('GradES', rows[i]);
      each.average.restore(average);
      each.peak = savedNumber('GradES', peak);
      each.belowSince = savedNumberOrNull('GradES', belowSince);
      each.knownFrom = savedNumber('GradES', knownFrom);
      each.hasGradient = hasGradient === true;
    });
    this.#lastFreeze = savedNumber('GradES', lastFreeze);
    this.#pending = pending === null ? null : pendingFrom(savedObject('GradES', pending));
    this.#watch?.release();
    this.#watch = null;
    if (watch === null) return;
    this.#watch = this.#startWatch();
    this.#watch.restore(watch);
  }

  /** The first step whose sample counts, where watching begins with this one. */
  #knownAfter(step: number): number {
    return this.settings.signal.over === 'gradient-before' ? step + 1 : step;
  }

  #startWatch(): SumWatch {
    return this.#optimizer.watch(
      this.settings.signal,
      this.watched.flatMap(({ parameters }) => parameters),
    );
  }

  #isCheck(step: number): boolean {
    const { sampleFrom, interval } = this.settings;
    return step >= sampleFrom && (step - sampleFrom) % interval === 0;
  }

  /** Takes what step `measured` came to into account, after the update of step `now`. */
  #decide(measured: number, sums: ReadonlyMap<string, number>, now: number): void {
    const { signal, threshold, grace, steps, fromBelow, freezeLeftovers: takesLeftovers } = this.settings;
    const patience = this.settings.patience * steps;
    const values = new Map<string, number>();
    const ready: { entry: RegistryEntry; value: number }[] = [];
    for (const followed of this.#followed) {
      const { entry } = followed;
      if (isFrozen(entry)) followed.knownFrom = this.#knownAfter(now + 1);
      const sum = isFrozen(entry) || measured < followed.knownFrom ? undefined : sums.get(entry.name);
      const value = sum === undefined ? null : this.#valueOf(followed, measured, sum);
      if (value === null) {
        followed.belowSince = null;
        continue;
      }
      values.set(entry.name, value);
      followed.belowSince = value < threshold ? (followed.belowSince ?? measured) : null;
      if (followed.belowSince === null || measured <= grace * steps) continue;
      if (measured - followed.belowSince >= patience) ready.push({ entry, value });
    }
    for (const listener of this.#listeners) listener({ step: measured, values });
    if (measured > grace * steps && this.#followed.every(({ hasGradient }) => !hasGradient)) {
      throw withoutGradient('GradES', signal.name, measured);
    }
    const height = ({ entry: { block } }: (typeof ready)[number]) => (fromBelow ? (block ?? Number.MAX_VALUE) : 0);
    ready.sort((a, b) => height(a) - height(b) || a.value - b.value);
    const atATime = patience > 0 ? Math.ceil(this.#followed.length / matricesOfOneFreeze) : ready.length;
    const freezing = now - this.#lastFreeze < patience ? [] : ready.slice(0, atATime);
    for (const { entry, value } of freezing) {
      this.#lastFreeze = now;
      this.#registry.freeze(entry, { step: now, value, threshold, reason: 'converged' });
    }
    if (takesLeftovers) freezeLeftovers(this.#registry, this.watched, now);
  }

  /** The averaged sum as a share of its own largest value so far; null while it is not known. */
  #valueOf(followed: Followed, step: number, sum: number): number | null {
    followed.hasGradient ||= sum !== 0;
    const average = followed.average.observe(step, sum);
    if (average === null || !followed.hasGradient) return null;
    followed.peak = Math.max(followed.peak, average);
    // A peak that is not positive is noise from the start: there is no signal to be a share of.
    const share = followed.peak > 0 ? average / followed.peak : 0;
    return this.settings.signal.power === 2 ? Math.sqrt(Math.max(0, share)) : share;
  }
}

function pendingFrom({ step, sums }: { readonly [key: string]: Saved }) {
  const entries = Object.entries(savedObject('GradES', sums));
  const restored = new Map(entries.map(([name, sum]) => [name, savedNumber('GradES', sum)]));
  return { step: savedNumber('GradES', step), sums: Promise.resolve(restored) };
}
