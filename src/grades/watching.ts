/** What the rules that watch matrices share: which matrices, and options that are checked where types are not. */
import type { Optimizer } from '../nn/optimizer.ts';
import { ArgumentError } from '../tensor/errors.ts';
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

/** Tells whether a value is allowed, and in words what is. */
export interface Allowed {
  readonly words: string;
  holds(value: unknown): boolean;
}

export const isWholeNumber: Allowed = {
  words: 'a whole number of at least 1',
  holds: (value) => Number.isInteger(value) && Number(value) >= 1,
};

export const isShare: Allowed = {
  words: 'a share, from 0 to 1',
  holds: (value) => typeof value === 'number' && value >= 0 && value <= 1,
};

export const isPositive: Allowed = {
  words: 'a finite number above 0',
  holds: (value) => typeof value === 'number' && value > 0 && Number.isFinite(value),
};

/**
 * Checks options that came from a script whose types nobody checked.
 *
 * @param others names of options that are not checked here.
 * @throws ArgumentError for a name that is unknown or a value that is not allowed.
 */
export function checkOptions(
  rule: string,
  options: object,
  allowed: Readonly<Record<string, Allowed>>,
  others: readonly string[] = [],
): void {
  const known = [...Object.keys(allowed), ...others];
  for (const [name, value] of Object.entries(options)) {
    if (!known.includes(name)) {
      throw new ArgumentError(`${rule}: there is no option ${name} (allowed: ${known.join(', ')})`);
    }
    const check = allowed[name];
    if (check && !check.holds(value)) {
      throw new ArgumentError(`${rule}: ${name} ${String(value)} is out of range (allowed: ${check.words})`);
    }
  }
}
