import { closeSync, openSync } from 'node:fs';
import { parseArgs } from 'node:util';

export const suites = [
  'matmul',
  'attention',
  'step',
  'freeze',
  'watch',
  'memory',
  'overhead',
  'growth',
  'precision',
  'large',
  'lesson',
  'tune',
] as const;
export type SuiteName = (typeof suites)[number];

export const benchDevices = ['webgpu', 'cpu'] as const;
export type BenchDevice = (typeof benchDevices)[number];

export interface Options {
  suite: SuiteName;
  json?: string;
  /** Without it, every device that is there. */
  device?: BenchDevice;
  quick: boolean;
  help: boolean;
}

export const helpText = `Measures frostgrad, and beside it the peers where they are installed.

npm run bench -- <suite> [options]

  matmul           products of f32 matrices, forward and with gradients
  attention        causal attention, forward and backward, from 64 to 1024 positions
  step             one training step of a small GPT: the first one cold; with nothing frozen; and frozen in parts
  freeze           what freezing parts of that GPT saves, in time and memory, against what is pruned
  watch            what it costs to watch the gradients: the same step with and without GradES, in turns
  memory           bytes on the device during that step, beside the peers, and over 2,000 steps
  overhead         what a step costs in JavaScript, phase by phase, and what a steady step makes
  growth           time and memory of a step over sequence length, width, depth and batch
  precision        the same with the values between layers in f32 and in f16, on webgpu
  large            products, attention and a GPT of sizes that fill a graphics card; minutes without one
  lesson           the versions of a kernel that docs/kernels.md tells of
  tune             tiles of the matrix product on your adapter, the table's own and others

  --json FILE      also write the rows to this file
  --device NAME    ${benchDevices.join(' | ')}: only this device (default: every one that is there)
  --quick          few samples, no repeats, no peers: a check that it works, not a measurement
  --help           show this text

Peers: npm run bench:peers installs them in bench/peers and runs matmul, attention and step. From then on those suites
measure them too. PyTorch is one more, in large too, where python3 has it; PYTHON names another Python to ask.`;

/** A command line that cannot be understood. The message names the option, what came and what is allowed. */
export class OptionError extends Error {
  override readonly name = 'OptionError';

  constructor(message: string) {
    super(`${message}\nAll options: npm run bench -- --help`);
  }
}

const optionNames = ['json', 'device', 'quick', 'help'] as const;

/** @throws OptionError */
export function parseOptions(argv: readonly string[]): Options {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      json: { type: 'string' },
      device: { type: 'string' },
      quick: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const options: Options = { suite: 'step', quick: false, help: false };
  let suite: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      if (suite !== undefined) throw new OptionError(`unexpected argument '${token.value}': one suite at a time`);
      suite = token.value;
      continue;
    }
    const name = optionNames.find((one) => one === token.name);
    if (name === undefined) {
      const allowed = optionNames.map((one) => `--${one}`).join(', ');
      throw new OptionError(`unknown option '${token.rawName}': allowed are ${allowed}`);
    }
    if (name === 'quick' || name === 'help') {
      if (token.value !== undefined) throw new OptionError(`--${name} takes no value, got '${token.value}'`);
      options[name] = true;
      continue;
    }
    const value = givenValue(token.rawName, token.value, token.inlineValue === true);
    if (name === 'json') options.json = value;
    else options.device = oneOf(`--${name}`, benchDevices, value);
  }
  if (suite !== undefined) options.suite = oneOf('suite', suites, suite);
  else if (!options.help) throw new OptionError(`a suite must be named: ${suites.join(', ')}`);
  if (options.json !== undefined && !options.help) checkWritable(options.json);
  return options;
}

function givenValue(raw: string, value: string | undefined, inline: boolean): string {
  if (value === undefined || value.trim() === '' || (!inline && value.startsWith('-'))) {
    throw new OptionError(`${raw} needs a value, got ${value === undefined ? 'nothing' : `'${value}'`}`);
  }
  return value;
}

function oneOf<T extends string>(what: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new OptionError(`${what} must be one of ${allowed.join(', ')}, got '${value}'`);
  return found;
}

/** Asked before minutes of measuring, not after. What the file holds stays until there are rows. */
function checkWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'));
  } catch (error) {
    throw new OptionError(`--json must name a file that can be written, got '${file}': ${messageOf(error)}`);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
