/** A rule of the user's own, from a file: `npm run compare -- --policy FILE.ts` makes it an arm. */

import { basename, extname } from 'node:path';
import { OptionError } from '../../command/options.ts';
import type { Transformer } from '../../src/index.ts';
import { type PolicyContext as Context, type MakePolicy, readPolicyFile } from '../policy-file.ts';
import { armNames } from './arms.ts';

export type PolicyContext = Context<Transformer>;

/** The arm that the rule of a file becomes. */
export function armNameOf(file: string): string {
  return basename(file, extname(file));
}

/** @throws OptionError where the file cannot be loaded, exports no function, or has the name of another arm. */
export async function loadPolicy(file: string): Promise<MakePolicy<Transformer>> {
  const command = 'npm run compare';
  const refuse = (reason: string) => new OptionError(`--policy ${file} ${reason}`, command);
  const name = armNameOf(file);
  if (armNames.includes(name))
    throw refuse(`would be the arm ${name}, which there is already: give the file another name`);
  if (name.includes(',')) throw refuse('has a comma in its name: give the file another name');
  return readPolicyFile(file, command);
}
