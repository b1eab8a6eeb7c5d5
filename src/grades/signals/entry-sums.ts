/** From the report of a step to one number for each matrix. */
import type { StepReport } from '../../nn/step-report.ts';
import type { SumWatch } from '../../nn/sum-watch.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { isFrozen, type RegistryEntry } from '../registry.ts';

/**
 * What a watch measured, by the name of the entry, summed over its parameters. An entry of which a part had no gradient, or
 * is frozen, is left out.
 *
 * @throws ArgumentError where halves were asked for and a gradient came whole: the signal would never act.
 */
export function entrySums(
  watch: SumWatch,
  entries: readonly RegistryEntry[],
  { sums, squares }: StepReport,
): Map<string, number> {
  const measured = sums.get(watch);
  const found = new Map<string, number>();
  for (const entry of entries) {
    const parts = entry.parameters.flatMap((parameter) => measured?.get(parameter) ?? []);
    if (parts.length === entry.parameters.length) {
      found.set(
        entry.name,
        parts.reduce((total, part) => total + part, 0),
      );
      continue;
    }
    const hadGradients = entry.parameters.every((parameter) => squares.has(parameter));
    if (watch.sum.over !== 'halves' || !hadGradients || isFrozen(entry)) continue;
    throw new ArgumentError(
      `${watch.sum.name}: the gradient of ${entry.name} came without its halves. Only a matrix W that is used as x · W ` +
        'alone has them, and only if beforeStep() was called; watch others by another signal',
    );
  }
  return found;
}
