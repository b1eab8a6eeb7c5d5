/** The texts of each class: those to train on, and those held out, which no training text repeats. */

import { DatasetError, type LabelledFile, readBlocks, type Source } from './files.ts';
import { randomBelow, Stream, shuffledByName, textKey } from './random.ts';
import { minimumHeldOut, minimumTraining, splitByGroup } from './split.ts';
import { findVerbatim } from './verbatim.ts';

/** A file in memory. A long file is several blocks from all over it; windows never reach across two blocks. */
export interface Text extends LabelledFile {
  readonly blocks: readonly Uint8Array[];
  /** Bytes in memory. */
  readonly loadedBytes: number;
  /** How many windows the blocks hold. */
  readonly positions: number;
}

/** How much is read. More would cost loading time and teach a small model nothing. */
export interface Limits {
  readonly fileBytes: number;
  readonly classBytes: number;
  /** Read at least so many files, whatever they hold. */
  readonly classFiles: number;
}

const trainingLimits: Limits = { fileBytes: 256 * 1024, classBytes: 4 * 1024 * 1024, classFiles: 16 };
const heldOutLimits: Limits = { fileBytes: 256 * 1024, classBytes: 2 * 1024 * 1024, classFiles: 32 };

/** The same split for every training seed, so that runs with different seeds are judged on the same fragments. */
export const splitSeed = 20_250;

/** A held-out text repeats the training texts when more than this share of its sampled windows stands in one of them. */
const repeatedShare = 0.1;
const sampledWindows = 64;

export interface LoadedClass {
  readonly className: string;
  readonly training: readonly Text[];
  readonly heldOut: readonly Text[];
  /** Held-out files dropped because they repeat training files. */
  readonly repeats: number;
}

export interface LeftOutClass {
  readonly name: string;
  readonly reason: string;
}

/**
 * Reads and divides the files of every class that has enough of them. Depends on the names and contents of the files alone.
 *
 * @throws {DatasetError} a file cannot be read, or a class of a user's folder has too few.
 */
export function loadTexts(source: Source, windowBytes: number): { classes: LoadedClass[]; leftOut: LeftOutClass[] } {
  const leftOut: LeftOutClass[] = [];
  const usable = source.files.filter((file) => file.bytes >= windowBytes);
  const named = source.classes.filter((name) => {
    const reason = tooFewFiles(usable.filter(({ className }) => className === name).length, windowBytes);
    if (reason === null) return true;
    // A user can add files or take the folder away; what npm installed is as it is.
    if (source.groupedBy === 'file') throw new DatasetError(`${source.title}: class '${name}' has ${reason}`);
    leftOut.push({ name, reason });
    return false;
  });
  const split = splitByGroup(
    usable.filter(({ className }) => named.includes(className)),
    splitSeed,
  );
  const textsOf = (files: readonly LabelledFile[], name: string, limits: Limits) =>
    readTexts(
      files.filter(({ className }) => className === name),
      windowBytes,
      limits,
    );
  const read = named.map((className) => ({
    className,
    training: textsOf(split.training, className, trainingLimits),
    heldOut: textsOf(split.heldOut, className, heldOutLimits),
  }));
  // Against the texts of all classes: a source map that carries a script must not be tested on what the script taught.
  const taught = read.flatMap(({ training }) => training);
  const classes = read.map((each) => {
    const heldOut = withoutRepeats(each.heldOut, taught, windowBytes);
    return { ...each, heldOut, repeats: each.heldOut.length - heldOut.length };
  });
  return {
    leftOut,
    classes: classes.filter(({ className: name, training, heldOut, repeats }) => {
      const isEnough = heldOut.length >= minimumHeldOut && training.length >= minimumTraining;
      const dropped = repeats === 0 ? '' : ` after ${repeats} that repeat training files were dropped`;
      const reason =
        `${heldOut.length} held-out and ${training.length} training files${dropped}, divided by ${source.groupedBy}; ` +
        `at least ${minimumHeldOut} and ${minimumTraining} are needed`;
      if (!isEnough) leftOut.push({ name, reason });
      return isEnough;
    }),
  };
}

function tooFewFiles(count: number, windowBytes: number): string | null {
  const minimum = minimumHeldOut + minimumTraining;
  if (count >= minimum) return null;
  return `${count} ${count === 1 ? 'file' : 'files'} of at least ${windowBytes} bytes; at least ${minimum} are needed`;
}

/** Reads files of one class in a fixed order until the limits are met; files of one repeated byte are passed over. */
export function readTexts(files: readonly LabelledFile[], windowBytes: number, limits: Limits): Text[] {
  const texts: Text[] = [];
  let bytes = 0;
  for (const file of shuffledByName(files, ({ name }) => name, Stream.selection, splitSeed)) {
    if (bytes >= limits.classBytes && texts.length >= limits.classFiles) break;
    const blocks = readBlocks(file, limits.fileBytes).filter(
      (block) => block.length >= windowBytes && !isConstant(block),
    );
    if (blocks.length === 0) continue;
    const loadedBytes = blocks.reduce((sum, block) => sum + block.length, 0);
    texts.push({ ...file, blocks, loadedBytes, positions: loadedBytes - blocks.length * (windowBytes - 1) });
    bytes += loadedBytes;
  }
  return texts;
}

function withoutRepeats(heldOut: readonly Text[], training: readonly Text[], windowBytes: number): Text[] {
  const samples = heldOut.map((text) =>
    Array.from({ length: Math.min(sampledWindows, text.positions) }, (_, i) =>
      windowAt(text, randomBelow(text.positions, Stream.leakSample, splitSeed, textKey(text.name), i), windowBytes),
    ).filter((window) => !isConstant(window)),
  );
  const found = findVerbatim(samples.flat(), blocksOf(training));
  let from = 0;
  return heldOut.filter((_, i) => {
    const hits = found.slice(from, from + samples[i].length).filter((each) => each).length;
    from += samples[i].length;
    return hits / samples[i].length <= repeatedShare;
  });
}

export function blocksOf(texts: readonly Text[]): Uint8Array[] {
  return texts.flatMap(({ blocks }) => blocks);
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

/**
 * A window of one of the texts: text first, then place, each uniform. A window of one repeated byte (padding, mostly) tells
 * nothing of its kind and is drawn again up to 32 times.
 */
export function drawWindow(texts: readonly Text[], windowBytes: number, ...key: readonly number[]): Uint8Array {
  const text = texts[randomBelow(texts.length, ...key, 0)];
  for (let attempt = 1; ; attempt++) {
    const window = windowAt(text, randomBelow(text.positions, ...key, attempt), windowBytes);
    if (attempt > 32 || !isConstant(window)) return window;
  }
}

export function isConstant(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === bytes[0]);
}
