/** What the results of a comparison say: paired differences, ratios, times and the noise floor. */

import { ArgumentError } from '../../src/index.ts';
import { counted } from '../report/numbers.ts';
import { type Arm, arms as armTable, paperArms, userArms } from './arms.ts';
import { hierarchicalBootstrap, type Interval, mean, standardDeviation } from './bootstrap.ts';
import * as protocol from './protocol.ts';
import type { ArmResult, Comparison, Operations, Timing } from './results.ts';

/** Points of accuracy by which an arm may be worse and still count as not worse. */
export const margin = 100 * protocol.margin;

export interface Pair {
  task: string;
  seed: number;
  arm: ArmResult;
  base: ArmResult;
}

/** Two arms on the same tasks with the same seeds. `remarks` tell of pairs that are missing. */
export interface Pairs {
  arm: string;
  base: string;
  pairs: readonly Pair[];
  remarks: readonly string[];
}

/** Points of accuracy of `arm` minus `base`. */
export interface Difference extends Pairs {
  /** Null without a single pair. */
  estimate:
    | (Interval & {
        /** Whether anything was resampled: one pair has no interval. */
        hasInterval: boolean;
        tasks: number;
        /** Of the single paired differences. */
        deviation: number | null;
        verdict: 'shown' | 'not shown';
      })
    | null;
}

export interface Ratio {
  ofSums: number;
  /** Of the tasks' ratios. */
  geometricMean: number;
  tasks: number;
}

/** How far the accuracy moves when next to nothing differs. */
export interface NoiseFloor {
  pairs: number;
  tasks: number;
  mean: number;
  /** Root mean square of single differences: their true mean is 0. */
  spread: number;
  /** Half the width of the band in which 95 % of the means of as many pairs fall by noise alone. */
  band: number;
}

export function totalOperations({ forward, backward, optimizer, validation }: Operations): number {
  return forward + backward + optimizer + validation;
}

/** The names of the tasks that are evidence, or of those that the thresholds were chosen on. */
export function tasksOf(comparison: Comparison, part: 'evaluation' | 'tuning'): string[] {
  return comparison.tasks.filter(({ tuning }) => tuning === (part === 'tuning')).map(({ name }) => name);
}

/** Runs of an arm at one schedule length, task by task in the given order, and by their seeds. */
export function runsOf({ arms }: Comparison, arm: string, tasks: readonly string[], length = 1): ArmResult[] {
  return tasks.flatMap((task) =>
    arms.filter((run) => run.arm === arm && run.task === task && run.length === length).sort((a, b) => a.seed - b.seed),
  );
}

/** The arms that have results, in the order of the table. */
export function armsOf({ arms, policy }: Comparison): Arm[] {
  const present = new Set(arms.map(({ arm }) => arm));
  return [...armTable, ...(policy ? userArms(policy.arm) : [])].filter(({ name }) => present.has(name));
}

/**
 * Pairs two arms by task and seed. Every seed of the comparison is expected on every task.
 *
 * @throws {ArgumentError} an arm ran twice on one task with one seed and schedule.
 */
export function pairRuns(
  comparison: Comparison,
  arm: string,
  base: string,
  tasks: readonly string[],
  length = 1,
): Pairs {
  const [ofArm, ofBase] = [arm, base].map((name) => byTaskAndSeed(runsOf(comparison, name, tasks, length)));
  const pairs = [...ofArm].flatMap(([key, run]): Pair[] => {
    const other = ofBase.get(key);
    if (!other || !Number.isFinite(run.accuracy) || !Number.isFinite(other.accuracy)) return [];
    return [{ task: run.task, seed: run.seed, arm: run, base: other }];
  });
  const missing = tasks.length * comparison.seeds.length - pairs.length;
  const remarks = missing > 0 ? [`${arm} and ${base}: ${counted(missing, 'pair')} without two finite accuracies`] : [];
  return { arm, base, pairs, remarks };
}

/** Accuracy of `arm` minus `base` in points, mean over tasks of the means over seeds, by a hierarchical bootstrap. */
export function accuracyDifference(
  comparison: Comparison,
  arm: string,
  base: string,
  tasks: readonly string[],
  length = 1,
): Difference {
  const paired = pairRuns(comparison, arm, base, tasks, length);
  if (paired.pairs.length === 0) return { ...paired, estimate: null };
  const groups = byTask(paired.pairs).map(([, pairs]) => pairs.map(pointsBetween));
  const interval = hierarchicalBootstrap(groups);
  const hasInterval = paired.pairs.length > 1;
  return {
    ...paired,
    estimate: {
      ...interval,
      hasInterval,
      tasks: groups.length,
      deviation: standardDeviation(groups.flat()),
      verdict: hasInterval && interval.lowerBound > -margin ? 'shown' : 'not shown',
    },
  };
}

