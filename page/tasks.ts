/** What the small transformer learns: four tasks that one understands at a glance. */
import { ArgumentError, Random, type TransformerConfig } from '../src/index.ts';
import type { TaskData, TaskName } from './protocol.ts';
import { mostFiles } from './settings.ts';

/** Positions whose target this is do not count. */
export const noTarget = -100;

/** One input, and what is right at each position; of a classifier one class. */
export interface Example {
  tokens: readonly number[];
  targets: readonly number[];
}

export interface Task {
  explanation: string;
  vocabulary: number;
  head: TransformerConfig['head'];
  /** Tokens of every input. */
  length: number;
  /** How many of them are given when the model is to go on by itself. */
  given: number;
  example(random: Random, part: 'training' | 'held-out'): Example;
  /** The character that stands for a token. */
  character(token: number): string;
  /** Of a classifier, the name of a class. */
  className(index: number): string;
}

/** @throws ArgumentError where the data are not enough to learn from, in words for the user. */
export function makeTask(name: TaskName, data: TaskData): Task {
  switch (name) {
    case 'sort':
      return rewriting({
        explanation: `${sortedLetters} letters of ${alphabetOfSort.length} go in at random; the model writes them in order.`,
        alphabet: alphabetOfSort,
        draw: (random) => Array.from({ length: sortedLetters }, () => random.integer(alphabetOfSort.length)),
        rewrite: (letters) => letters.toSorted((a, b) => a - b),
      });
    case 'reverse':
      return rewriting({
        explanation: `A made-up word of ${reversedLetters} letters goes in; the model writes it from its end.`,
        alphabet: alphabetOfReverse,
        draw: (random) =>
          Array.from({ length: reversedLetters }, (_, i) => {
            const letters = i % 2 === 0 ? consonants : vowels;
            return alphabetOfReverse.indexOf(letters[random.integer(letters.length)]);
          }),
        rewrite: (letters) => letters.toReversed(),
      });
    case 'text':
      return nextLetters(data.text);
    case 'files':
      return whichFile(data.files);
  }
}

const sortedLetters = 5;
const alphabetOfSort = 'abcdefgh';
const reversedLetters = 6;
const alphabetOfReverse = 'abcdefghijklmnopqrstuvwxyz';
const vowels = 'aeiou';
const consonants = [...alphabetOfReverse].filter((letter) => !vowels.includes(letter)).join('');

interface Rewriting {
  explanation: string;
  alphabet: string;
  draw(random: Random): number[];
  rewrite(letters: readonly number[]): number[];
}

/** Letters, a sign, and the letters as they should become: what follows the sign is to be told in advance, one after the other. */
function rewriting({ explanation, alphabet, draw, rewrite }: Rewriting): Task {
  const sign = alphabet.length;
  const { length: letters } = draw(new Random(0));
  return {
    ...{ explanation, vocabulary: alphabet.length + 1, head: 'language-model' },
    length: 2 * letters,
    given: letters + 1,
    example(random, part) {
      let drawn = draw(random);
      while (isHeldOut(drawn) !== (part === 'held-out')) drawn = draw(random);
      const written = rewrite(drawn);
      return {
        tokens: [...drawn, sign, ...written.slice(0, -1)],
        targets: [...drawn.map(() => noTarget), ...written],
      };
    },
    character: (token) => (token === sign ? '→' : alphabet[token]),
    className: String,
  };
}

/** A tenth of all inputs, by a hash of them. */
function isHeldOut(letters: readonly number[]): boolean {
  const hash = letters.reduce((sum, letter) => Math.imul(sum ^ (letter + 1), 0x01000193), 0x811c9dc5);
  return ((hash ^ (hash >>> 15)) >>> 0) % 10 === 0;
}

const windowLength = 32;
/** Of a text that is cut into a part to train on and a tenth that is held out. */
const fewestCharacters = 20 * windowLength;
const mostDistinct = 96;
const unknown = '□';

function nextLetters(text: string): Task {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  if (characters.length < fewestCharacters) {
    const found = characters.length === 0 ? 'is empty' : `has ${characters.length} characters`;
    throw new ArgumentError(`the text ${found}: paste at least ${fewestCharacters}`);
  }
  const counts = new Map<string, number>();
  for (const each of characters) counts.set(each, (counts.get(each) ?? 0) + 1);
  const common = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, mostDistinct);
  const alphabet = [...common.map(([each]) => each), unknown];
  const numbers = new Map(alphabet.map((each, i) => [each, i]));
  const tokens = characters.map((each) => numbers.get(each) ?? alphabet.length - 1);
  return {
    explanation: `${windowLength} characters of your text go in; after each the model says which comes next. The last tenth is held out.`,
    vocabulary: alphabet.length,
    head: 'language-model',
    length: windowLength,
    given: windowLength / 2,
    example(random, part) {
      const window = windowOf(tokens, part, windowLength + 1, random);
      return { tokens: window.slice(0, -1), targets: window.slice(1) };
    },
    character: (token) => alphabet[token],
    className: String,
  };
}

const fewestBytes = 20 * windowLength;

function whichFile(files: TaskData['files']): Task {
  if (files.length < 2 || files.length > mostFiles) {
    const found = files.length === 0 ? 'no file is' : files.length === 1 ? 'one file is' : `${files.length} files are`;
    throw new ArgumentError(`${found} there: drop 2 to ${mostFiles}, which the model is to tell apart`);
  }
  const short = files.find(({ bytes }) => bytes.length < fewestBytes);
  if (short) {
    throw new ArgumentError(`${short.name} has ${short.bytes.length} bytes: at least ${fewestBytes} are needed`);
  }
  return {
    explanation: `${windowLength} bytes go in; the model says which of your ${files.length} files they come from. The last tenth of each is held out.`,
    vocabulary: 256,
    head: { classes: files.length },
    length: windowLength,
    given: windowLength,
    example(random, part) {
      const index = random.integer(files.length);
      return { tokens: [...windowOf(files[index].bytes, part, windowLength, random)], targets: [index] };
    },
    character: (token) => (token > 0x20 && token < 0x7f ? String.fromCharCode(token) : '·'),
    className: (index) => files[index].name,
  };
}

/** A window of the first nine tenths, or of the last. */
function windowOf<Values extends { length: number; slice(from: number, to: number): Values }>(
  values: Values,
  part: 'training' | 'held-out',
  length: number,
  random: Random,
): Values {
  const cut = Math.floor(0.9 * values.length);
  const [from, to] = part === 'training' ? [0, cut] : [cut, values.length];
  const start = from + random.integer(to - from - length + 1);
  return values.slice(start, start + length);
}
