/** What `npm run compare` can be told. */

import {
  device,
  flag,
  listOf,
  OptionError,
  oneOf,
  option,
  outputFile,
  Refusal,
  readOptions,
  text,
  wholeNumber,
} from '../../command/options.ts';
import { armNames, userArms } from './arms.ts';
import { type LengthFactor, lengthFactors, reportSeeds, tuningTasks } from './protocol.ts';
import { type TaskName, taskNames } from './tasks.ts';
import { mostStepsLost } from './under-way.ts';
import { armNameOf } from './user-policy.ts';

const command = 'npm run compare';

/** What the comparison and the ablation have in common. */
export const runOptions = {
  resume: flag({
    help: `go on after Ctrl-C or a kill with the run in --out, or with the newest unfinished one below runs/; what was made since the last checkpoint is made again, ${mostStepsLost} steps of each worker at most; seeds, lengths and signals may be added`,
  }),
  device: device(),
  out: text({
    placeholder: 'DIR',
    help: 'folder of the run; bases are kept beside it   (default: runs/<command>-<time>)',
  }),
  json: outputFile({ help: 'also write the results to this file' }),
};

const quickPlan = {
  tasks: ['file-kind', 'contains'] as readonly TaskName[],
  arms: ['full', 'full+stopping', 'full+grades', 'lora', 'lora+stopping', 'lora+grades'] as readonly string[],
  seeds: [1] as readonly number[],
  steps: 300,
};

export type CompareOptions = NonNullable<ReturnType<typeof parseOptions>>;

/**
 * Null after `--help`.
 *
 * @throws OptionError
 */
export function parseOptions(argv: readonly string[]) {
  const given = readOptions({
    command,
    about:
      'Compares GradES with full training, early stopping and LoRA at equal batch, with controls that take as many ' +
      "operations, and with the paper's own rules: the shape of the paper's tables 1 and 4, at the size of this machine.",
    notes:
      `Arms: ${armNames.join(', ')}.\n\nThresholds are chosen on ${tuningTasks.join(', ')} and judged on the other tasks. ` +
      'Ctrl-C keeps what is done.',
    argv,
    options: {
      tasks: listOf(oneOf(taskNames, {}), { placeholder: 'A,B', help: `of ${taskNames.join(', ')}   (default: all)` }),
      arms: listOf(oneOf(armNames, {}), { placeholder: 'A,B', help: 'of those below   (default: all)' }),
      seeds: listOf(wholeNumber({ from: 0, to: 2 ** 32 - 1 }), {
        help: `seeds of the reported runs   (default: ${reportSeeds.join(',')})`,
      }),
      lengths: listOf(oneOf(lengthFactors.map(String), {}), {
        placeholder: lengthFactors.join(','),
        help: "schedules, as multiples of each task's own; controls run at 1 alone   (default: all)",
      }),
      policy: text({
        placeholder: 'FILE.ts',
        help: "makes a rule of your own an arm, beside a plain stop at its operations: the file's default export is a function (context) => Policy, see experiments/compare/user-policy.ts",
      }),
      controls: flag({ help: 'with --policy, the other controls at the operations of that rule too' }),
      quick: flag({
        help: `${quickPlan.tasks.length} tasks, ${quickPlan.arms.length} arms, one seed, ${quickPlan.steps} steps: a smoke test, not evidence`,
      }),
      steps: wholeNumber({ from: 20, to: 100_000, help: 'with --quick, the length of its schedules' }),
      shard: option(shard, {
        help: 'only the i-th of n parts; start the parts with one --out, or put their folders together with --merge',
      }),
      until: oneOf(['plan'], {
        placeholder: 'plan',
        help: 'end when schedules, learning rates and the rules are fixed: run this before shards',
      }),
      merge: listOf(text({ placeholder: 'DIR' }), {
        help: 'put the units of these folders together and write the tables; nothing is trained',
      }),
      workers: wholeNumber({
        ...{ from: 1, to: 256 },
        help: 'processes that train side by side   (default: one a core on cpu, one on webgpu)',
      }),
      ...runOptions,
    },
  });
  if (!given) return null;
  const { quick, steps, merge, resume, until, policy, controls } = given;
  for (const [names, isBoth] of [
    ['--merge and --shard', merge && given.shard],
    ['--merge and --resume', merge && resume],
    ['--merge and --until plan', merge && until],
    ['--shard and --until plan', given.shard && until],
    ['--quick and --until plan', quick && until],
  ] as const) {
    if (isBoth) throw new OptionError(`${names} contradict each other: give one of them`, command);
  }
  if (steps !== null && !quick) {
    const reason = 'sets the schedules of a smoke run, so it needs --quick (else a sweep chooses them)';
    throw new OptionError(`--steps ${steps} ${reason}`, command);
  }
  if (controls && policy === null) throw new OptionError('--controls needs --policy FILE.ts', command);
  const own = policy === null ? [] : userArms(armNameOf(policy)).filter(({ role }) => controls || role !== 'control');
  const arms: readonly string[] = [
    ...(given.arms ?? (quick ? quickPlan.arms : armNames)),
    ...own.map(({ name }) => name),
  ];
  const lengths: readonly LengthFactor[] = lengthFactors.filter(
    (factor) => given.lengths?.includes(String(factor)) ?? (!quick || factor === 1),
  );
  return {
    ...given,
    arms,
    lengths,
    tasks: given.tasks ?? (quick ? quickPlan.tasks : taskNames),
    seeds: given.seeds ?? (quick ? quickPlan.seeds : reportSeeds),
    /** Length of every schedule of a smoke run; null where a sweep chooses schedules. */
    steps: quick ? (steps ?? quickPlan.steps) : null,
    merge: merge ?? [],
  };
}

/** A part of the work, from 1. */
export const shard = {
  placeholder: 'i/n',
  allowed: 'a part of n, such as 1/4',
  parse(given: string) {
    const [, index, count] = (/^(\d{1,5})\/(\d{1,5})$/.exec(given) ?? []).map(Number);
    if (index >= 1 && index <= count) return { index, count };
    throw new Refusal(given);
  },
};
