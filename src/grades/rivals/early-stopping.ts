/** Classic early stopping on a validation loss. */
import type { Module } from '../../nn/module.ts';
import { type Saved, savedList, savedNumber, savedNumberOrNull, savedObject } from '../../nn/saved.ts';
import { type StateDict, stateDictFrom } from '../../nn/state-dict.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import type { Policy } from '../policy.ts';

export interface StoppingRule {
  /** An evaluation is better if its loss is below the best so far by more than this. */
  delta: number;
  /** Training stops after this many evaluations in a row that were not better. */
  patience: number;
}

export interface EarlyStoppingOptions extends Partial<StoppingRule> {
  /** Length of the schedule in steps. */
  steps: number;
  /** Share of the schedule between two evaluations. */
  every?: number;
  /** The loss on validation. It may open steps of its own. */
  validate: () => Promise<number>;
  /** Whose weights go back to those of the best evaluation when training ends; by default they stay as they are. */
  restoreBest?: Module<never, unknown>;
}

/**
 * Where the rule would have stopped on these losses: the evaluation that used up its patience, null where none did; and
 * the best evaluation until then. A loss of NaN is never better.
 */
export function earlyStop(
  losses: readonly number[],
  { delta, patience }: StoppingRule,
): { stopIndex: number | null; bestIndex: number } {
  let best = Number.POSITIVE_INFINITY;
  let bestIndex = 0;
  for (const [i, loss] of losses.entries()) {
    if (loss < best - delta) {
      best = loss;
      bestIndex = i;
    } else if (i - bestIndex >= patience) return { stopIndex: i, bestIndex };
  }
  return { stopIndex: null, bestIndex };
}

/**
 * Classic early stopping (Prechelt, "Early stopping — but when?"): evaluates the validation loss every so often and stops
 * when it has not improved for a while. The defaults are those of the paper (arXiv 2509.01842 v3, section 4.3): every 5 %
 * of the schedule, delta 0.0005, patience 3. What the evaluations cost is the rule's own price.
 */
export class EarlyStopping implements Policy {
  readonly evaluations: { step: number; loss: number }[] = [];
  readonly #options: EarlyStoppingOptions;
  readonly #rule: StoppingRule;
  readonly #everySteps: number;
  #stoppedAt: number | null = null;
  #bestWeights: StateDict | null = null;

  constructor(options: EarlyStoppingOptions) {
    checkOptions('EarlyStopping', options, ['steps', 'every', 'delta', 'patience', 'validate', 'restoreBest'], null);
    if (typeof options.validate !== 'function') {
      throw new ArgumentError(
        `EarlyStopping: validate is ${String(options.validate)} (allowed: a function that gives the loss)`,
      );
    }
    const { steps, every = 0.05, delta = 0.0005, patience = 3 } = options;
    if (!Number.isInteger(steps) || steps < 1) {
      throw new ArgumentError(`EarlyStopping: steps ${steps} must be a whole number of at least 1`);
    }
    if (!(every > 0 && every <= 1)) {
      throw new ArgumentError(
        `EarlyStopping: every ${every} is out of range (allowed: a share of the schedule, above 0)`,
      );
    }
    if (!(delta >= 0) || !Number.isInteger(patience) || patience < 1) {
      throw new ArgumentError(
        `EarlyStopping: delta ${delta} and patience ${patience} are out of range (allowed: at least 0, and whole numbers ` +
          'of at least 1)',
      );
    }
    this.#options = options;
    this.#rule = { delta, patience };
    this.#everySteps = Math.max(1, Math.round(every * steps));
  }

  get finished(): boolean {
    return this.#stoppedAt !== null;
  }

  /** Step of the evaluation that ended training; null where none has. */
  get stoppedAt(): number | null {
    return this.#stoppedAt;
  }

  /** Step of the best evaluation so far; null before the first. */
  get bestStep(): number | null {
    const { bestIndex } = this.#decision;
    return this.evaluations[bestIndex]?.step ?? null;
  }

  get #decision() {
    return earlyStop(
      this.evaluations.map(({ loss }) => loss),
      this.#rule,
    );
  }

  async betweenSteps(step: number): Promise<void> {
    if (this.finished || step % this.#everySteps !== 0) return;
    this.evaluations.push({ step, loss: await this.#options.validate() });
    const { stopIndex } = this.#decision;
    if (this.bestStep === step && this.#options.restoreBest) {
      this.#bestWeights = await this.#options.restoreBest.stateDict();
    }
    if (stopIndex !== null) this.#stoppedAt = step;
  }

  async end(): Promise<void> {
    if (this.#bestWeights) this.#options.restoreBest?.loadStateDict(this.#bestWeights);
  }

  state(): Saved {
    const evaluations = this.evaluations.map((evaluation) => ({ ...evaluation }));
    return { evaluations, stoppedAt: this.#stoppedAt, bestWeights: this.#bestWeights };
  }

  restore(state: Saved): void {
    const what = 'EarlyStopping';
    const { evaluations, stoppedAt, bestWeights } = savedObject(what, state);
    const restored = savedList(what, evaluations).map((saved) => {
      const { step, loss } = savedObject(what, saved);
      return { step: savedNumber(what, step), loss: savedNumber(what, loss) };
    });
    this.evaluations.splice(0, this.evaluations.length, ...restored);
    this.#stoppedAt = savedNumberOrNull(what, stoppedAt);
    this.#bestWeights = bestWeights === null ? null : stateDictFrom(what, bestWeights);
  }
}
