/** A rule of the user's own: what a file exports by default. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { OptionError } from '../command/options.ts';
import type { Decoder, Device, Optimizer, ParameterRegistry, Policy, Transformer } from '../src/index.ts';

/** What a rule is given before the first step. */
export interface PolicyContext<Model = Transformer | Decoder> {
  /** Freezes and thaws parameters by name; `select(projectionKinds)` are the matrices of the blocks. */
  registry: ParameterRegistry;
  /** `optimizer.watch(signal, parameters)` has it measure, `optimizer.report()` reads the loss and what was measured. */
  optimizer: Optimizer;
  model: Model;
  /** Length of the schedule. */
  steps: number;
  /** Of the weights and the batches. Whatever a rule draws should come from `new Random(seed, stream)`, so that it can be repeated. */
  seed: number;
  device: Device;
}

/** What the file must export by `export default`. Called once for each run, with a fresh model. */
export type MakePolicy<Model> = (context: PolicyContext<Model>) => Policy;

/** @throws OptionError where the file cannot be loaded, or exports no function. */
export async function readPolicyFile<Model>(file: string, command: string): Promise<MakePolicy<Model>> {
  const refuse = (reason: string) => new OptionError(`--policy ${file} ${reason}`, command);
  let module: unknown;
  try {
    module = await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    throw refuse(`cannot be loaded (${error instanceof Error ? error.message : error})`);
  }
  const made = typeof module === 'object' && module !== null ? Reflect.get(module, 'default') : undefined;
  if (isMakePolicy<Model>(made)) return made;
  throw refuse('must export a function by default: (context: PolicyContext) => Policy');
}

function isMakePolicy<Model>(value: unknown): value is MakePolicy<Model> {
  return typeof value === 'function';
}
