/** What results say: paired differences, ratios, times and the noise floor. */

import { paperArms } from '../paper-rules.ts';
import { grouped } from '../report/numbers.ts';
import { type Arm, armTable } from './arms.ts';
import { hierarchicalBootstrap, type Interval, mean } from './bootstrap.ts';
import * as protocol from './protocol.ts';
import type { ArmResult, Comparison, Operations, Results } from './results.ts';

/** Points of accuracy by which an arm may be worse and still count as not worse. */
export const margin = 100 * protocol.margin;

interface Pair {
  task: string;
  arm: ArmResult;
  base: ArmResult;
}

/** Two arms on the same tasks with the same seeds: points of accuracy of `arm` minus `base`, and what it cost. */
export interface Difference {
  arm: string;
  base: string;
  /** The schedule as a multiple of the tasks' own. */
  length: number;
  pairs: readonly Pair[];
  /** Pairs without two finite accuracies. */
  missing: number;
  /** Null without a single pair. */
  estimate: Estimate | null;
  /** Over those of `base`. Null without a single pair; of the time, without a task on which both were timed. */
  operations: number | null;
  time: number | null;
}

interface Estimate extends Interval {
  /** Whether anything was resampled: one pair has no interval. */
  hasInterval: boolean;
  tasks: number;
  /** That it is not worse by more than the margin. */
  verdict: 'shown' | 'not shown';
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
  return armTable({ userRule: policy?.arm }).filter(({ name }) => present.has(name));
}

/** Runs of an arm at one schedule length, task by task in the given order, and by their seeds. */
export function runsOf(
  runs: readonly ArmResult[],
  arm: string,
  tasks: readonly string[] = [...new Set(runs.map(({ task }) => task))],
  length = 1,
): ArmResult[] {
  return tasks.flatMap((task) =>
    runs.filter((run) => run.arm === arm && run.task === task && run.length === length).sort((a, b) => a.seed - b.seed),
  );
}

/** The runs of two arms, by task and seed. */
export function pairsOf(
  runs: readonly ArmResult[],
  arm: string,
  base: string,
  tasks?: readonly string[],
  length?: number,
): Pair[] {
  const others = runsOf(runs, base, tasks, length);
  return runsOf(runs, arm, tasks, length).flatMap((run) => {
    const other = others.find(({ task, seed }) => task === run.task && seed === run.seed);
    if (!other || !Number.isFinite(run.accuracy) || !Number.isFinite(other.accuracy)) return [];
    return [{ task: run.task, arm: run, base: other }];
  });
}

/** `arm` beside `base`; the difference is the mean over tasks of the means over seeds, by a hierarchical bootstrap. */
export function differenceOf(
  { seeds, arms, timings }: Results,
  arm: string,
  base: string,
  tasks: readonly string[],
  length = 1,
): Difference {
  const pairs = pairsOf(arms, arm, base, tasks, length);
  return {
    ...{ arm, base, length, pairs },
    missing: tasks.length * seeds.length - pairs.length,
    estimate: pairs.length > 0 ? estimateOf(pairs) : null,
    operations: ratioOf(pairs, totalOperations),
    time: ratioOf(pairsOf(timings, arm, base, tasks, length), secondsOf),
  };
}

function estimateOf(pairs: readonly Pair[]): Estimate {
  const groups = byTask(pairs).map(([, ofTask]) => ofTask.map(pointsBetween));
  const interval = hierarchicalBootstrap(groups);
  const hasInterval = pairs.length > 1;
  const verdict = hasInterval && interval.lowerBound > -margin ? 'shown' : 'not shown';
  return { ...interval, hasInterval, tasks: groups.length, verdict };
}

/** What `arm` spent over what `base` did, of sums; null without a pair. */
export function ratioOf(pairs: readonly Pair[], cost: (run: ArmResult) => number): number | null {
  const sum = (side: 'arm' | 'base') => pairs.reduce((total, pair) => total + cost(pair[side]), 0);
  return pairs.length > 0 ? sum('arm') / sum('base') : null;
}

