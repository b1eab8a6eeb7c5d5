import { MATRIX_KINDS } from '../fragments/report.ts';

/** Each kind once: the matrices of a block in their usual order, then whatever else there is. */
export function inDrawingOrder(kinds: readonly string[]): string[] {
  const present = [...new Set(kinds)];
  const usual = MATRIX_KINDS.filter((kind) => present.includes(kind));
  const others = present.filter((kind) => !usual.some((known) => known === kind)).sort();
  return [...usual, ...others];
}
