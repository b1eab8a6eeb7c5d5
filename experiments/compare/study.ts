/** One comparison, phase after phase. Each phase takes from the folder what is done already. */

import type { Device } from '../../src/index.ts';
import { armNames } from './arms.ts';
import { circumstances } from './circumstances.ts';
import type { CompareOptions } from './options.ts';
import {
  armsUnits,
  calibrationUnits,
  chooseSetting,
  learningRateUnits,
  lengthUnits,
  planTasks,
  quickTaskPlans,
  shardOf,
  type TaskPlan,
  timingUnits,
  tuningUnits,
} from './plan.ts';
import * as protocol from './protocol.ts';
import type { ArmResult, Comparison } from './results.ts';
import type { UnitStore } from './store.ts';
import { loadTask, type TaskName } from './tasks.ts';
import type { Rules, Unit } from './units.ts';
import { armNameOf } from './user-policy.ts';
import { Work, workerCount } from './work.ts';

/**
 * Null where the options end the run before its tables.
 *
 * @throws Interrupted, and CommandError where units failed; what is done is kept.
 */
export async function study(
  options: CompareOptions,
  device: Device,
  store: UnitStore<Unit, ArmResult>,
): Promise<Comparison | null> {
  const { steps: smokeSteps, merge } = options;
  const work = new Work({ command: 'compare', device, store, smokeSteps, onlyMerges: merge.length > 0 });
  const side = workerCount(options.workers, device);
  const perform: Perform = (label, units, workers = side) => work.perform(label, units, workers);
  try {
    const { tasks, quick, steps, seeds, shard, until, policy } = options;
    if (merge.length === 0) await work.pretrain(tasks);
    const sweep = steps === null ? await sweepTasks(tasks, perform) : [];
    const plans = steps === null ? planTasks(tasks, sweep) : quickTaskPlans(tasks, steps);
    const tuning = await perform('choosing the setting of the rule', quick ? [] : tuningUnits(plans));
    const calibrated = await perform('calibrating the rules of the paper', calibrationUnits(plans, options));
    const setting = chooseSetting(tuning);
    const thresholdsOf = (task: string) =>
      Object.fromEntries(
        calibrated.filter((each) => each.task === task).map(({ arm, threshold }) => [arm, Number(threshold)]),
      );
    const calibrations = plans.map(({ task }) => ({ task, thresholds: thresholdsOf(task) }));
    store.folder.writeJson('plan.json', { plans, setting, calibrations });
    console.log(describePlans(plans, setting));
    if (until) return null;

    const rule = protocol.ruleSettings[setting];
    const settings = { 'full+grades': rule, 'lora+grades': rule };
    const rulesOf = (task: TaskName): Rules => ({ settings, thresholds: thresholdsOf(task), policy });
    const arms = await perform('training the arms', shardOf(armsUnits(plans, rulesOf, options), shard));
    const timing = shardOf(timingUnits(plans, rulesOf, options), shard);
    const timings = await perform('timing, one arm at a time', timing, 1);
    if (shard) {
      console.log(`Part ${shard.index} of ${shard.count} is done. When all are: npm run compare -- --merge …`);
      return null;
    }
    return {
      ...circumstances(device, quick),
      seeds,
      policy: policy === null ? null : { arm: armNameOf(policy), file: policy },
      omissions: omissions(options),
      tasks: plans.map((plan) => {
        const { name, base, character, description, classes } = loadTask(plan.task);
        const tuned = protocol.tuningTasks.includes(plan.task) && !quick;
        const { steps, learningRate } = plan;
        return {
          ...{ name, base, character, description, classes, steps, learningRate, tuning: tuned },
          paperThresholds: thresholdsOf(plan.task),
        };
      }),
      ...{ arms, timings, sweep, tuning, setting },
    };
  } finally {
    work.release();
  }
}

type Perform = (label: string, units: readonly Unit[], workers?: number) => Promise<ArmResult[]>;

async function sweepTasks(tasks: readonly TaskName[], perform: Perform): Promise<ArmResult[]> {
  const rates = await perform('choosing learning rates', learningRateUnits(tasks));
  return [...rates, ...(await perform('choosing schedule lengths', lengthUnits(tasks, rates)))];
}

function describePlans(plans: readonly TaskPlan[], setting: string): string {
  const lines = plans.map(
    ({ task, steps, learningRate: { full, lora } }) =>
      `  ${task}: ${steps} steps, rates ${full} (full) and ${lora} (LoRA)`,
  );
  return ['Fixed before any reported run:', ...lines, `  rule: ${setting}`].join('\n');
}

/** What a reader has to know was left out. */
function omissions({ quick, seeds, lengths, tasks, arms }: CompareOptions): string[] {
  if (quick) return ['Smoke run: schedules, learning rates and the rule were not chosen from data.'];
  const { tuningTasks, reportSeeds, lengthFactors } = protocol;
  const missing = lengthFactors.filter((factor) => !lengths.includes(factor));
  return [
    'The costly validation set was tried with the first seed alone.',
    ...(tuningTasks.some((name) => tasks.some((task) => task === name))
      ? []
      : ['No tuning task took part, so the rule ran with its default setting.']),
    ...(seeds.length < reportSeeds.length ? [`Only ${seeds.length} seeds.`] : []),
    ...(missing.length > 0 ? [`Schedules of ${missing.join(' and ')} times the task's own length were not run.`] : []),
    ...(armNames.every((name) => arms.includes(name)) ? [] : ['Some arms were not run.']),
    "The controls, the paper's rules and the null arm were not run on the tuning tasks.",
  ];
}