export function totalOperations({ operations: { forward, backward, optimizer, validation } }: ArmResult): number {
  return forward + backward + optimizer + validation;
}

/** One part of the operations of `arm`, as a share of all of `base`'s. */
export function operationsShare(pairs: readonly Pair[], part: keyof Operations): number {
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return sum(pairs.map(({ arm }) => arm.operations[part])) / sum(pairs.map(({ base }) => totalOperations(base)));
}

/** Of a run that was timed, validation included. */
function secondsOf({ timing }: ArmResult): number {
  return timing ? timing.seconds.train + timing.seconds.validate : Number.NaN;
}

/** The spread of `null` minus `full`; null where fewer than two runs can be paired. */
export function noiseFloor({ arms }: Results, tasks: readonly string[]): NoiseFloor | null {
  const pairs = pairsOf(arms, 'null', 'full', tasks);
  if (pairs.length < 2) return null;
  const points = pairs.map(pointsBetween);
  const spread = Math.sqrt(mean(points.map((value) => value ** 2)));
  const band = (1.96 * spread) / Math.sqrt(pairs.length);
  return { pairs: pairs.length, tasks: byTask(pairs).length, mean: mean(points), spread, band };
}

/** Everything that is said about the accuracies of the evaluation tasks. */
export interface Analysis {
  tasks: readonly string[];
  /** Every arm but `full` itself, against `full`. */
  againstFull: readonly Difference[];
  /** The LoRA arms against `lora`. */
  againstLora: readonly Difference[];
  /** Each rule against what takes its operations; GradES and a rule of the user's own against early stopping too. */
  againstControls: readonly Difference[];
  /** GradES on schedules of other lengths. */
  otherLengths: readonly Difference[];
  noise: NoiseFloor | null;
}

export function analyse(comparison: Comparison): Analysis {
  const tasks = tasksOf(comparison, 'evaluation');
  const arms = armsOf(comparison).filter(({ name }) => runsOf(comparison.arms, name, tasks).length > 0);
  const against = (base: string, others: readonly Arm[], length?: number) =>
    arms.some(({ name }) => name === base)
      ? others
          .filter(({ name }) => name !== base)
          .map(({ name }) => differenceOf(comparison, name, base, tasks, length))
      : [];
  const isOfPaper = ({ name }: Arm) => paperArms.some((each) => each === name);
  const controlsOf = (rule: Arm) => [
    ...arms.filter((arm) => arm.rule === rule.name),
    ...arms.filter((arm) => arm.role === 'stopping' && arm.adapters === rule.adapters && !isOfPaper(rule)),
  ];
  const lengths = [...new Set(comparison.arms.map(({ length }) => length))].sort((a, b) => a - b);
  return {
    tasks,
    againstFull: against('full', arms),
    againstLora: against(
      'lora',
      arms.filter(({ adapters }) => adapters),
    ),
    againstControls: arms
      .filter(({ role }) => role === 'rule')
      .flatMap((rule) => controlsOf(rule).flatMap(({ name }) => against(name, [rule]))),
    otherLengths: ['full', 'lora'].flatMap((kind) =>
      lengths
        .filter((length) => length !== 1)
        .map((length) => differenceOf(comparison, `${kind}+grades`, kind, tasks, length))
        .filter(({ estimate }) => estimate !== null),
    ),
    noise: noiseFloor(comparison, tasks),
  };
}

export function byTask<T extends { task: string }>(items: readonly T[]): [string, T[]][] {
  return grouped(items, ({ task }) => task);
}

/** Points of accuracy, the mean over pairs. */
export function meanPoints(pairs: readonly Pair[]): number {
  return mean(pairs.map(pointsBetween));
}

function pointsBetween({ arm, base }: Pair): number {
  return 100 * (arm.accuracy - base.accuracy);
}
