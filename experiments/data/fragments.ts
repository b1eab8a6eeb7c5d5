/** The data of `npm start`: short fragments of files, each with the kind of file it was cut from. */

import { formatBytes } from '../../command/format.ts';
import { tableOf, textTable } from '../../command/text-table.ts';
import { DatasetError, folderSource, installedPackages, type Source } from './files.ts';
import { drawHeldOut } from './held-out.ts';
import { classAfterClass, type Items, itemsOf } from './items.ts';
import { randomBelow, Stream, textKey } from './random.ts';
import {
  drawWindow,
  isConstant,
  type LeftOutClass,
  type LoadedClass,
  loadTexts,
  splitSeed,
  type Text,
} from './texts.ts';

export interface FragmentOptions {
  /** A folder with one sub-folder a class; null for the files in `node_modules`, classified by their kind. */
  readonly directory: string | null;
  /** Length of a fragment in bytes; each byte is one token from 0 to 255. */
  readonly windowBytes: number;
  /** So many test fragments in all, rounded up to the same number for each class; fewer where a class does not give them. */
  readonly testFragments: number;
}

/**
 * Reads the files, divides them into training and held-out ones, and draws the test fragments.
 *
 * Files in `node_modules` are divided by package, a user's files by file. A held-out file that repeats training files is
 * dropped, and no test fragment stands anywhere in the training bytes. Everything depends on the names and contents of the
 * files alone.
 *
 * @throws {DatasetError} the folder or a file in it cannot be used.
 */
export function loadFragments({ directory, ...options }: FragmentOptions): FragmentDataset {
  return fragmentsOf(directory === null ? installedPackages() : folderSource(directory), options);
}

/** The same for files listed by the caller. */
export function fragmentsOf(source: Source, { windowBytes, testFragments }: Omit<FragmentOptions, 'directory'>) {
  const { classes, leftOut } = loadTexts(source, windowBytes);
  const perClass = Math.ceil(testFragments / Math.max(1, classes.length));
  const drawn = drawHeldOut({
    ...{ classes: classes.length, perClass, rounds: 8, training: classes.flatMap((each) => each.training) },
    draw: (label, missing, round) =>
      Array.from({ length: Math.ceil(missing * 1.25) + 32 }, (_, draw) => {
        const { className, heldOut } = classes[label];
        return drawWindow(heldOut, windowBytes, Stream.test, splitSeed, textKey(className), round, draw);
      }).filter((window) => !isConstant(window)),
  });
  const isEnough = drawn.map(({ length }) => length === perClass);
  for (const [label, { className: name }] of classes.entries()) {
    const reason = `its held-out files give ${drawn[label].length} distinct fragments that no training file holds; ${perClass} are needed`;
    if (!isEnough[label]) leftOut.push({ name, reason });
  }
  const usable = classes.filter((_, label) => isEnough[label]);
  if (usable.length < 2) {
    const reasons = leftOut.map(({ name, reason }) => `\n  ${name}: ${reason}`).join('');
    throw new DatasetError(
      `${source.title}: at least two classes are needed, ${usable.length} can be used. Left out:${reasons}`,
    );
  }
  const fragments = drawn.filter((_, label) => isEnough[label]);
  return dataset(source.title, windowBytes, usable, fragments, leftOut);
}

export type FragmentDataset = ReturnType<typeof dataset>;

function dataset(
  title: string,
  windowBytes: number,
  texts: readonly LoadedClass[],
  drawn: readonly (readonly Uint8Array[])[],
  leftOut: readonly LeftOutClass[],
) {
  const classes = texts.map(({ className }) => className);
  const perClass = drawn[0].length;
  return {
    classes,
    texts,
    leftOut,
    /** From held-out files only. */
    test: classAfterClass(drawn),

    /**
     * The batch of one step: for each fragment a class, a file of it and a place in it, each uniform. Depends on seed and
     * step alone, not on what was asked for before. Windows of one repeated byte are avoided.
     */
    trainingBatch(seed: number, step: number, batch: number): Items {
      return itemsOf(
        Array.from({ length: batch }, (_, i) => {
          const label = randomBelow(classes.length, Stream.training, seed, step, i);
          const tokens = drawWindow(texts[label].training, windowBytes, Stream.training, seed, step, i, 1);
          return { label, tokens };
        }),
      );
    },

    /** A short table for the terminal, and a line for each class left out. */
    describe(): string {
      const inWords = (some: readonly Text[]) =>
        `${some.length} (${formatBytes(some.reduce((sum, text) => sum + text.loadedBytes, 0))})`;
      const table = tableOf(texts, 1, {
        [title]: ({ className }) => className,
        'training files': ({ training }) => inWords(training),
        'held-out files': ({ heldOut }) => inWords(heldOut),
        'repeats dropped': ({ repeats }) => `${repeats}`,
        'test fragments': () => `${perClass}`,
      });
      return [textTable(table), ...leftOut.map(({ name, reason }) => `left out: ${name} (${reason})`)].join('\n');
    },
  };
}
