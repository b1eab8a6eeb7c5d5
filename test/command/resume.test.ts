import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OptionError, outputFile, readOptions, text, wholeNumber } from '../../command/options.ts';
import { readLineOfRun } from '../../command/resume.ts';
import { RunFolder, RunFolderError } from '../../command/run-folder.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const options = { steps: wholeNumber({ from: 1, to: 9, default: 5 }), resume: text({}), json: outputFile({}) };
const read = (argv: readonly string[]) => readOptions({ command: 'npm start', about: 'Trains.', options, argv });
const lineOfRun = (...argv: string[]) => readLineOfRun('npm start', argv, read);

test('a run that is begun has the line at hand, one that goes on has its own', () => {
  const folder = temporaryFolder();
  const [path, json, other] = ['run', 'a.json', 'b.json'].map((name) => join(folder, name));
  const line = ['--steps', '3', '--json', json];
  expect(lineOfRun(...line)).toEqual({ steps: 3, resume: null, json, line });
  RunFolder.create(path, { arguments: line }).close();
  expect(lineOfRun('--resume', path)).toEqual({ steps: 3, resume: path, json, line });
  expect(lineOfRun('--resume', path, `--json=${other}`)).toEqual({ steps: 3, resume: path, json: other, line });
});

test('what contradicts --resume is refused, and a folder without a run', () => {
  const folder = temporaryFolder();
  expect(() => lineOfRun('--resume', folder, '--steps', '5')).toThrow(
    new OptionError(
      '--steps and --resume contradict each other: a run goes on with the settings that it has',
      'npm start',
    ),
  );
  expect(() => lineOfRun('--resume', folder)).toThrow(RunFolderError);
});
