/** Freezing by a list made beforehand, and the lists of the controls. */
import { type Saved, savedNumber } from '../../nn/saved.ts';
import { checkFinite } from '../../tensor/create.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import type { Random } from '../../tensor/random.ts';
import type { Policy } from '../policy.ts';
import { freezeLeftovers, isFrozen, type ParameterRegistry, projectionKinds, type Selector } from '../registry.ts';

/** One matrix, by its name in the registry, and the step after whose update it freezes. */
export interface FreezeListItem {
  name: string;
  step: number;
}

export interface FreezeListOptions {
  list: readonly FreezeListItem[];
  /** Whether a block's norms freeze with its last matrix, and the embeddings with the first block. */
  freezeLeftovers?: boolean;
  /** Whether training is over when the list is done; by default what is left trains on. */
  stopWhenDone?: boolean;
}

/** Freezes by a list made beforehand: the controls that keep a rule's times and change its choice of matrices. */
export class FreezeList implements Policy {
  readonly #registry: ParameterRegistry;
  readonly #options: FreezeListOptions;
  #step = 0;

  constructor(registry: ParameterRegistry, options: FreezeListOptions) {
    checkOptions('FreezeList', options, ['list', 'freezeLeftovers', 'stopWhenDone']);
    if (!Array.isArray(options.list)) {
      throw new ArgumentError(`FreezeList: list is ${String(options.list)} (allowed: a list of { name, step })`);
    }
    for (const { name, step } of options.list) {
      registry.get(name);
      if (Number.isInteger(step) && step >= 0) continue;
      throw new ArgumentError(`FreezeList: step ${step} of ${name} must be a whole number of at least 0`);
    }
    this.#registry = registry;
    this.#options = options;
  }

  get finished(): boolean {
    const { stopWhenDone = false, list } = this.#options;
    return stopWhenDone && list.every(({ step }) => step <= this.#step);
  }

  afterStep(step: number): void {
    this.#step = step;
    const { list } = this.#options;
    for (const { name, step: at } of list) {
      if (at <= step) this.#registry.freeze(this.#registry.get(name), { step, reason: 'the list says so' });
    }
    if (!this.#options.freezeLeftovers) return;
    const listed = list.map(({ name }) => this.#registry.get(name));
    freezeLeftovers(this.#registry, listed, step);
  }

  state(): Saved {
    return this.#step;
  }

  restore(state: Saved): void {
    this.#step = savedNumber('FreezeList', state);
  }
}

/** All of them after the same step. */
export function allAtOnce(names: readonly string[], step: number): FreezeListItem[] {
  return names.map((name) => ({ name, step }));
}

/** The same steps, dealt out to the same matrices at random. */
export function inRandomOrder(list: readonly FreezeListItem[], random: Random): FreezeListItem[] {
  const names = shuffled(
    list.map(({ name }) => name),
    random,
  );
  return list.map(({ step }, i) => ({ name: names[i], step }));
}

/** The same steps, the matrices in the opposite order: who froze first freezes last. */
export function inReversedOrder(list: readonly FreezeListItem[]): FreezeListItem[] {
  const ordered = [...list].sort((a, b) => a.step - b.step);
  return ordered.map(({ step }, i) => ({ name: ordered[ordered.length - 1 - i].name, step }));
}

/** Block after block from the lowest up (FreezeOut, arXiv 1706.04983), evenly from step `from` to step `to`. */
export function fromBelow(
  registry: ParameterRegistry,
  options: { from: number; to: number; watch?: Selector },
): FreezeListItem[] {
  checkOptions('fromBelow', options, ['from', 'to', 'watch']);
  const { from, to, watch = projectionKinds } = options;
  checkFinite('fromBelow', { from, to });
  const entries = registry.select(watch).filter((entry) => !isFrozen(entry));
  const blocks = [...new Set(entries.map(({ block }) => block ?? Number.POSITIVE_INFINITY))].sort((a, b) => a - b);
  const stepOf = (index: number) =>
    blocks.length === 1 ? from : Math.round(from + ((to - from) * index) / (blocks.length - 1));
  return entries.map(({ name, block }) => ({ name, step: stepOf(blocks.indexOf(block ?? Number.POSITIVE_INFINITY)) }));
}

/** Fisher and Yates. */
export function shuffled<T>(values: readonly T[], random: Random): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