export function pointsBetween({ arm, base }: Pair): number {
  return 100 * (arm.accuracy - base.accuracy);
}

/** Operations of `arm` over those of `base` on the pairs; null without any. */
export function operationsRatio({ pairs }: Pairs): Ratio | null {
  return ratioOf(
    byTask(pairs).map(([, ofTask]) => ({
      arm: sum(ofTask.map(({ arm }) => totalOperations(arm.operations))),
      base: sum(ofTask.map(({ base }) => totalOperations(base.operations))),
    })),
  );
}

/** The parts of `arm`'s operations, each as a share of all of `base`'s, so that they add up to the ratio of sums. */
export function operationParts({ pairs }: Pairs): Operations | null {
  const all = sum(pairs.map(({ base }) => totalOperations(base.operations)));
  if (!(all > 0)) return null;
  const share = (part: keyof Operations) => sum(pairs.map(({ arm }) => arm.operations[part])) / all;
  return {
    forward: share('forward'),
    backward: share('backward'),
    optimizer: share('optimizer'),
    validation: share('validation'),
  };
}

/** Steps run by `arm` over those run by `base`. */
export function stepsRatio({ pairs }: Pairs): number | null {
  const all = sum(pairs.map(({ base }) => base.steps));
  return all > 0 ? sum(pairs.map(({ arm }) => arm.steps)) / all : null;
}

export interface TimeComparison {
  /** Of `arm`'s seconds over `base`'s. */
  total: Ratio;
  /** Parts of `arm`'s time as shares of all of `base`'s. */
  train: number;
  validate: number;
  /** Mean seconds a task. */
  seconds: { train: number; validate: number };
  /** The tasks where both were timed. */
  tasks: readonly string[];
  /** The largest share of the time that something else took. */
  disturbance: number;
}

/** Wall time of `arm` beside `base`, on the tasks where both were timed; null without any. */
export function timeComparison(
  comparison: Comparison,
  arm: string,
  base: string,
  tasks: readonly string[],
): TimeComparison | null {
  const both = tasks
    .map((task) => ({ task, arm: timingsOf(comparison, arm, task), base: timingsOf(comparison, base, task) }))
    .filter((timed) => timed.arm.length > 0 && timed.base.length > 0);
  const seconds = both.map((timed) => ({ arm: meanSeconds(timed.arm), base: meanSeconds(timed.base) }));
  const total = ratioOf(
    seconds.map((each) => ({ arm: each.arm.train + each.arm.validate, base: each.base.train + each.base.validate })),
  );
  if (!total) return null;
  const all = sum(seconds.map(({ base }) => base.train + base.validate));
  const train = sum(seconds.map((each) => each.arm.train));
  const validate = sum(seconds.map((each) => each.arm.validate));
  return {
    total,
    train: train / all,
    validate: validate / all,
    seconds: { train: train / both.length, validate: validate / both.length },
    tasks: both.map(({ task }) => task),
    disturbance: Math.max(...both.flatMap((timed) => [...timed.arm, ...timed.base]).map((each) => each.disturbance)),
  };
}

/** The timings of an arm on a task. */
export function timingsOf({ timings }: Comparison, arm: string, task: string): Timing[] {
  return timings.filter((timing) => timing.arm === arm && timing.task === task);
}

/**
 * What watching costs: seconds a token before the first freeze over those of `base` from its start, less 1; the mean over
 * the tasks where both are known, or null.
 */
export function watchingOverhead(
  comparison: Comparison,
  arm: string,
  base: string,
  tasks: readonly string[],
): number | null {
  const speed = (name: string, task: string) =>
    timingsOf(comparison, name, task).flatMap(({ speeds }) =>
      speeds.filter(({ frozen, tokensPerSecond }) => frozen === 0 && tokensPerSecond > 0).slice(0, 1),
    );
  const overheads = tasks.flatMap((task) => {
    const [watched, plain] = [speed(arm, task), speed(base, task)].map((speeds) =>
      speeds.map(({ tokensPerSecond }) => tokensPerSecond),
    );
    return watched!.length > 0 && plain!.length > 0 ? [mean(plain!) / mean(watched!) - 1] : [];
  });
  return overheads.length > 0 ? mean(overheads) : null;
}

