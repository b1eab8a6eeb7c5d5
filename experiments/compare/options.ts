import { parseArgs } from 'node:util';
import { OptionError } from '../fragments/options.ts';
import { type LengthFactor, lengthFactors, reportSeeds, tuningTasks } from './protocol.ts';
import { type ArmName, armNames } from './results.ts';
import { type TaskName, taskNames } from './tasks.ts';

export interface CompareOptions {
  tasks: readonly TaskName[];
  arms: readonly ArmName[];
  seeds: readonly number[];
  /** Schedules of the reported arms, as multiples of each task's own. */
  lengths: readonly LengthFactor[];
  quick: boolean;
  /** Length of every schedule of a smoke run; null where schedules are chosen from the sweep. */
  steps: number | null;
  /** Goes on with the run in `out`, or with the newest one that is not finished. */
  resume: boolean;
  /** Part `index` (from 1) of `count` of the units. */
  shard: { index: number; count: number } | null;
  /** Folders whose units are put together instead of training. */
  merge: readonly string[];
  /** Ends when schedules and the setting of the rule are fixed, so that shards start from one plan. */
  untilPlan: boolean;
  device: 'auto' | 'webgpu' | 'cpu';
  /** Processes that train side by side; null takes one a core on `cpu` and one on `webgpu`. */
  workers: number | null;
  out: string | null;
  json: string | null;
  help: boolean;
}

export const quickPlan = { tasks: ['file-kind', 'contains'], steps: 300, seeds: [1] } as const satisfies {
  tasks: readonly TaskName[];
  steps: number;
  seeds: readonly number[];
};

const quickArms: readonly ArmName[] = ['full', 'full+stopping', 'full+grades', 'lora', 'lora+stopping', 'lora+grades'];

export const helpText = `Compares GradES with full training, early stopping and LoRA at equal batch, and with controls that take as many
operations: the shape of the paper's tables 1 and 4, at the size of this machine.

npm run compare -- [options]

  --tasks A,B       of ${taskNames.join(', ')}   (default: all)
  --arms A,B        of ${armNames.join(', ')}   (default: all)
  --seeds 1,2       seeds of the reported runs   (default: ${reportSeeds.join(',')})
  --lengths 1,0.5,2 schedules, as multiples of each task's own; controls run at 1 alone   (default: all)
  --quick           ${quickPlan.tasks.length} tasks, ${quickArms.length} arms, one seed, ${quickPlan.steps} steps: a smoke test, not evidence
  --steps N         with --quick, the length of its schedules
  --resume          go on after Ctrl-C with the run in --out, or with the newest unfinished one below runs/; seeds and
                    lengths may be added to a run
  --shard i/n       only the i-th of n parts; start the parts with one --out, or put their folders together with --merge
  --until plan      end when schedules, learning rates and the setting of the rule are fixed: run this before shards
  --merge A,B       put the units of these folders together and write the tables; nothing is trained
  --device NAME     auto | webgpu | cpu   (default: auto, graphics hardware where there is some, else cpu)
  --workers N       processes that train side by side   (default: one a core on cpu, one on webgpu)
  --out DIR         folder of the run   (default: runs/compare-<time>)
  --json FILE       also write the results to this file
  --help            show this text

Thresholds are chosen on ${tuningTasks.join(', ')} and judged on the other tasks.`;

/** @throws OptionError */
export function parseOptions(argv: readonly string[]): CompareOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  let values: Partial<Record<string, string | boolean>>;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        tasks: text,
        arms: text,
        seeds: text,
        lengths: text,
        steps: text,
        shard: text,
        until: text,
        merge: text,
        device: text,
        workers: text,
        out: text,
        json: text,
        quick: flag,
        resume: flag,
        help: { ...flag, short: 'h' },
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
  const quick = values.quick === true;
  const until = given('until');
  if (until !== null && until !== 'plan') throw new OptionError(`--until must be plan, got '${until}'`);
  const resume = values.resume === true;
  for (const [first, second, isBoth] of [
    ['--merge', '--shard', given('merge') !== null && given('shard') !== null],
    ['--merge', '--resume', given('merge') !== null && resume],
    ['--merge', '--until plan', given('merge') !== null && until !== null],
    ['--shard', '--until plan', given('shard') !== null && until !== null],
    ['--quick', '--until plan', quick && until !== null],
  ] as const) {
    if (isBoth) throw new OptionError(`${first} and ${second} contradict each other: give one of them`);
  }
  const steps = given('steps');
  if (steps !== null && !quick) {
    throw new OptionError('--steps sets the schedules of a smoke run, so it needs --quick (else a sweep chooses them)');
  }
  return {
    tasks: chosen('tasks', given('tasks'), taskNames) ?? (quick ? quickPlan.tasks : taskNames),
    arms: chosen('arms', given('arms'), armNames) ?? (quick ? quickArms : armNames),
    seeds: seedList(given('seeds')) ?? (quick ? quickPlan.seeds : reportSeeds),
    lengths: lengthList(given('lengths')) ?? (quick ? [1] : lengthFactors),
    quick,
    steps: quick ? wholeNumber('--steps', steps ?? String(quickPlan.steps), 20, 100_000) : null,
    resume,
    shard: shard(given('shard')),
    merge: given('merge')?.split(',') ?? [],
    untilPlan: until !== null,
    device: chosen('device', given('device'), ['auto', 'webgpu', 'cpu'] as const)?.[0] ?? 'auto',
    workers: given('workers') === null ? null : wholeNumber('--workers', given('workers') ?? '', 1, 256),
    out: given('out'),
    json: given('json'),
    help: values.help === true,
  };
}

function chosen<T extends string>(name: string, value: string | null, allowed: readonly T[]): readonly T[] | null {
  if (value === null) return null;
  return value.split(',').map((word) => {
    const found = allowed.find((one) => one === word.trim());
    if (found !== undefined) return found;
    throw new OptionError(`--${name} holds '${word}' (allowed: ${allowed.join(', ')})`);
  });
}

function seedList(value: string | null): readonly number[] | null {
  if (value === null) return null;
  return [...new Set(value.split(',').map((word) => wholeNumber('--seeds', word.trim(), 0, 2 ** 32 - 1)))];
}

function lengthList(value: string | null): readonly LengthFactor[] | null {
  const words = chosen('lengths', value, lengthFactors.map(String));
  return words && lengthFactors.filter((factor) => words.includes(String(factor)));
}

function shard(value: string | null): CompareOptions['shard'] {
  if (value === null) return null;
  const [index, count, ...rest] = value.split('/');
  if (count === undefined || rest.length > 0) {
    throw new OptionError(`--shard must read i/n, such as 1/4, got '${value}'`);
  }
  const parts = wholeNumber('--shard', count, 1, 100_000);
  return { index: wholeNumber('--shard', index, 1, parts), count: parts };
}

function wholeNumber(name: string, value: string, smallest: number, largest: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= smallest && number <= largest) return number;
  throw new OptionError(`${name} must hold whole numbers from ${smallest} to ${largest}, got '${value}'`);
}
