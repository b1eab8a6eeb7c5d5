/** A rule of the user's own, from a file: `npm run compare -- --policy FILE.ts` makes it an arm. */

import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { OptionError } from '../../command/options.ts';
import type { Device, Optimizer, ParameterRegistry, Policy, Transformer } from '../../src/index.ts';
import { armNames } from './arms.ts';

/** What a rule is given before the first step. */
export interface PolicyContext {
  /** Freezes and thaws parameters by name; `select(projectionKinds)` are the matrices of the blocks. */
  registry: ParameterRegistry;
  /** `optimizer.watch(signal, parameters)` has it measure, `optimizer.report()` reads the loss and what was measured. */
  optimizer: Optimizer;
  model: Transformer;
  /** Length of the schedule. */
  steps: number;
  /** Of the weights and the batches. Whatever a rule draws should come from `new Random(seed, stream)`, so that it can be repeated. */
  seed: number;
  device: Device;
}

/** What the file must export by `export default`. Called once for each run, with a fresh model. */
type MakePolicy = (context: PolicyContext) => Policy;

/** The arm that the rule of a file becomes. */
export function armNameOf(file: string): string {
  return basename(file, extname(file));
}

/** @throws OptionError where the file cannot be loaded, exports no function, or has the name of another arm. */
export async function loadPolicy(file: string): Promise<MakePolicy> {
  const refuse = (reason: string) => new OptionError(`--policy ${file} ${reason}`, 'npm run compare');
  const name = armNameOf(file);
  if (armNames.includes(name))
    throw refuse(`would be the arm ${name}, which there is already: give the file another name`);
  if (name.includes(',')) throw refuse('has a comma in its name: give the file another name');
  let module: unknown;
  try {
    module = await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    throw refuse(`cannot be loaded (${error instanceof Error ? error.message : error})`);
  }
  const made = typeof module === 'object' && module !== null ? Reflect.get(module, 'default') : undefined;
  if (isMakePolicy(made)) return made;
  throw refuse('must export a function by default: (context: PolicyContext) => Policy');
}

function isMakePolicy(value: unknown): value is MakePolicy {
  return typeof value === 'function';
}