/** The spread of `null` minus `full`; null where fewer than two runs can be paired. */
export function noiseFloor(comparison: Comparison, tasks: readonly string[]): NoiseFloor | null {
  const { pairs } = pairRuns(comparison, 'null', 'full', tasks);
  if (pairs.length < 2) return null;
  const points = pairs.map(pointsBetween);
  const spread = Math.sqrt(mean(points.map((value) => value ** 2)));
  return {
    pairs: pairs.length,
    tasks: byTask(pairs).length,
    mean: mean(points),
    spread,
    band: (1.96 * spread) / Math.sqrt(pairs.length),
  };
}

/** Everything that is said about the accuracies of one part of the tasks. */
export interface Analysis {
  tasks: readonly string[];
  /** Every arm but `full` itself, against `full`. */
  againstFull: readonly Difference[];
  /** The LoRA arms against `lora`. */
  againstLora: readonly Difference[];
  /** Each rule against what takes its operations; GradES and a rule of the user's own against early stopping too. */
  againstControls: readonly Difference[];
  noise: NoiseFloor | null;
}

export function analyse(comparison: Comparison, part: 'evaluation' | 'tuning'): Analysis {
  const tasks = tasksOf(comparison, part);
  const arms = armsOf(comparison).filter(({ name }) => runsOf(comparison, name, tasks).length > 0);
  const against = (base: string, others: readonly Arm[]) =>
    arms.some(({ name }) => name === base)
      ? others.filter(({ name }) => name !== base).map(({ name }) => accuracyDifference(comparison, name, base, tasks))
      : [];
  const controlsOf = ({ name, adapters }: Arm) => [
    ...arms.filter(({ rule }) => rule === name),
    ...arms.filter(
      (arm) => arm.role === 'stopping' && arm.adapters === adapters && !paperArms.some((each) => each === name),
    ),
  ];
  return {
    tasks,
    againstFull: against('full', arms),
    againstLora: against(
      'lora',
      arms.filter(({ adapters }) => adapters),
    ),
    againstControls: arms
      .filter(({ role }) => role === 'rule')
      .flatMap((rule) =>
        controlsOf(rule).map((control) => accuracyDifference(comparison, rule.name, control.name, tasks)),
      ),
    noise: noiseFloor(comparison, tasks),
  };
}

/** Results that belong to no described task, in a sentence each. */
export function strayResults(comparison: Comparison): string[] {
  const known = new Set(comparison.tasks.map(({ name }) => name));
  const stray = new Set(comparison.arms.map(({ task }) => task).filter((task) => !known.has(task)));
  return [...stray].map((task) => `The results hold runs of ${task}, a task they do not describe; they are left out.`);
}

export function byTask<T extends { task: string }>(items: readonly T[]): [string, T[]][] {
  return grouped(items, ({ task }) => task);
}

/** Groups in the order of their first members. */
export function grouped<T, Key>(items: readonly T[], keyOf: (item: T) => Key): [Key, T[]][] {
  const groups = new Map<Key, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups];
}

function byTaskAndSeed(runs: readonly ArmResult[]): Map<string, ArmResult> {
  const found = new Map<string, ArmResult>();
  for (const run of runs) {
    const key = `${run.seed} ${run.task}`;
    if (found.has(key)) {
      throw new ArgumentError(
        `pairRuns: ${run.arm} must run once for each task, seed and length, got task ${run.task} seed ${run.seed} ` +
          `length ${run.length} more than once`,
      );
    }
    found.set(key, run);
  }
  return found;
}

function meanSeconds(timings: readonly Timing[]): { train: number; validate: number } {
  return {
    train: mean(timings.map(({ seconds }) => seconds.train)),
    validate: mean(timings.map(({ seconds }) => seconds.validate)),
  };
}

function ratioOf(tasks: readonly { arm: number; base: number }[]): Ratio | null {
  const base = sum(tasks.map((task) => task.base));
  if (tasks.length === 0 || !tasks.every((task) => task.base > 0 && task.arm > 0)) return null;
  return {
    ofSums: sum(tasks.map(({ arm }) => arm)) / base,
    geometricMean: Math.exp(mean(tasks.map((task) => Math.log(task.arm / task.base)))),
    tasks: tasks.length,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
