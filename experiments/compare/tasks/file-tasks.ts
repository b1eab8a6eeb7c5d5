/** Tasks on the files of `node_modules`. */

import { drawHeldOut } from '../../data/held-out.ts';
import { classAfterClass, type Items, itemsOf } from '../../data/items.ts';
import { randomBelow, textKey } from '../../data/random.ts';
import { drawFrom, fileKinds } from './file-texts.ts';
import { heldOutItems, type Part, type Task, windowLength } from './task.ts';

export const fileTaskNames = ['file-kind', 'next-byte', 'shuffled', 'reversed'] as const;
type FileTaskName = (typeof fileTaskNames)[number];

/** An item of the given class from the texts of one part; null where the window drawn does not give one. */
type MakeItem = (label: number, part: Part, key: readonly number[]) => Uint8Array | null;

interface FileTaskDefinition extends Pick<Task, 'character' | 'description' | 'classes'> {
  makeItem: MakeItem;
}

const groupLength = 4;
const byteKinds = ['lower-case letter', 'capital or digit', 'white space', 'punctuation'] as const;

function definitionOf(name: FileTaskName): FileTaskDefinition {
  const kinds = fileKinds();
  const written = kinds.filter((kind) => kind.name !== 'native code' && kind.name !== 'source maps');
  const fromAny = (part: Part, key: readonly number[]) => {
    const kind = written[randomBelow(written.length, ...key, 0)];
    return drawFrom(kind[part], ...key, 1);
  };
  switch (name) {
    case 'file-kind':
      return {
        character: 'noisy',
        description: 'Which kind of file do these 32 bytes come from?',
        classes: kinds.map((kind) => kind.name),
        makeItem: (label, part, key) => drawFrom(kinds[label][part], ...key).subarray(0, windowLength),
      };
    case 'next-byte':
      return {
        character: 'noisy',
        description: 'Of which kind is the byte that follows these 32?',
        classes: byteKinds,
        makeItem(label, part, key) {
          const window = fromAny(part, key);
          return byteKind(window[windowLength]) === label ? window.subarray(0, windowLength) : null;
        },
      };
    case 'shuffled':
      return {
        character: 'plain',
        description: 'Do these 32 bytes stand in their order, or was each group of four shuffled?',
        classes: ['in order', 'shuffled'],
        makeItem(label, part, key) {
          const window = fromAny(part, key).subarray(0, windowLength);
          return label === 0 ? window : shuffledGroups(window, key);
        },
      };
    case 'reversed':
      return {
        character: 'plain',
        description: 'Do these 32 bytes run forwards or backwards?',
        classes: ['forwards', 'backwards'],
        makeItem(label, part, key) {
          const window = fromAny(part, key).subarray(0, windowLength);
          return label === 0 ? window : Uint8Array.from(window).reverse();
        },
      };
  }
}

export function fileTask(name: FileTaskName): Task {
  const { makeItem, ...definition } = definitionOf(name);
  const classes = definition.classes.length;
  const stream = textKey(name);
  const seen = new Set<string>();
  return {
    ...{ name, base: 'files', ...definition },
    // Test items are drawn first; validation leaves out what they hold.
    test: heldOut(makeItem, classes, 'test', stream, seen),
    validation: heldOut(makeItem, classes, 'validation', stream, seen),
    trainingBatch(seed, step, batch) {
      return itemsOf(
        Array.from({ length: batch }, (_, i) => {
          const key = [stream, seed, step, i];
          const label = randomBelow(classes, ...key);
          return { label, tokens: itemOf(makeItem, label, 'training', key) };
        }),
      );
    },
  };
}

/** Each group in one of its orders, drawn by the key. */
function shuffledGroups(window: Uint8Array, key: readonly number[]): Uint8Array {
  const result = Uint8Array.from(window);
  for (let start = 0; start < windowLength; start += groupLength) {
    for (let i = groupLength - 1; i > 0; i--) {
      const j = randomBelow(i + 1, ...key, start, i);
      [result[start + i], result[start + j]] = [result[start + j], result[start + i]];
    }
  }
  return result;
}

const attempts = 1000;

function itemOf(makeItem: MakeItem, label: number, part: Part, key: readonly number[]): Uint8Array {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const item = makeItem(label, part, [...key, attempt]);
    if (item) return item;
  }
  throw new RangeError(`no item of class ${label} among ${attempts} windows of the ${part} files`);
}

function heldOut(
  makeItem: MakeItem,
  classes: number,
  part: 'validation' | 'test',
  stream: number,
  seen: Set<string>,
): Items {
  const perClass = Math.ceil(heldOutItems[part] / classes);
  const drawn = drawHeldOut({
    ...{ classes, perClass, rounds: 20, seen },
    training: fileKinds().flatMap(({ training }) => training),
    draw: (label, missing, round) =>
      Array.from({ length: 2 * missing }, (_, i) =>
        itemOf(makeItem, label, part, [stream, textKey(part), round, label, i]),
      ),
  });
  if (drawn.every(({ length }) => length === perClass)) return classAfterClass(drawn);
  throw new RangeError(`the ${part} files do not hold ${perClass} distinct items of each class`);
}

/** An index into `byteKinds`; bytes beyond ASCII count as letters. */
function byteKind(byte: number): number {
  if (byte <= 0x20) return 2;
  const character = String.fromCharCode(byte);
  if (/[A-Z0-9]/.test(character)) return 1;
  return byte > 0x7e || /[a-z]/.test(character) ? 0 : 3;
}
