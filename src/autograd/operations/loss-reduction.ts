/** How the losses of single predictions become one. */
import { ArgumentError } from '../../tensor/errors.ts';

const reductions = ['mean', 'sum', 'none'] as const;

export type LossReduction = (typeof reductions)[number];

/** @throws ArgumentError for an unknown one. */
export function checkReduction(operation: string, reduction: LossReduction): void {
  if (reductions.includes(reduction)) return;
  throw new ArgumentError(`${operation}: reduction is '${reduction}' (allowed: ${reductions.join(', ')})`);
}
