import { parseArgs } from 'node:util';

export const DEVICES = ['auto', 'webgpu', 'cpu'] as const;
export type DeviceChoice = (typeof DEVICES)[number];

export const DEFAULT_STEPS = 1200;
export const DEFAULT_SEED = 1;
export const DEFAULT_DEVICE: DeviceChoice = 'auto';

const LARGEST_STEPS = 10_000_000;
const LARGEST_SEED = 2 ** 32 - 1;

export interface Options {
  /** Folder with one sub-folder a class; without it the files in `node_modules` are used. */
  data?: string;
  steps: number;
  seed: number;
  device: DeviceChoice;
  /** Folder of the run; without it a new one below `runs/`. */
  out?: string;
  /** File that takes the results as JSON. */
  json?: string;
  help: boolean;
}

/** A command line that cannot be understood. The message names the option, what came and what is allowed. */
export class OptionError extends Error {
  override readonly name = 'OptionError';

  constructor(message: string) {
    super(`${message}\nAll options: npm start -- --help`);
  }
}

export const helpText = `Trains a small transformer to tell kinds of files apart by short fragments of their bytes, twice from the same seed:
once in full, and once with GradES, which freezes each weight matrix when its gradient has died down.

npm start -- [options]

  --data DIR      folder with one sub-folder a class, any files   (default: the files in node_modules, by their kind)
  --steps N       length of the schedule in steps                 (default: ${DEFAULT_STEPS})
  --seed N        seed of the weights and of the batches          (default: ${DEFAULT_SEED})
  --device NAME   ${DEVICES.join(' | ')}                            (default: ${DEFAULT_DEVICE}: graphics hardware, else cpu)
  --out DIR       folder for the log, the freezes and the picture (default: runs/fragments-<time>)
  --json FILE     also write the results to this file
  --help          show this text`;

const OPTION_NAMES = ['data', 'steps', 'seed', 'device', 'out', 'json', 'help'] as const;
type OptionName = (typeof OPTION_NAMES)[number];

/**
 * Reads the command line. Of an option given twice the last one counts.
 *
 * @param argv the arguments after the script's name.
 * @throws {OptionError}
 */
export function parseOptions(argv: readonly string[]): Options {
  const options: Options = { steps: DEFAULT_STEPS, seed: DEFAULT_SEED, device: DEFAULT_DEVICE, help: false };
  for (const { name, raw, value } of readArguments(argv)) {
    switch (name) {
      case 'help':
        options.help = true;
        break;
      case 'steps':
        options.steps = wholeNumber(raw, value, 1, LARGEST_STEPS);
        break;
      case 'seed':
        options.seed = wholeNumber(raw, value, 0, LARGEST_SEED);
        break;
      case 'device':
        options.device = deviceChoice(raw, value);
        break;
      default:
        options[name] = value;
    }
  }
  return options;
}

interface Argument {
  name: OptionName;
  /** As typed, with its dashes. */
  raw: string;
  value: string;
}

// parseArgs divides the line; judging what it found is left to us, for messages that say what is allowed.
function readArguments(argv: readonly string[]): Argument[] {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      data: { type: 'string' },
      steps: { type: 'string' },
      seed: { type: 'string' },
      device: { type: 'string' },
      out: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  return tokens.flatMap((token): Argument[] => {
    if (token.kind === 'option-terminator') return [];
    if (token.kind === 'positional') {
      throw new OptionError(`unexpected argument '${token.value}': only options are allowed`);
    }
    const name = OPTION_NAMES.find((one) => one === token.name);
    if (name === undefined) {
      const allowed = OPTION_NAMES.map((one) => `--${one}`).join(', ');
      throw new OptionError(`unknown option '${token.rawName}': allowed are ${allowed}`);
    }
    if (name === 'help') {
      if (token.value === undefined) return [{ name, raw: token.rawName, value: '' }];
      throw new OptionError(`--help takes no value, got '${token.value}'`);
    }
    return [{ name, raw: token.rawName, value: givenValue(token.rawName, token.value, token.inlineValue === true) }];
  });
}

function givenValue(raw: string, value: string | undefined, inline: boolean): string {
  const isNextOption = !inline && value !== undefined && /^-+[a-z]/i.test(value);
  if (value === undefined || isNextOption) {
    const came = value === undefined ? 'nothing' : `the option '${value}'`;
    throw new OptionError(`${raw} needs a value, got ${came} after it`);
  }
  if (value.trim() === '') throw new OptionError(`${raw} needs a value, got an empty one`);
  return value;
}

function wholeNumber(raw: string, value: string, smallest: number, largest: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= smallest && number <= largest) return number;
  throw new OptionError(`${raw} must be a whole number from ${smallest} to ${largest}, got '${value}'`);
}

function deviceChoice(raw: string, value: string): DeviceChoice {
  const device = DEVICES.find((one) => one === value);
  if (device === undefined) throw new OptionError(`${raw} must be one of ${DEVICES.join(', ')}, got '${value}'`);
  return device;
}
