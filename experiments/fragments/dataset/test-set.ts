import { Stream, textKey } from './random.ts';
import { blocksOf } from './repeats.ts';
import { drawWindow, isConstant, joined, type Text } from './texts.ts';
import { findVerbatim } from './verbatim.ts';

const ROUNDS = 8;

/**
 * Draws test fragments of each class from its held-out texts: distinct, and none verbatim anywhere in the training texts.
 * A class whose texts do not hold enough such fragments gets what there is.
 */
export function drawTestFragments(
  heldOut: ReadonlyMap<string, readonly Text[]>,
  training: readonly Text[],
  perClass: number,
  windowBytes: number,
  seed: number,
): Map<string, Uint8Array[]> {
  const seen = new Set<string>();
  const accepted = new Map([...heldOut.keys()].map((className) => [className, [] as Uint8Array[]]));

  for (let round = 0; round < ROUNDS; round++) {
    const candidates: { className: string; window: Uint8Array }[] = [];
    for (const [className, texts] of heldOut) {
      const missing = perClass - accepted.get(className)!.length;
      const draws = missing <= 0 ? 0 : Math.ceil(missing * 1.25) + 32;
      for (let draw = 0; draw < draws; draw++) {
        const window = drawWindow(texts, windowBytes, Stream.test, seed, textKey(className), round, draw);
        const content = Buffer.from(window).toString('latin1');
        if (isConstant(window) || seen.has(content)) continue;
        seen.add(content);
        candidates.push({ className, window });
      }
    }
    if (candidates.length === 0) break;
    const windows = candidates.map(({ window }) => window);
    const leaked = findVerbatim(joined(windows, windowBytes), windowBytes, blocksOf(training));
    for (const [index, { className, window }] of candidates.entries()) {
      const fragments = accepted.get(className)!;
      if (leaked[index] === 0 && fragments.length < perClass) fragments.push(window);
    }
  }
  return accepted;
}
