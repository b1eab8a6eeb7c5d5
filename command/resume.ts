/** Runs that go on with the command line that they were begun with. */

import { OptionError } from './options.ts';
import { RunFolder } from './run-folder.ts';

interface Resumable {
  readonly resume: string | null;
  readonly json: string | null;
}

/**
 * The options of a run, with the line that they were read from: with `--resume` it is the one that the folder keeps as `arguments`.
 *
 * @returns null after `--help`.
 * @throws {OptionError} where more is given beside `--resume` than `--json`.
 * @throws {RunFolderError} where the folder holds no run.
 */
export function readLineOfRun<Options extends Resumable>(
  command: string,
  given: readonly string[],
  read: (argv: readonly string[]) => Options | null,
): (Options & { line: readonly string[] }) | null {
  const asked = read(given);
  if (asked === null || asked.resume === null) return asked && { ...asked, line: given };
  const { resume } = asked;
  const other = given.find((word) => word.startsWith('--') && !/^--(resume|json)\b/.test(word));
  if (other !== undefined) {
    const reason = 'a run goes on with the settings that it has';
    throw new OptionError(`${other} and --resume contradict each other: ${reason}`, command);
  }
  const line: readonly string[] = Object(RunFolder.open(resume).config).arguments ?? [];
  const options = read(line);
  return options && { ...options, resume, json: asked.json ?? options.json, line };
}
