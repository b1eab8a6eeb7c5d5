/** Items to judge by, from texts that are held out. */

import { blocksOf, type Text } from './texts.ts';
import { findVerbatim } from './verbatim.ts';

/**
 * Items of each class: distinct, and none of them anywhere in the texts to train on. A class that does not give enough in as many
 * rounds gets what there is.
 *
 * @param options.draw some items of a class, of which so many are missing; they may repeat. An item may be made from a window by
 * moving its bytes: as it is judged by, it must be new to training.
 * @param options.seen what was drawn before.
 */
export function drawHeldOut({
  classes,
  perClass,
  rounds,
  training,
  draw,
  seen = new Set(),
}: {
  classes: number;
  perClass: number;
  rounds: number;
  training: readonly Text[];
  draw(label: number, missing: number, round: number): Uint8Array[];
  seen?: Set<string>;
}): Uint8Array[][] {
  const accepted = Array.from({ length: classes }, (): Uint8Array[] => []);
  const missing = (label: number) => perClass - accepted[label].length;
  for (let round = 0; round < rounds && accepted.some((_, label) => missing(label) > 0); round++) {
    const drawn = accepted.flatMap((_, label) =>
      missing(label) > 0 ? draw(label, missing(label), round).map((item) => ({ label, item })) : [],
    );
    const leaked = findVerbatim(
      drawn.map(({ item }) => item),
      blocksOf(training),
    );
    for (const [i, { label, item }] of drawn.entries()) {
      const content = Buffer.from(item).toString('latin1');
      if (leaked[i] || seen.has(content) || missing(label) === 0) continue;
      seen.add(content);
      accepted[label].push(item);
    }
  }
  return accepted;
}
