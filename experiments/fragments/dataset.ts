import { fileURLToPath } from 'node:url';
import { DatasetError } from './dataset/error.ts';
import { randomBelow, Stream } from './dataset/random.ts';
import { REPEATED_SHARE, repeatedShares } from './dataset/repeats.ts';
import { folderSource, type LabelledFile, packageSource, type Source } from './dataset/sources.ts';
import { countClasses, MINIMUM_HELD_OUT, MINIMUM_TRAINING, splitByGroup } from './dataset/split.ts';
import { drawTestFragments } from './dataset/test-set.ts';
import { drawWindow, joined, type Limits, readTexts, type Text } from './dataset/texts.ts';
import { formatBytes } from './format.ts';
import { formatTable } from './table.ts';

export { DatasetError } from './dataset/error.ts';

/** The same split for every training seed, so that runs with different seeds are judged on the same fragments. */
export const SPLIT_SEED = 20_250;

const TRAINING_LIMITS: Limits = { fileBytes: 256 * 1024, classBytes: 4 * 1024 * 1024, classFiles: 16 };
const HELD_OUT_LIMITS: Limits = { fileBytes: 256 * 1024, classBytes: 2 * 1024 * 1024, classFiles: 32 };

export interface FragmentOptions {
  /** A folder with one sub-folder a class. Without it the files in `node_modules` are classified by their kind. */
  directory?: string;
  /** Length of a fragment in bytes; each byte is one token from 0 to 255. */
  windowBytes: number;
  /** At least so many test fragments in all, the same number for each class. */
  testFragments: number;
  splitSeed?: number;
}

export interface Fragments {
  /** The fragments' bytes, one after the other. */
  tokens: Int32Array<ArrayBuffer>;
  /** An index into `classes` for each fragment. */
  labels: Int32Array<ArrayBuffer>;
}

export interface ClassSummary {
  className: string;
  trainingFiles: number;
  trainingBytes: number;
  heldOutFiles: number;
  heldOutBytes: number;
  /** Held-out files dropped because they repeat training files. */
  repeats: number;
}

export interface LeftOutClass {
  name: string;
  reason: string;
}

/**
 * Reads the files, divides them into training and held-out ones, and draws the test fragments.
 *
 * Files in `node_modules` are divided by package, a user's files by file. A held-out file that repeats training files is
 * dropped, and no test fragment stands anywhere in the training bytes. Everything depends on the names and contents of the
 * files and on `splitSeed` alone.
 *
 * @throws {DatasetError} the folder or a file in it cannot be used.
 * @throws {RangeError} `windowBytes` or `testFragments` is not a positive whole number.
 */
export async function loadFragments(options: FragmentOptions): Promise<FragmentDataset> {
  return datasetFrom(options.directory === undefined ? installedPackages() : folderSource(options.directory), options);
}

/** The files that are there after every install. */
export function installedPackages(): Source {
  return packageSource(fileURLToPath(new URL('../../node_modules', import.meta.url)));
}

/** The texts of one class: those to train on, and those held out, which no training text repeats. */
export interface LoadedClass {
  className: string;
  training: readonly Text[];
  heldOut: readonly Text[];
  /** Held-out files dropped because they repeat training files. */
  repeats: number;
}

/**
 * Reads and divides the files of every class that has enough of them.
 *
 * @param leaveOut told of each class that has not.
 */
export function loadTexts(
  source: Source,
  windowBytes: number,
  splitSeed: number,
  leaveOut: (name: string, reason: string) => void,
): LoadedClass[] {
  const usable = source.files.filter((file) => file.bytes >= windowBytes);
  const named = classesWithEnoughFiles(source, usable, windowBytes, leaveOut);
  const split = splitByGroup(
    usable.filter(({ className }) => named.includes(className)),
    splitSeed,
  );
  const ofClass = (files: readonly LabelledFile[], className: string) =>
    files.filter((file) => file.className === className);
  const classes = named.map((className) => ({
    className,
    training: readTexts(ofClass(split.training, className), windowBytes, TRAINING_LIMITS, splitSeed),
    heldOut: readTexts(ofClass(split.heldOut, className), windowBytes, HELD_OUT_LIMITS, splitSeed),
    repeats: 0,
  }));

  // Against the files of all classes: a source map that carries a script must not be tested on what the script taught.
  const training = classes.flatMap((one) => one.training);
  for (const one of classes) {
    const shares = repeatedShares(one.heldOut, training, windowBytes, splitSeed);
    const kept = one.heldOut.filter((_, index) => shares[index]! <= REPEATED_SHARE);
    one.repeats = one.heldOut.length - kept.length;
    one.heldOut = kept;
  }
  return classes;
}

