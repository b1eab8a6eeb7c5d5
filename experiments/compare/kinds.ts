/** The order of matrix kinds in tables and pictures. */

import { projectionKinds } from '../../src/index.ts';

/** Each kind once: the matrices of a block in their usual order, then whatever else there is. */
export function inDrawingOrder(kinds: readonly string[]): string[] {
  const usual: readonly string[] = projectionKinds;
  const others = [...new Set(kinds)].filter((kind) => !usual.includes(kind)).sort();
  return [...usual.filter((kind) => kinds.includes(kind)), ...others];
}
