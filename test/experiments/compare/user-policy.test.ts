import { expect, test } from 'vitest';
import { OptionError } from '../../../command/options.ts';
import { userArms } from '../../../experiments/compare/arms.ts';
import fromBelow from '../../../experiments/compare/example-policy.ts';
import { armNameOf, loadPolicy } from '../../../experiments/compare/user-policy.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

const example = new URL('../../../experiments/compare/example-policy.ts', import.meta.url).pathname;

test('the function of a file is loaded, and named after it', async () => {
  expect(await loadPolicy(example)).toBe(fromBelow);
  expect(armNameOf(example)).toBe('example-policy');
  expect(userArms('mine').map(({ name, rule }) => [name, rule])).toEqual([
    ['mine', undefined],
    ...['plain-stop', 'short-cosine', 'short-cosine-2x', 'all-at-once', 'random-matrices', 'reversed', 'plateau'].map(
      (control) => [`mine-${control}`, 'mine'],
    ),
  ]);
});

test.each([
  ['nothing.mjs', null, /cannot be loaded/],
  ['broken.mjs', 'export default (', /cannot be loaded/],
  ['silent.mjs', 'export const rule = 1;', /must export a function by default/],
  ['number.mjs', 'export default 7;', /must export a function by default/],
  ['full.mjs', 'export default () => ({});', /would be the arm full, which there is already/],
  ['a,b.mjs', 'export default () => ({});', /has a comma in its name/],
])('%s is refused', async (name, content, message) => {
  const folder = temporaryFolder();
  if (content !== null) writeFiles(folder, { [name]: content });
  const refused = loadPolicy(`${folder}/${name}`);
  await expect(refused).rejects.toThrow(OptionError);
  await expect(refused).rejects.toThrow(message);
  await expect(refused).rejects.toThrow('npm run compare -- --help');
});
