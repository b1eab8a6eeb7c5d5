/** Synthetic tasks. */

import { Random } from '../../../src/index.ts';
import { type Items, itemsOf } from '../../data/items.ts';
import { randomWord, textKey } from '../../data/random.ts';
import { heldOutItems, type Part, type Task, vocabulary, windowLength } from './task.ts';

export const sequenceTaskNames = ['majority', 'contains', 'noisy-majority', 'parity'] as const;
type SequenceTaskName = (typeof sequenceTaskNames)[number];

interface Item {
  tokens: number[];
  label: number;
}

interface SequenceTaskDefinition extends Pick<Task, 'character' | 'description' | 'classes'> {
  /** One item, of the class `wanted` but for noise in the label. */
  draw(random: Random, wanted: number): Item;
}

const letters = 4;
const labelNoise = 0.25;
/** With three, a model of this size stayed at chance for 2,000 steps. */
const parityBits = 2;

/** Tokens 0 … letters - 1 at random, one of them more often than every other. */
function majorityItem(random: Random, wanted: number): Item {
  for (;;) {
    const tokens = Array.from({ length: windowLength }, () => random.integer(letters));
    const counts = Array.from({ length: letters }, (_, letter) => tokens.filter((token) => token === letter).length);
    const most = Math.max(...counts);
    if (counts.filter((count) => count === most).length > 1) continue;
    // Renaming the letters makes any majority the wanted one.
    const shift = wanted - counts.indexOf(most) + letters;
    return { tokens: tokens.map((token) => (token + shift) % letters), label: wanted };
  }
}

const definitions: Readonly<Record<SequenceTaskName, SequenceTaskDefinition>> = {
  majority: {
    character: 'solved',
    description: `Which of ${letters} letters stands most often among 32?`,
    classes: Array.from({ length: letters }, (_, letter) => `letter ${letter}`),
    draw: majorityItem,
  },
  contains: {
    character: 'solved',
    description: 'Does the letter 0 stand among 32 letters?',
    classes: ['no', 'yes'],
    draw(random, wanted) {
      const tokens = Array.from({ length: windowLength }, () => 1 + random.integer(vocabulary.sequences - 1));
      if (wanted === 1) tokens[random.integer(windowLength)] = 0;
      return { tokens, label: wanted };
    },
  },
  'noisy-majority': {
    character: 'noisy',
    description: `Which of ${letters} letters stands most often among 32? A quarter of the labels, in every split, are drawn at random.`,
    classes: Array.from({ length: letters }, (_, letter) => `letter ${letter}`),
    draw(random, wanted) {
      const item = majorityItem(random, wanted);
      return random.uniform() < labelNoise ? { ...item, label: random.integer(letters) } : item;
    },
  },
  parity: {
    character: 'late-jump',
    description: `${parityBits} bits stand at random places among other letters: is the number of ones even or odd?`,
    classes: ['even', 'odd'],
    draw(random, wanted) {
      const tokens = Array.from({ length: windowLength }, () => 2 + random.integer(vocabulary.sequences - 2));
      const bits = Array.from({ length: parityBits }, () => random.integer(2));
      const isOdd = bits.reduce((sum, bit) => sum + bit, 0) % 2;
      if (isOdd !== wanted) bits[0] ^= 1;
      for (const bit of bits) {
        let place = random.integer(windowLength);
        while (tokens[place] < 2) place = random.integer(windowLength);
        tokens[place] = bit;
      }
      return { tokens, label: wanted };
    },
  },
};

export function sequenceTask(name: SequenceTaskName): Task {
  const { draw, ...definition } = definitions[name];
  const stream = textKey(name);
  const classes = definition.classes.length;
  const drawOf = (part: Part, random: Random, wanted: number): Item => {
    for (;;) {
      const item = draw(random, wanted);
      if (partOf(item.tokens) === part) return item;
    }
  };
  const heldOut = (part: 'validation' | 'test'): Items => {
    const random = new Random(randomWord(stream, textKey(part)));
    const items = new Map<string, Item>();
    while (items.size < heldOutItems[part]) {
      const item = drawOf(part, random, items.size % classes);
      const content = item.tokens.join();
      if (!items.has(content)) items.set(content, item);
    }
    return itemsOf([...items.values()]);
  };
  return {
    ...{ name, base: 'sequences', ...definition },
    test: heldOut('test'),
    validation: heldOut('validation'),
    trainingBatch(seed, step, batch) {
      const random = new Random(randomWord(stream, seed), step);
      return itemsOf(Array.from({ length: batch }, () => drawOf('training', random, random.integer(classes))));
    },
  };
}

/** The part a sequence belongs to, by a hash of it: a tenth each is held out, whatever draws it. */
export function partOf(tokens: readonly number[]): Part {
  const tenth = randomWord(...tokens) % 10;
  return tenth === 0 ? 'validation' : tenth === 1 ? 'test' : 'training';
}
