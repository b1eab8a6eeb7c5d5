/** What the rules that watch matrices share: which matrices, and options that are checked where types are not. */
import type { Optimizer } from '../nn/optimizer.ts';
import { ArgumentError, BackwardError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { type ParameterRegistry, projectionKinds, type RegistryEntry, type Selector } from './registry.ts';

/**
 * The entries a rule watches: those of the selector that still train.
 *
 * @throws ArgumentError where the optimizer does not train one of them, or leftovers are to freeze and there are no blocks.
 */
export function watchedEntries(
  rule: string,
  registry: ParameterRegistry,
  optimizer: Optimizer,
  watch: Selector = projectionKinds,
  takesLeftovers = false,
): readonly RegistryEntry[] {
  const watched = registry.active(registry.select(watch));
  if (takesLeftovers && watched.every(({ block }) => block === null)) {
    throw new ArgumentError(
      `${rule}: freezeLeftovers needs blocks, but no watched name holds \`blocks.N.\`: call the list of blocks \`blocks\``,
    );
  }
  const stranger = watched.find(({ parameters }) => parameters.some((each) => !optimizer.parameters.includes(each)));
  if (stranger) {
    throw new ArgumentError(`${rule}: the optimizer does not train ${stranger.name}, so it cannot be watched`);
  }
  return watched;
}

/** The error of a rule whose sums were all exactly 0 from the first check on: nothing can have converged then. */
export function withoutGradient(rule: string, sum: string, step: number): BackwardError {
  return new BackwardError(
    `${rule}: the ${sum} of every watched matrix was exactly 0 at every check up to step ${step}: there is no ` +
      'gradient that could have converged. Does the loss depend on the model?',
  );
}

/** Tells whether a value is allowed, and in words what is. */
export interface Allowed {
  readonly words: string;
  holds(value: unknown): boolean;
}

export const isWholeNumber: Allowed = {
  words: 'a whole number of at least 1',
  holds: (value) => Number.isInteger(value) && Number(value) >= 1,
};

export const isFlag: Allowed = {
  words: 'true or false',
  holds: (value) => typeof value === 'boolean',
};

export const isShare: Allowed = {
  words: 'a share, from 0 to 1',
  holds: (value) => typeof value === 'number' && value >= 0 && value <= 1,
};

export const isShareAboveNothing: Allowed = {
  words: 'a share, above 0 and at most 1',
  holds: (value) => typeof value === 'number' && value > 0 && value <= 1,
};

export const isPositive: Allowed = {
  words: 'a finite number above 0',
  holds: (value) => typeof value === 'number' && value > 0 && Number.isFinite(value),
};

/** @throws ArgumentError for values of options that are missing or not allowed. */
export function checkSettings(
  rule: string,
  options: Readonly<Record<string, unknown>>,
  allowed: Readonly<Record<string, Allowed>>,
): void {
  for (const [name, { words, holds }] of Object.entries(allowed)) {
    if (holds(options[name])) continue;
    throw new ArgumentError(`${rule}: ${name} ${String(options[name])} is out of range (allowed: ${words})`);
  }
}

/**
 * The options that were given: one that is undefined counts as absent.
 *
 * @throws ArgumentError for what are no options, and for one that is not in `names`.
 */
export function given<Options extends object>(rule: string, options: Options, names: readonly string[]): Options {
  checkOptions(rule, options, names, null);
  const result = { ...options };
  for (const name in result) if (result[name] === undefined) delete result[name];
  return result;
}