/** The same for files listed by the caller. */
export function datasetFrom(source: Source, options: Omit<FragmentOptions, 'directory'>): FragmentDataset {
  const { windowBytes, testFragments, splitSeed = SPLIT_SEED } = options;
  for (const [name, value] of Object.entries({ windowBytes, testFragments })) {
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`${name} must be a positive whole number, got ${value}`);
  }
  const leftOut: LeftOutClass[] = [];
  const leaveOut = (name: string, reason: string) => leftOut.push({ name, reason });
  const classes = loadTexts(source, windowBytes, splitSeed, leaveOut);
  const training = classes.flatMap((one) => one.training);

  let remaining = classes.filter(({ className, heldOut, training, repeats }) => {
    const enough = heldOut.length >= MINIMUM_HELD_OUT && training.length >= MINIMUM_TRAINING;
    if (!enough) {
      const dropped = repeats === 0 ? '' : ` after ${repeats} that repeat training files were dropped`;
      leaveOut(
        className,
        `${heldOut.length} held-out and ${training.length} training files${dropped}, divided by ${source.groupedBy}; ` +
          `at least ${MINIMUM_HELD_OUT} and ${MINIMUM_TRAINING} are needed`,
      );
    }
    return enough;
  });

  // Fewer classes mean more fragments of each, which another class may not have: repeat until all have enough.
  for (;;) {
    requireTwoClasses(source, remaining.length, leftOut);
    const perClass = Math.ceil(testFragments / remaining.length);
    const heldOut = new Map(remaining.map((one) => [one.className, one.heldOut]));
    const fragments = drawTestFragments(heldOut, training, perClass, windowBytes, splitSeed);
    const short = remaining.filter(({ className }) => fragments.get(className)!.length < perClass);
    if (short.length === 0) {
      return new FragmentDataset(source, windowBytes, remaining, fragments, leftOut);
    }
    for (const { className } of short) {
      leaveOut(
        className,
        `its held-out files give ${fragments.get(className)!.length} distinct fragments that no training file holds; ` +
          `${perClass} are needed`,
      );
    }
    remaining = remaining.filter((one) => !short.includes(one));
  }
}

/** Training batches and fixed test fragments of a classification of bytes. */
export class FragmentDataset {
  readonly classes: readonly string[];
  readonly leftOut: readonly LeftOutClass[];
  readonly summaries: readonly ClassSummary[];
  readonly windowBytes: number;
  /** From held-out files only, distinct, balanced; class follows class in turn, so that any first part is balanced too. */
  readonly test: Fragments & { count: number };
  readonly #title: string;
  readonly #training: readonly (readonly Text[])[];

  constructor(
    source: Source,
    windowBytes: number,
    classes: readonly LoadedClass[],
    fragments: ReadonlyMap<string, readonly Uint8Array[]>,
    leftOut: readonly LeftOutClass[],
  ) {
    this.#title = source.title;
    this.#training = classes.map(({ training }) => training);
    this.classes = classes.map(({ className }) => className);
    this.leftOut = leftOut;
    this.windowBytes = windowBytes;
    this.summaries = classes.map(({ className, training, heldOut, repeats }) => ({
      className,
      trainingFiles: training.length,
      trainingBytes: totalBytes(training),
      heldOutFiles: heldOut.length,
      heldOutBytes: totalBytes(heldOut),
      repeats,
    }));
    const perClass = fragments.get(this.classes[0]!)!.length;
    const count = perClass * this.classes.length;
    const windows = Array.from({ length: count }, (_, index) => {
      const className = this.classes[index % this.classes.length]!;
      return fragments.get(className)![Math.floor(index / this.classes.length)]!;
    });
    this.test = {
      count,
      tokens: Int32Array.from(joined(windows, windowBytes)),
      labels: Int32Array.from(windows, (_, index) => index % this.classes.length),
    };
  }

  /**
   * The batch of one step: for each fragment a class, a file of it and a place in it, each uniform. Depends on seed and step
   * alone, not on what was asked for before. Windows of one repeated byte are avoided.
   */
  trainingBatch(seed: number, step: number, batchSize: number): Fragments {
    const labels = new Int32Array(batchSize);
    const tokens = new Int32Array(batchSize * this.windowBytes);
    for (let index = 0; index < batchSize; index++) {
      const label = randomBelow(this.classes.length, Stream.training, seed, step, index);
      labels[index] = label;
      const window = drawWindow(this.#training[label]!, this.windowBytes, Stream.training, seed, step, index, 1);
      tokens.set(window, index * this.windowBytes);
    }
    return { tokens, labels };
  }

  /** A short table for the terminal, and a line for each class left out. */
  describe(): string {
    const perClass = this.test.count / this.classes.length;
    const table = formatTable({
      columns: [
        { title: this.#title },
        { title: 'training files' },
        { title: 'size' },
        { title: 'held-out files' },
        { title: 'size' },
        { title: 'repeats dropped' },
        { title: 'test fragments' },
      ],
      rows: this.summaries.map((one) => [
        one.className,
        String(one.trainingFiles),
        formatBytes(one.trainingBytes),
        String(one.heldOutFiles),
        formatBytes(one.heldOutBytes),
        String(one.repeats),
        String(perClass),
      ]),
    });
    return [table, ...this.leftOut.map(({ name, reason }) => `left out: ${name} (${reason})`)].join('\n');
  }
}

function classesWithEnoughFiles(
  source: Source,
  usable: readonly LabelledFile[],
  windowBytes: number,
  leaveOut: (name: string, reason: string) => void,
): string[] {
  const counts = countClasses(usable);
  const minimum = MINIMUM_HELD_OUT + MINIMUM_TRAINING;
  return source.classes.filter((className) => {
    const count = counts.get(className) ?? 0;
    if (count >= minimum) return true;
    const reason = `${count} ${count === 1 ? 'file' : 'files'} of at least ${windowBytes} bytes; at least ${minimum} are needed`;
    // A user can add files or take the folder away; what npm installed is as it is.
    if (source.groupedBy === 'file') throw new DatasetError(`${source.title}: class '${className}' has ${reason}`);
    leaveOut(className, reason);
    return false;
  });
}

function requireTwoClasses(source: Source, count: number, leftOut: readonly LeftOutClass[]): void {
  if (count >= 2) return;
  const reasons = leftOut.map(({ name, reason }) => `\n  ${name}: ${reason}`).join('');
  throw new DatasetError(`${source.title}: at least two classes are needed, ${count} can be used. Left out:${reasons}`);
}

function totalBytes(texts: readonly Text[]): number {
  return texts.reduce((sum, text) => sum + text.loadedBytes, 0);
}
