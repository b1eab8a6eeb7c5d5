/** What the three rules of the paper have in common: an absolute threshold, one value that is enough, and no history. */
import type { Optimizer } from '../../nn/optimizer.ts';
import { type Saved, savedList, savedNumberOrNull, savedObject, savedText } from '../../nn/saved.ts';
import type { SumWatch } from '../../nn/sum-watch.ts';
import type { Check } from '../grades.ts';
import type { Policy } from '../policy.ts';
import { freezeLeftovers, isFrozen, type ParameterRegistry, type RegistryEntry, type Selector } from '../registry.ts';
import { entrySums } from '../signals/entry-sums.ts';
import type { Signal } from '../signals/signal.ts';
import {
  checkSettings,
  given,
  isFlag,
  isPositive,
  isShare,
  isWholeNumber,
  watchedEntries,
  withoutGradient,
} from '../watching.ts';

/** Options of the rules of the paper. */
export interface PaperRuleOptions {
  /** Length of the schedule in steps, T. */
  steps: number;
  /** τ, in units of the sum: it goes with the size of the matrix, the loss, the batch and the learning rate. */
  threshold: number;
  /** α, the share of the schedule before which nothing freezes. */
  grace?: number;
  watch?: Selector;
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. The paper has no such thing. */
  freezeLeftovers?: boolean;
}

type Settings = Required<Omit<PaperRuleOptions, 'watch'>> & { interval: number; maxFrozenShare: number };

/**
 * Checks one sum of every matrix against τ, at each check after the grace period, and freezes at once whatever is below it. The
 * check of a step takes effect after that step, which waits for the device; the paper leaves out the update of the step
 * that decided, here it is made. And a sum that was exactly 0 at every check is no gradient that has become small: it freezes nothing,
 * and where all are so the run ends with an error.
 */
export abstract class PaperRule implements Policy {
  readonly watched: readonly RegistryEntry[];
  readonly settings: Readonly<Settings>;
  /** What is summed. */
  protected abstract readonly signal: Signal;
  readonly #registry: ParameterRegistry;
  readonly #optimizer: Optimizer;
  readonly #listeners = new Set<(check: Check) => void>();
  #watch: SumWatch | null = null;
  #firstCheck: number | null = null;
  /** Names of those whose sum was ever other than 0. The others have no gradient that could have become small. */
  readonly #withGradient = new Set<string>();

  constructor(
    registry: ParameterRegistry,
    optimizer: Optimizer,
    options: PaperRuleOptions,
    defaults: Pick<Settings, 'grace'> & Partial<Settings>,
  ) {
    const rule = new.target.name;
    const ofPaper = { steps: isWholeNumber, threshold: isPositive, grace: isShare, freezeLeftovers: isFlag };
    const allowed = { ...ofPaper, interval: isWholeNumber, maxFrozenShare: isShare };
    const { watch, ...others } = given(rule, options, [...Object.keys(allowed), 'watch']);
    this.settings = { freezeLeftovers: false, interval: 1, maxFrozenShare: 1, ...defaults, ...others };
    checkSettings(rule, { ...this.settings }, allowed);
    this.#registry = registry;
    this.#optimizer = optimizer;
    this.watched = watchedEntries(rule, registry, optimizer, watch, this.settings.freezeLeftovers);
  }

  get frozenCount(): number {
    return this.watched.filter(isFrozen).length;
  }

  get finished(): boolean {
    return this.frozenCount >= this.settings.maxFrozenShare * this.watched.length;
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
    this.#watch ??= this.#startWatch();
    if (step % this.settings.interval === 0) this.#watch.measureNext();
  }

  async afterStep(step: number): Promise<void> {
    if (step % this.settings.interval !== 0 || !this.#watch) return;
    this.#firstCheck ??= step;
    const sums = entrySums(this.#watch, this.watched, await this.#optimizer.report());
    for (const [name, sum] of sums) if (sum !== 0) this.#withGradient.add(name);
    const values = this.valuesOf(sums, this.#firstCheck === step);
    for (const listener of this.#listeners) listener({ step, values });
    if (!this.graceIsOver(step)) return;
    if (this.#withGradient.size === 0) throw withoutGradient(this.constructor.name, this.signal.name, step);
    const { threshold } = this.settings;
    for (const entry of this.watched) {
      const value = values.get(entry.name);
      if (value === undefined || !(value < threshold) || !this.#withGradient.has(entry.name)) continue;
      this.#registry.freeze(entry, { step, value, threshold, reason: 'converged' });
    }
    if (this.settings.freezeLeftovers) freezeLeftovers(this.#registry, this.watched, step);
  }

  async end(): Promise<void> {
    this.#watch?.release();
    this.#watch = null;
    await this.#optimizer.report();
  }

  async state(): Promise<Saved> {
    const watch = (await this.#watch?.state()) ?? null;
    return { firstCheck: this.#firstCheck, withGradient: [...this.#withGradient], watch };
  }

  restore(state: Saved): void {
    const what = this.constructor.name;
    const { firstCheck, withGradient, watch } = savedObject(what, state);
    this.#firstCheck = savedNumberOrNull(what, firstCheck);
    this.#withGradient.clear();
    for (const name of savedList(what, withGradient)) this.#withGradient.add(savedText(what, name));
    this.#watch?.release();
    this.#watch = null;
    if (watch === null) return;
    this.#watch = this.#startWatch();
    this.#watch.restore(watch);
  }

  #startWatch(): SumWatch {
    return this.#optimizer.watch(
      this.signal,
      this.watched.flatMap(({ parameters }) => parameters),
    );
  }

  /** What the sums of a check count as. */
  protected valuesOf(sums: ReadonlyMap<string, number>, _isFirst: boolean): ReadonlyMap<string, number> {
    return sums;
  }

  /** Algorithm 1: t > ⌈αT⌉. */
  protected graceIsOver(step: number): boolean {
    return step > Math.ceil(this.settings.grace * this.settings.steps);
  }
}
