import { operationControls } from './arms.ts';
import type { CompareOptions } from './options.ts';
import {
  chooseLearningRate,
  chooseLength,
  chooseSetting,
  defaultSetting,
  learningRateLength,
  learningRates,
  type RuleSetting,
  ruleSettings,
  sweepLengths,
  sweepSeeds,
  tuningSeeds,
  tuningTasks,
} from './protocol.ts';
import type { ArmName, SettingResult, SweepResult } from './results.ts';
import type { TaskName } from './tasks.ts';
import { timedArms } from './timing.ts';
import type { ArmsUnit, NoiseUnit, SweepUnit, TimingUnit, TuningUnit, Unit } from './units.ts';

/** What is fixed for a task before any reported run. */
export interface TaskPlan {
  task: TaskName;
  steps: number;
  learningRate: { full: number; lora: number };
}

const loraArms: readonly ArmName[] = ['lora', 'lora+stopping', 'lora+grades', 'lora-plain-stop'];

/** First round: each learning rate at one length. */
export function learningRateUnits(tasks: readonly TaskName[]): SweepUnit[] {
  return tasks.flatMap((task) =>
    sweepSeeds.flatMap((seed) =>
      ([false, true] as const).flatMap((adapters) =>
        learningRates[adapters ? 'lora' : 'full'].map(
          (learningRate): SweepUnit => ({
            phase: 'sweep',
            task,
            adapters,
            seed,
            steps: learningRateLength,
            learningRate,
          }),
        ),
      ),
    ),
  );
}

/** Second round: the full arm at each other length, at the rate that was best. */
export function lengthUnits(tasks: readonly TaskName[], sweep: readonly SweepResult[]): SweepUnit[] {
  return tasks.flatMap((task) => {
    const learningRate = fullRate(sweep, task);
    return sweepSeeds.flatMap((seed) =>
      sweepLengths
        .filter((steps) => steps !== learningRateLength)
        .map((steps): SweepUnit => ({ phase: 'sweep', task, adapters: false, seed, steps, learningRate })),
    );
  });
}

export function planTasks(tasks: readonly TaskName[], sweep: readonly SweepResult[]): TaskPlan[] {
  return tasks.map((task) => {
    const full = fullRate(sweep, task);
    const lora = chooseLearningRate(
      sweep.filter(({ adapters }) => adapters),
      task,
      learningRates.lora,
    );
    const ofFull = sweep.filter(({ adapters }) => !adapters);
    return { task, steps: chooseLength(ofFull, task, full), learningRate: { full, lora } };
  });
}

/** The plan of a smoke run: nothing is swept. */
export function quickTaskPlans(tasks: readonly TaskName[], steps: number): TaskPlan[] {
  const learningRate = { full: learningRates.full[1], lora: learningRates.lora[1] };
  return tasks.map((task) => ({ task, steps, learningRate }));
}

export function tuningUnits(plans: readonly TaskPlan[]): TuningUnit[] {
  return plans
    .filter(({ task }) => tuningTasks.includes(task))
    .flatMap(({ task, steps, learningRate }) =>
      tuningSeeds.map(
        (seed): TuningUnit => ({
          phase: 'tuning',
          task,
          seed,
          steps,
          learningRate: learningRate.full,
          settings: ruleSettings,
        }),
      ),
    );
}

/** The chosen setting by name; the library's default where nothing was tuned. */
export function chosenSetting(results: readonly Omit<SettingResult, 'chosen'>[]): string {
  return results.length === 0 ? defaultSetting : chooseSetting(results);
}

/**
 * The reported arms, the task's own schedule first and for every seed before the other lengths, so that a run that is
 * cut short has whole seeds.
 */
export function reportedUnits(
  plans: readonly TaskPlan[],
  setting: RuleSetting,
  { arms, seeds, lengths, quick }: Pick<CompareOptions, 'arms' | 'seeds' | 'lengths' | 'quick'>,
): (ArmsUnit | NoiseUnit)[] {
  const adapterArms = arms.filter((arm) => loraArms.includes(arm));
  return lengths.flatMap((length) =>
    seeds.flatMap((seed) =>
      plans.flatMap(({ task, steps: ownSteps, learningRate }) => {
        const steps = Math.round(length * ownSteps);
        const shared = { task, seed, steps, length, setting } as const;
        const units: (ArmsUnit | NoiseUnit)[] = [];
        // What a tuning task would tell of the controls is no evidence, and costs as much as elsewhere.
        const isTuning = !quick && tuningTasks.includes(task);
        const fullArms = arms.filter(
          (arm) => !loraArms.includes(arm) && arm !== 'null' && !(isTuning && operationControls.includes(arm)),
        );
        if (fullArms.length > 0) {
          // The costly validation set triples the time of a run; one seed shows what it does.
          const costlyValidation = length === 1 && seed === seeds[0];
          const rate = { adapters: false, learningRate: learningRate.full, arms: fullArms };
          units.push({ phase: 'arms', ...shared, ...rate, costlyValidation });
        }
        if (adapterArms.length > 0) {
          const rate = { adapters: true, learningRate: learningRate.lora, arms: adapterArms };
          units.push({ phase: 'arms', ...shared, ...rate, costlyValidation: false });
        }
        if (arms.includes('null') && length === 1 && !isTuning) {
          units.push({ phase: 'noise', task, seed, steps, learningRate: learningRate.full });
        }
        return units;
      }),
    ),
  );
}

/** Each arm alone, once a task, with the first seed. */
export function timingUnits(
  plans: readonly TaskPlan[],
  setting: RuleSetting,
  { arms, seeds }: Pick<CompareOptions, 'arms' | 'seeds'>,
): TimingUnit[] {
  return plans.flatMap(({ task, steps, learningRate }) =>
    timedArms
      .filter((arm) => arms.includes(arm))
      .map((arm): TimingUnit => {
        const rate = arm.startsWith('lora') ? learningRate.lora : learningRate.full;
        return { phase: 'timing', task, seed: seeds[0], steps, learningRate: rate, arm, setting };
      }),
  );
}

/** The part of the units that one shard does. */
export function shardOf<T extends Unit>(units: readonly T[], shard: CompareOptions['shard']): T[] {
  return units.filter((_, i) => shard === null || i % shard.count === shard.index - 1);
}

function fullRate(sweep: readonly SweepResult[], task: TaskName): number {
  return chooseLearningRate(
    sweep.filter(({ adapters }) => !adapters),
    task,
    learningRates.full,
  );
}
