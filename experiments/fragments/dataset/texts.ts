import { readBlocks } from './files.ts';
import { randomBelow, Stream, shuffledByName, textKey } from './random.ts';
import type { LabelledFile } from './sources.ts';

/** A file in memory. A long file is several blocks from all over it; windows never reach across two blocks. */
export interface Text extends LabelledFile {
  blocks: readonly Uint8Array[];
  /** Bytes in memory. */
  loadedBytes: number;
  /** How many windows the blocks hold. */
  positions: number;
}

/** How much is read. More would cost loading time and teach a small model nothing. */
export interface Limits {
  fileBytes: number;
  classBytes: number;
  /** Read at least so many files, whatever they hold. */
  classFiles: number;
}

/** Reads files of one class in a seeded order until the limits are met; files of one repeated byte are passed over. */
export function readTexts(files: readonly LabelledFile[], windowBytes: number, limits: Limits, seed: number): Text[] {
  const texts: Text[] = [];
  let bytes = 0;
  for (const file of shuffledByName(files, ({ name }) => name, Stream.selection, seed)) {
    if (bytes >= limits.classBytes && texts.length >= limits.classFiles) break;
    const blocks = readBlocks(file.path, limits.fileBytes).filter(
      (block) => block.length >= windowBytes && !isConstant(block),
    );
    if (blocks.length === 0) continue;
    const loadedBytes = blocks.reduce((sum, block) => sum + block.length, 0);
    const positions = blocks.reduce((sum, block) => sum + block.length - windowBytes + 1, 0);
    texts.push({ ...file, blocks, loadedBytes, positions });
    bytes += loadedBytes;
  }
  return texts;
}

/** The window at a position from 0 to `text.positions` − 1, as a view of the text. */
export function windowAt(text: Text, position: number, windowBytes: number): Uint8Array {
  let start = position;
  for (const block of text.blocks) {
    const here = block.length - windowBytes + 1;
    if (start < here) return block.subarray(start, start + windowBytes);
    start -= here;
  }
  throw new RangeError(`${text.name} has ${text.positions} windows, asked for number ${position}`);
}

const REDRAWS = 32;

/**
 * A window of one of the texts: text first, then place, each uniform. A window of one repeated byte (padding, mostly) tells
 * nothing of its kind and is drawn again up to 32 times.
 */
export function drawWindow(texts: readonly Text[], windowBytes: number, ...key: readonly number[]): Uint8Array {
  const text = texts[randomBelow(texts.length, ...key, 0)]!;
  for (let attempt = 1; ; attempt++) {
    const window = windowAt(text, randomBelow(text.positions, ...key, attempt), windowBytes);
    if (attempt > REDRAWS || !isConstant(window)) return window;
  }
}

/** A fixed sample of one text's windows, end to end, those of one repeated byte left out. */
export function sampleWindows(text: Text, count: number, windowBytes: number, seed: number): Uint8Array[] {
  const key = textKey(text.name);
  const wanted = Math.min(count, text.positions);
  return Array.from({ length: wanted }, (_, index) =>
    windowAt(text, randomBelow(text.positions, Stream.leakSample, seed, key, index), windowBytes),
  ).filter((window) => !isConstant(window));
}

export function isConstant(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === bytes[0]);
}

export function joined(windows: readonly Uint8Array[], windowBytes: number): Uint8Array {
  const bytes = new Uint8Array(windows.length * windowBytes);
  for (const [index, window] of windows.entries()) bytes.set(window, index * windowBytes);
  return bytes;
}
