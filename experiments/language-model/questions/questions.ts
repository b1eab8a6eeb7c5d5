/** Multiple-choice questions to fine-tune on and to score, made of what package registries hold. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError, oneOf, readOptions, text, wholeNumber } from '../../../command/options.ts';
import { runCommand } from '../../../command/run.ts';
import { Random } from '../../../src/index.ts';
import { DatasetError } from '../../data/files.ts';
import { countries } from './countries.ts';
import { sections } from './sections.ts';
import type { Fact, Subject } from './subject.ts';
import { kinds, meanings } from './wordnet.ts';

const command = 'npx tsx experiments/language-model/questions/questions.ts';
const subjects: Readonly<Record<string, Subject>> = { meanings, kinds, sections, countries };
/** Where choices are drawn. */
const drawnChoices = 4;

await runCommand(async () => {
  const options = readOptions({
    command,
    about: 'Writes train.jsonl, valid.jsonl and test.jsonl. No question is in two of them.',
    argv: process.argv.slice(2),
    options: {
      task: oneOf(Object.keys(subjects), { default: 'meanings', help: 'what is asked' }),
      from: text({ placeholder: 'PATH', help: 'where it stands', defaultText: 'as below' }),
      out: text({ placeholder: 'DIR', help: 'folder for the three files' }),
      train: wholeNumber({ from: 1, to: 1e4, default: 2400, help: 'questions in train.jsonl' }),
      valid: wholeNumber({ from: 1, to: 1e4, default: 300, help: 'questions in valid.jsonl' }),
      test: wholeNumber({ from: 1, to: 1e4, default: 400, help: 'questions in test.jsonl' }),
      seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 1, help: 'of the choice and order' }),
    },
    notes: Object.entries(subjects)
      .map(([name, { about, defaultPath }]) => `${name}: ${about} (${defaultPath})`)
      .join('\n'),
  });
  if (!options) return;
  const { out, seed, task, train, valid, test } = options;
  if (out === null) throw new OptionError('--out must be given: a folder', command);
  const subject = subjects[task];
  const from = options.from ?? subject.defaultPath;
  const facts = subject.read(from);
  const counts = { train, valid, test };
  const random = new Random(seed);
  const draw = <T>(from: T[]): T => from.splice(random.integer(from.length), 1)[0];
  mkdirSync(out, { recursive: true });
  for (const [name, count] of Object.entries(counts)) {
    if (facts.length < count) throw new DatasetError(`${from} has too few questions of ${task}`);
    const own = Array.from({ length: count }, () => draw(facts));
    const lines = own.map(({ question, right }) => {
      const choices = subject.choices ?? choicesFor(right, own);
      return JSON.stringify({ question, choices, answer: choices.indexOf(right) });
    });
    writeFileSync(join(out, `${name}.jsonl`), `${lines.join('\n')}\n`);
  }
  console.log(
    `${Object.entries(counts)
      .map(([name, count]) => `${count} in ${name}.jsonl`)
      .join(', ')}, below ${out}`,
  );

  function choicesFor(right: string, own: readonly Fact[]): string[] {
    const others = own.filter((each) => each.right !== right);
    const choices = Array.from({ length: drawnChoices - 1 }, () => draw(others).right);
    choices.splice(random.integer(drawnChoices), 0, right);
    return choices;
  }
});
