/** What the results of a comparison say: paired differences, ratios, times and the noise floor. */

import { counted } from '../report/numbers.ts';
import { type Arm, armTable, paperArms } from './arms.ts';
import { hierarchicalBootstrap, type Interval, mean } from './bootstrap.ts';
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
  estimate: Estimate | null;
}

interface Estimate extends Interval {
  /** Whether anything was resampled: one pair has no interval. */
  hasInterval: boolean;
  tasks: number;
  /** That it is not worse by more than the margin. */
  verdict: 'shown' | 'not shown';
}

interface Ratio {
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

/** The names of the tasks that are evidence, or of those that the thresholds were chosen on. */
export function tasksOf(comparison: Comparison, part: 'evaluation' | 'tuning'): string[] {
  return comparison.tasks.filter(({ tuning }) => tuning === (part === 'tuning')).map(({ name }) => name);
}

/** The arms that have results, in the order of the table. */
export function armsOf({ arms, policy }: Comparison): Arm[] {
  const present = new Set(arms.map(({ arm }) => arm));
  return armTable(policy?.arm).filter(({ name }) => present.has(name));
}

/** Runs of an arm at one schedule length, task by task in the given order, and by their seeds. */
export function runsOf({ arms }: Comparison, arm: string, tasks: readonly string[], length = 1): ArmResult[] {
  return tasks.flatMap((task) =>
    arms.filter((run) => run.arm === arm && run.task === task && run.length === length).sort((a, b) => a.seed - b.seed),
  );
}

/** Pairs two arms by task and seed. Every seed of the comparison is expected on every task. */
export function pairRuns(
  comparison: Comparison,
  arm: string,
  base: string,
  tasks: readonly string[],
  length = 1,
): Pairs {
  const others = runsOf(comparison, base, tasks, length);
  const pairs = runsOf(comparison, arm, tasks, length).flatMap((run): Pair[] => {
    const other = others.find(({ task, seed }) => task === run.task && seed === run.seed);
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
  const verdict = hasInterval && interval.lowerBound > -margin ? 'shown' : 'not shown';
  return { ...paired, estimate: { ...interval, hasInterval, tasks: groups.length, verdict } };
}

/** Operations of `arm` over those of `base` on the pairs; null without any. */
export function operationsRatio({ pairs }: Pairs): Ratio | null {
  return ratioOf(pairs, ({ operations }) => totalOperations(operations));
}

/** The parts of `arm`'s operations, each as a share of all of `base`'s, so that they add up to the ratio of sums. */
export function operationParts({ pairs }: Pairs): Operations {
  const all = sum(pairs.map(({ base }) => totalOperations(base.operations)));
  const share = (part: keyof Operations) => sum(pairs.map(({ arm }) => arm.operations[part])) / all;
  const [forward, backward] = [share('forward'), share('backward')];
  return { forward, backward, optimizer: share('optimizer'), validation: share('validation') };
}

/** Steps run by `arm` over those run by `base`. */
export function stepsRatio({ pairs }: Pairs): number {
  return sum(pairs.map(({ arm }) => arm.steps)) / sum(pairs.map(({ base }) => base.steps));
}

interface TimeComparison {
  /** Of `arm`'s seconds over `base`'s, validation among them. */
  total: Ratio;
  /** Mean seconds a task. */
  seconds: { train: number; validate: number };
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
  const pairs = tasks.flatMap((task) => {
    const [first, second] = [timingsOf(comparison, arm, task)[0], timingsOf(comparison, base, task)[0]];
    return first && second ? [{ task, arm: first, base: second }] : [];
  });
  const total = ratioOf(pairs, ({ seconds }) => seconds.train + seconds.validate);
  if (!total) return null;
  const seconds = pairs.map((pair) => pair.arm.seconds);
  return {
    total,
    seconds: { train: mean(seconds.map(({ train }) => train)), validate: mean(seconds.map((each) => each.validate)) },
    disturbance: Math.max(...pairs.flatMap((pair) => [pair.arm.disturbance, pair.base.disturbance])),
  };
}

/** The timings of an arm on a task. */
export function timingsOf({ timings }: Comparison, arm: string, task: string): Timing[] {
  return timings.filter((timing) => timing.arm === arm && timing.task === task);
}

/** The spread of `null` minus `full`; null where fewer than two runs can be paired. */
export function noiseFloor(comparison: Comparison, tasks: readonly string[]): NoiseFloor | null {
  const { pairs } = pairRuns(comparison, 'null', 'full', tasks);
  if (pairs.length < 2) return null;
  const points = pairs.map(pointsBetween);
  const spread = Math.sqrt(mean(points.map((value) => value ** 2)));
  const band = (1.96 * spread) / Math.sqrt(pairs.length);
  return { pairs: pairs.length, tasks: byTask(pairs).length, mean: mean(points), spread, band };
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
    others.filter(({ name }) => name !== base).map(({ name }) => accuracyDifference(comparison, name, base, tasks));
  const controlsOf = ({ name, adapters }: Arm) => [
    ...arms.filter(({ rule }) => rule === name),
    ...arms.filter(
      (arm) => arm.role === 'stopping' && arm.adapters === adapters && !paperArms.some((each) => each === name),
    ),
  ];
  const adapted = arms.filter(({ adapters }) => adapters);
  return {
    tasks,
    againstFull: arms.some(({ name }) => name === 'full') ? against('full', arms) : [],
    againstLora: arms.some(({ name }) => name === 'lora') ? against('lora', adapted) : [],
    againstControls: arms
      .filter(({ role }) => role === 'rule')
      .flatMap((rule) =>
        controlsOf(rule).map((control) => accuracyDifference(comparison, rule.name, control.name, tasks)),
      ),
    noise: noiseFloor(comparison, tasks),
  };
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

function pointsBetween({ arm, base }: Pair): number {
  return 100 * (arm.accuracy - base.accuracy);
}

function totalOperations({ forward, backward, optimizer, validation }: Operations): number {
  return forward + backward + optimizer + validation;
}

function ratioOf<T>(pairs: readonly { task: string; arm: T; base: T }[], cost: (side: T) => number): Ratio | null {
  const tasks = byTask(pairs).map(([, ofTask]) => ({
    arm: sum(ofTask.map(({ arm }) => cost(arm))),
    base: sum(ofTask.map(({ base }) => cost(base))),
  }));
  if (tasks.length === 0) return null;
  return {
    ofSums: sum(tasks.map(({ arm }) => arm)) / sum(tasks.map(({ base }) => base)),
    geometricMean: Math.exp(mean(tasks.map(({ arm, base }) => Math.log(arm / base)))),
    tasks: tasks.length,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
