/** Which units each phase of a comparison consists of, and what is fixed between phases. */

import { armTable, paperArms } from './arms.ts';
import type { CompareOptions } from './options.ts';
import {
  calibration,
  chooseLearningRate,
  chooseLength,
  learningRateLength,
  learningRates,
  ruleSettings,
  sweepLengths,
  sweepSeeds,
  tuningSeeds,
  tuningTasks,
} from './protocol.ts';
import type { SweepResult } from './results.ts';
import type { TaskName } from './tasks.ts';
import type { ArmsUnit, CalibrationUnit, Rules, SweepUnit, TimingUnit, TuningUnit } from './units.ts';
import { armNameOf } from './user-policy.ts';

/** What is fixed for a task before any reported run. */
export interface TaskPlan {
  task: TaskName;
  steps: number;
  learningRate: { full: number; lora: number };
}

/** What of the options decides which arms run. */
type Wanted = Pick<CompareOptions, 'arms' | 'seeds' | 'lengths' | 'quick' | 'policy'>;

/** First round: each learning rate at one length. */
export function learningRateUnits(tasks: readonly TaskName[]): SweepUnit[] {
  return tasks.flatMap((task) =>
    sweepSeeds.flatMap((seed) =>
      [false, true].flatMap((adapters) =>
        learningRates[adapters ? 'lora' : 'full'].map(
          (learningRate): SweepUnit => ({
            phase: 'sweep',
            ...{ task, adapters, seed, steps: learningRateLength, learningRate },
          }),
        ),
      ),
    ),
  );
}

/** Second round: the full arm at each other length, at the rate that was best. */
export function lengthUnits(tasks: readonly TaskName[], sweep: readonly SweepResult[]): SweepUnit[] {
  const lengths = sweepLengths.filter((steps) => steps !== learningRateLength);
  return tasks.flatMap((task) => {
    const learningRate = bestRate(sweep, task, 'full');
    return sweepSeeds.flatMap((seed) =>
      lengths.map((steps): SweepUnit => ({ phase: 'sweep', task, adapters: false, seed, steps, learningRate })),
    );
  });
}

export function planTasks(tasks: readonly TaskName[], sweep: readonly SweepResult[]): TaskPlan[] {
  return tasks.map((task) => {
    const [full, lora] = [bestRate(sweep, task, 'full'), bestRate(sweep, task, 'lora')];
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
    .flatMap(({ task, steps, learningRate: { full: learningRate } }) =>
      tuningSeeds.map(
        (seed): TuningUnit => ({
          phase: 'tuning',
          ...{ task, seed, steps, learningRate, settings: ruleSettings },
        }),
      ),
    );
}

/** For the tasks on which rules of the paper run. */
export function calibrationUnits(
  plans: readonly TaskPlan[],
  { arms, quick }: Pick<Wanted, 'arms' | 'quick'>,
): CalibrationUnit[] {
  if (!paperArms.some((name) => arms.some((arm) => arm.startsWith(name)))) return [];
  return plans
    .filter(({ task }) => quick || !tuningTasks.includes(task))
    .map(({ task, steps, learningRate: { full: learningRate } }) => ({
      phase: 'calibration',
      ...{ task, seed: calibration.seed, steps, learningRate },
    }));
}

/**
 * The reported arms, the task's own schedule first and for every seed before the other lengths, so that a run that is
 * cut short has whole seeds.
 */
export function armsUnits(plans: readonly TaskPlan[], rulesOf: (task: TaskName) => Rules, wanted: Wanted): ArmsUnit[] {
  const { seeds, lengths, quick } = wanted;
  return lengths.flatMap((length) =>
    seeds.flatMap((seed) =>
      plans.flatMap(({ task, steps: ownSteps, learningRate }) =>
        [false, true].flatMap((adapters): ArmsUnit[] => {
          // What a tuning task would tell of the controls is no evidence, and costs as much as elsewhere.
          const isJudged = length === 1 && (quick || !tuningTasks.includes(task));
          const arms = wantedArms(wanted)
            .filter((arm) => arm.adapters === adapters)
            .filter(({ runs }) =>
              runs === 'judged' ? isJudged : runs !== 'once' || (length === 1 && seed === seeds[0]),
            )
            .map(({ name }) => name);
          const steps = Math.round(length * ownSteps);
          const rate = learningRate[adapters ? 'lora' : 'full'];
          const trained = { task, seed, steps, learningRate: rate };
          return arms.length > 0 ? [{ phase: 'arms', ...trained, adapters, length, arms, ...rulesOf(task) }] : [];
        }),
      ),
    ),
  );
}

/** Each arm alone, once a task, with the first seed. */
export function timingUnits(
  plans: readonly TaskPlan[],
  rulesOf: (task: TaskName) => Rules,
  wanted: Wanted,
): TimingUnit[] {
  const timed = wantedArms(wanted).filter((arm) => arm.timed);
  return plans.flatMap(({ task, steps, learningRate }) =>
    timed
      .filter(({ runs }) => runs !== 'judged' || wanted.quick || !tuningTasks.includes(task))
      .map(({ name: arm, adapters }): TimingUnit => {
        const trained = { task, seed: wanted.seeds[0], steps, learningRate: learningRate[adapters ? 'lora' : 'full'] };
        return { phase: 'timing', ...trained, arm, ...rulesOf(task) };
      }),
  );
}

/** The part of the units that one shard does. */
export function shardOf<T>(units: readonly T[], shard: { index: number; count: number } | null): T[] {
  return units.filter((_, i) => shard === null || i % shard.count === shard.index - 1);
}

function wantedArms({ arms, policy }: Pick<Wanted, 'arms' | 'policy'>) {
  return armTable(policy === null ? null : armNameOf(policy)).filter(({ name }) => arms.includes(name));
}

function bestRate(sweep: readonly SweepResult[], task: TaskName, kind: 'full' | 'lora'): number {
  const ofKind = sweep.filter(({ adapters }) => adapters === (kind === 'lora'));
  return chooseLearningRate(ofKind, task, learningRates[kind]);
}
