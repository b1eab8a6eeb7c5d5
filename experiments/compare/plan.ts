/** Which units each phase of a comparison consists of, and what is chosen between phases. */

import { paperArms } from '../paper-rules.ts';
import { armTable } from './arms.ts';
import { mean } from './bootstrap.ts';
import type { CompareOptions } from './options.ts';
import {
  calibration,
  defaultSetting,
  learningRateLength,
  learningRates,
  margin,
  ruleSettings,
  sweepLengths,
  sweepSeeds,
  tuningSeeds,
  tuningTasks,
} from './protocol.ts';
import type { ArmResult } from './results.ts';
import { trainingOperations } from './run.ts';
import { pairsOf } from './statistics.ts';
import type { TaskName } from './tasks.ts';
import { type Rules, type Unit, unitOf } from './units.ts';
import { armNameOf } from './user-policy.ts';

/** What is fixed for a task before any reported run. */
export interface TaskPlan {
  task: TaskName;
  steps: number;
  learningRate: { full: number; lora: number };
}

/** What of the options decides which arms run. */
type Wanted = Pick<CompareOptions, 'arms' | 'seeds' | 'lengths' | 'quick' | 'policy'>;

const kinds = ['full', 'lora'] as const;

/** First round: each learning rate at one length. */
export function learningRateUnits(tasks: readonly TaskName[]): Unit[] {
  return tasks.flatMap((task) =>
    sweepSeeds.flatMap((seed) =>
      kinds.flatMap((kind) =>
        learningRates[kind].map((learningRate) =>
          unitOf({ phase: 'sweep', task, adapters: kind === 'lora', seed, steps: learningRateLength, learningRate }),
        ),
      ),
    ),
  );
}

/** Second round: full training at each other length, at the rate that was best. */
export function lengthUnits(tasks: readonly TaskName[], sweep: readonly ArmResult[]): Unit[] {
  const lengths = sweepLengths.filter((steps) => steps !== learningRateLength);
  return tasks.flatMap((task) => {
    const learningRate = chooseLearningRate(sweep, task, 'full');
    return sweepSeeds.flatMap((seed) =>
      lengths.map((steps) => unitOf({ phase: 'sweep', task, seed, steps, learningRate })),
    );
  });
}

export function planTasks(tasks: readonly TaskName[], sweep: readonly ArmResult[]): TaskPlan[] {
  return tasks.map((task) => {
    const [full, lora] = kinds.map((kind) => chooseLearningRate(sweep, task, kind));
    return { task, steps: chooseLength(sweep, task, full), learningRate: { full, lora } };
  });
}

/** The plan of a smoke run: nothing is swept. */
export function quickTaskPlans(tasks: readonly TaskName[], steps: number): TaskPlan[] {
  const learningRate = { full: learningRates.full[1], lora: learningRates.lora[1] };
  return tasks.map((task) => ({ task, steps, learningRate }));
}

export function tuningUnits(plans: readonly TaskPlan[]): Unit[] {
  const arms = ['full', ...Object.keys(ruleSettings)];
  return plans
    .filter(({ task }) => tuningTasks.includes(task))
    .flatMap(({ task, steps, learningRate: { full: learningRate } }) =>
      tuningSeeds.map((seed) =>
        unitOf({ phase: 'tuning', task, seed, steps, learningRate, arms, settings: ruleSettings }),
      ),
    );
}

/** For the tasks on which rules of the paper run. */
export function calibrationUnits(plans: readonly TaskPlan[], { arms, quick }: Pick<Wanted, 'arms' | 'quick'>): Unit[] {
  if (!paperArms.some((name) => arms.some((arm) => arm.startsWith(name)))) return [];
  return plans
    .filter(({ task }) => isJudged(task, quick))
    .map(({ task, steps, learningRate: { full: learningRate } }) =>
      unitOf({ phase: 'calibration', task, seed: calibration.seed, steps, learningRate }),
    );
}

/**
 * The reported arms, the task's own schedule first and for every seed before the other lengths, so that a run that is
 * cut short has whole seeds.
 */
