import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

const script = fileURLToPath(new URL('../../../experiments/language-model/wordnet-questions.ts', import.meta.url));

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
  execFileSync(process.execPath, ['--import', 'tsx', script, '--wordnet', wordnet, '--out', out]);
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
    ...['--import', 'tsx', script, '--wordnet', wordnet, '--out', out],
    ...['--task', 'kinds', '--train', '5', '--valid', '2', '--test', '3'],
  ]);
  const [{ choices, answer }, ...others] = readFileSync(join(out, 'train.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  // The file of the lexicographers is that of artifacts.
  expect([choices[answer], others.length]).toEqual(['artifact', 4]);
});
