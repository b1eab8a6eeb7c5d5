import { joined, sampleWindows, type Text } from './texts.ts';
import { findVerbatim } from './verbatim.ts';

const SAMPLED_WINDOWS = 64;

/**
 * A held-out file repeats the training files when more than this share of its sampled windows stands in one of them word
 * for word.
 */
export const REPEATED_SHARE = 0.1;

/** For each held-out text the share of its sampled windows that stand verbatim in any training text, of whatever class. */
export function repeatedShares(
  heldOut: readonly Text[],
  training: readonly Text[],
  windowBytes: number,
  seed: number,
): number[] {
  const samples = heldOut.map((text) => sampleWindows(text, SAMPLED_WINDOWS, windowBytes, seed));
  const found = findVerbatim(joined(samples.flat(), windowBytes), windowBytes, blocksOf(training));
  let start = 0;
  return samples.map((sample) => {
    const hits = found.subarray(start, start + sample.length).reduce((sum, hit) => sum + hit, 0);
    start += sample.length;
    return sample.length === 0 ? 1 : hits / sample.length;
  });
}

export function blocksOf(texts: readonly Text[]): Uint8Array[] {
  return texts.flatMap(({ blocks }) => blocks);
}