export function armsUnits(plans: readonly TaskPlan[], rulesOf: (task: TaskName) => Rules, wanted: Wanted): Unit[] {
  const { seeds, lengths, quick } = wanted;
  return lengths.flatMap((length) =>
    seeds.flatMap((seed) =>
      plans.flatMap(({ task, steps: ownSteps, learningRate }) =>
        kinds.flatMap((kind) => {
          const adapters = kind === 'lora';
          const arms = wantedArms(wanted)
            .filter((arm) => arm.adapters === adapters)
            .filter(({ runs }) =>
              runs === 'judged'
                ? length === 1 && isJudged(task, quick)
                : runs !== 'once' || (length === 1 && seed === seeds[0]),
            )
            .map(({ name }) => name);
          if (arms.length === 0) return [];
          const trained = { task, seed, steps: Math.round(length * ownSteps), learningRate: learningRate[kind] };
          return [unitOf({ phase: 'arms', ...trained, adapters, length, arms, ...rulesOf(task) })];
        }),
      ),
    ),
  );
}

/** Each arm alone, once a task, with the first seed. */
export function timingUnits(plans: readonly TaskPlan[], rulesOf: (task: TaskName) => Rules, wanted: Wanted): Unit[] {
  const timed = wantedArms(wanted).filter((arm) => arm.timed);
  return plans.flatMap(({ task, steps, learningRate: { full, lora } }) =>
    timed
      .filter(({ runs }) => runs !== 'judged' || isJudged(task, wanted.quick))
      .map(({ name, adapters }) => {
        const trained = { task, seed: wanted.seeds[0], steps, learningRate: adapters ? lora : full };
        return unitOf({ phase: 'timing', ...trained, adapters, arms: [name], ...rulesOf(task) });
      }),
  );
}

/** The part of the units that one shard does. */
export function shardOf<T>(units: readonly T[], shard: { index: number; count: number } | null): T[] {
  return units.filter((_, i) => shard === null || i % shard.count === shard.index - 1);
}

/** What a tuning task would tell of the controls is no evidence, and costs as much as elsewhere. */
function isJudged(task: TaskName, quick: boolean): boolean {
  return quick || !tuningTasks.includes(task);
}

function wantedArms({ arms, policy }: Pick<Wanted, 'arms' | 'policy'>) {
  const userRule = policy === null ? null : armNameOf(policy);
  return armTable({ userRule }).filter(({ name }) => arms.includes(name));
}

/** The rate with the best mean accuracy on validation; the smaller one where two are equal. */
export function chooseLearningRate(sweep: readonly ArmResult[], task: string, kind: 'full' | 'lora'): number {
  const score = (rate: number) => scoreOf(sweep, task, kind, rate, learningRateLength);
  return [...learningRates[kind]].sort((a, b) => score(b) - score(a) || a - b)[0];
}

/**
 * The shortest length that no longer one beats by the margin. Comparing with every longer one, and not only with the
 * double, keeps a task that jumps late from being cut off on the plain before the jump.
 */
export function chooseLength(sweep: readonly ArmResult[], task: string, rate: number): number {
  const scores = sweepLengths.map((steps) => ({ steps, score: scoreOf(sweep, task, 'full', rate, steps) }));
  const chosen = scores.find(({ steps, score }) =>
    scores.every((other) => other.steps <= steps || other.score - score < margin),
  );
  // The longest has none beyond it.
  return chosen?.steps ?? sweepLengths[sweepLengths.length - 1];
}

/**
 * The setting with the fewest operations among those within the margin of full training, on average over tasks and seeds; the
 * default where nothing was tuned.
 */
export function chooseSetting(results: readonly ArmResult[]): string {
  const tried = new Set(results.map(({ arm }) => arm).filter((arm) => arm !== 'full'));
  const settings = [...tried].flatMap((setting) => {
    const pairs = pairsOf(results, setting, 'full');
    const difference = mean(pairs.map(({ arm, base }) => arm.accuracy - base.accuracy));
    const operations = mean(pairs.map(({ arm, base }) => trainingOperations(arm) / trainingOperations(base)));
    return difference >= -margin ? [{ setting, operations }] : [];
  });
  return settings.sort((a, b) => a.operations - b.operations)[0]?.setting ?? defaultSetting;
}

function scoreOf(sweep: readonly ArmResult[], task: string, arm: string, rate: number, steps: number): number {
  const own = sweep.filter(
    (r) => r.task === task && r.arm === arm && r.learningRate === rate && r.scheduleSteps === steps,
  );
  return mean(own.map(({ accuracy }) => accuracy));
}
