import { parseArgs } from 'node:util';
import { type Quantity, quantities } from '../../src/index.ts';
import { type TaskName, taskNames } from '../compare/tasks.ts';
import { OptionError } from '../fragments/options.ts';
import { defaults, graces, quick } from './protocol.ts';

export interface AblateOptions {
  task: TaskName;
  steps: number;
  seeds: readonly number[];
  quantities: readonly Quantity[];
  graces: readonly number[];
  quick: boolean;
  device: 'auto' | 'webgpu' | 'cpu';
  out: string | null;
  json: string | null;
  help: boolean;
}

export const helpText = `Tries the rule's threshold τ and grace period α, for each monitored quantity: the shape of the paper's tables 6 and 7.
Every run is a training of its own, one after the other, so that its time can be taken; full training runs beside them.

npm run ablate -- [options]

  --task NAME       of ${taskNames.join(', ')}   (default: ${defaults.task})
  --steps N         length of the schedule   (default: ${defaults.steps})
  --seeds 1,2       (default: ${defaults.seeds.join(',')})
  --quantities A,B  of ${quantities.join(', ')}   (default: all)
  --quick           ${quick.quantities.join(' and ')}, one seed, ${quick.steps} steps: a smoke test, not evidence
  --device NAME     auto | webgpu | cpu   (default: auto, graphics hardware where there is some, else cpu)
  --out DIR         folder of the run   (default: runs/ablate-<time>)
  --json FILE       also write the results to this file
  --help            show this text

Ctrl-C ends after the run under way, with tables of what there is.`;

/** @throws OptionError */
export function parseOptions(argv: readonly string[]): AblateOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  let values: Partial<Record<string, string | boolean>>;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        ...{ task: text, steps: text, seeds: text, quantities: text, device: text, out: text, json: text },
        ...{ quick: flag, help: { ...flag, short: 'h' } },
      },
    }));
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message.split('. ')[0] : String(error));
  }
  const given = (name: string): string | null => {
    const value = values[name];
    if (typeof value !== 'string') return null;
    if (value.trim() === '') throw new OptionError(`--${name} needs a value, got an empty one`);
    return value;
  };
  const list = (name: string) => given(name)?.split(',') ?? null;
  const isQuick = values.quick === true;
  return {
    task: oneOf('task', given('task') ?? defaults.task, taskNames),
    steps: wholeNumber('steps', given('steps') ?? String(isQuick ? quick.steps : defaults.steps), 20, 1_000_000),
    seeds:
      list('seeds')?.map((seed) => wholeNumber('seeds', seed, 0, 2 ** 32 - 1)) ?? (isQuick ? quick : defaults).seeds,
    quantities:
      list('quantities')?.map((name) => oneOf('quantities', name, quantities)) ??
      (isQuick ? quick.quantities : quantities),
    graces: isQuick ? quick.graces : graces,
    quick: isQuick,
    device: oneOf('device', given('device') ?? 'auto', ['auto', 'webgpu', 'cpu'] as const),
    out: given('out'),
    json: given('json'),
    help: values.help === true,
  };
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value.trim());
  if (found !== undefined) return found;
  throw new OptionError(`--${name} holds '${value}' (allowed: ${allowed.join(', ')})`);
}

function wholeNumber(name: string, value: string, smallest: number, largest: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value.trim()) && number >= smallest && number <= largest) return number;
  throw new OptionError(`--${name} must hold whole numbers from ${smallest} to ${largest}, got '${value}'`);
}
