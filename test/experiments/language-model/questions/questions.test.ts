import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder, writeFiles } from '../../../temporary-folder.ts';

const script = fileURLToPath(new URL('../../../../experiments/language-model/questions/questions.ts', import.meta.url));

test('questions are about common nouns, each in one split, with the right answer in its place', () => {
  const [wordnet, out] = [temporaryFolder(), temporaryFolder()];
  const word = (i: number) => `w${[...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('')}xx`;
  const count = 3300;
  const offset = (i: number) => String(i).padStart(8, '0');
  const numbers = Array.from({ length: count }, (_, i) => i);
  writeFiles(wordnet, {
    'index.sense': numbers.map((i) => `${word(i)}%1:06:00:: ${offset(i)} 1 ${i < 3200 ? 3 : 0}`).join('\n'),
    'data.noun': `  1 a licence\n${numbers.map((i) => `${offset(i)} 06 n 01 ${word(i)} 0 000 | the thing of number ${word(i)}; "an example"  `).join('\n')}\n`,
  });
  execFileSync(process.execPath, ['--import', 'tsx', script, '--from', wordnet, '--out', out]);
  const seen = new Set<string>();
  for (const [name, items] of [
    ['train', 2400],
    ['valid', 300],
    ['test', 400],
  ] as const) {
    const lines = readFileSync(join(out, `${name}.jsonl`), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(items);
    for (const line of lines) {
      const { question, choices, answer } = JSON.parse(line);
      const [, asked] = /"(.*)"/.exec(question) ?? [];
      expect(seen).not.toContain(asked);
      seen.add(asked);
      expect(choices[answer]).toBe(`the thing of number ${asked}`);
      expect(new Set(choices).size).toBe(4);
    }
  }
  // Those without a count in texts are left out.
  expect(numbers.slice(3200).filter((i) => seen.has(word(i)))).toEqual([]);

  execFileSync(process.execPath, [
    ...['--import', 'tsx', script, '--from', wordnet, '--out', out],
    ...['--task', 'kinds', '--train', '5', '--valid', '2', '--test', '3'],
  ]);
  const [{ choices, answer }, ...others] = readFileSync(join(out, 'train.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  // The file of the lexicographers is that of artifacts.
  expect([choices[answer], others.length]).toEqual(['artifact', 4]);
});

test('sections: one package of a source, described in English, in a section that is asked for', () => {
  const folder = temporaryFolder();
  const record = (fields: Readonly<Record<string, string>>) =>
    Object.entries(fields)
      .map(([key, value]) => `${key}: ${value}`)
      .join('\n');
  writeFiles(folder, {
    'packages.txt': [
      record({ Package: 'chess', Section: 'games', 'Description-en': 'plays chess\n in the terminal' }),
      record({ Package: 'chess-data', Source: 'chess (1.2)', Section: 'games', Description: 'pieces' }),
      record({ Package: 'libchess', Source: 'another', Section: 'libs', Description: 'no section to ask for' }),
      record({ Package: 'long', Section: 'games', Description: 'this says far more than is needed' }),
      record({ Package: 'post', Section: 'mail', Description: 'sends letters' }),
      record({ Package: 'sums', Section: 'math', Description: 'adds numbers' }),
    ].join('\n\n'),
  });
  expect(asked('sections', join(folder, 'packages.txt'))).toEqual([
    ['adds numbers', 'mathematics'],
    ['plays chess', 'games'],
    ['sends letters', 'mail'],
  ]);
});

test('countries: towns whose name one country has alone', () => {
  const folder = temporaryFolder();
  const towns = { Bordeaux: ['FR'], Valencia: ['ES', 'PH'], Puebla: ['MX'], Kyoto: ['JP'], Torino: ['IT', 'IT'] };
  const listed = Object.entries(towns).flatMap(([name, codes]) => codes.map((country) => ({ name, country })));
  writeFiles(folder, { 'cities.json': JSON.stringify(listed) });
  expect(asked('countries', join(folder, 'cities.json'))).toEqual([
    ['Bordeaux', 'France'],
    ['Kyoto', 'Japan'],
    ['Torino', 'Italy'],
  ]);
});

/** The three questions that can be asked, and their right answers, by the alphabet. */
function asked(task: string, from: string): string[][] {
  const out = temporaryFolder();
  const counts = ['--train', '1', '--valid', '1', '--test', '1'];
  execFileSync(process.execPath, ['--import', 'tsx', script, '--task', task, '--from', from, '--out', out, ...counts]);
  return ['train', 'valid', 'test']
    .map((name) => {
      const { question, choices, answer } = JSON.parse(readFileSync(join(out, `${name}.jsonl`), 'utf8'));
      return [question, choices[answer]];
    })
    .sort();
}
