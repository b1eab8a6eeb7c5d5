import { ArgumentError } from '../../src/index.ts';
import { hierarchicalBootstrap, type Interval, mean, standardDeviation } from './bootstrap.ts';
import { type ArmName, type ArmResult, armNames, type Comparison, type Operations, type Timing } from './results.ts';

/** Points of accuracy by which an arm may be worse and still count as not worse. */
export const margin = 0.5;

/** Above this a timing was disturbed enough to say so beside it. */
export const disturbed = 0.05;

export const loraArms = armNames.filter((arm) => arm.startsWith('lora'));

/** What GradES is held against: its controls at equal operations, then classic stopping. */
export const controlsOf: Partial<Record<ArmName, readonly ArmName[]>> = {
  'full+grades': [
    'plain-stop',
    'short-cosine',
    'short-cosine-2x',
    'all-at-once',
    'random-matrices',
    'reversed',
    'plateau',
    'full+stopping',
    'full+stopping-best',
    'full+stopping-costly',
  ],
  'lora+grades': ['lora-plain-stop', 'lora+stopping'],
};

export interface Pair {
  task: string;
  seed: number;
  arm: ArmResult;
  base: ArmResult;
}

/** Two arms on the same tasks with the same seeds. What could not be paired is told in `remarks`. */
export interface Pairs {
  arm: ArmName;
  base: ArmName;
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
  remarks: readonly string[];
}

export function totalOperations({ forward, backward, optimizer, validation }: Operations): number {
  return forward + backward + optimizer + validation;
}

/** The names of the tasks that are evidence, or of those that the thresholds were chosen on. */
export function tasksOf(comparison: Comparison, part: 'evaluation' | 'tuning'): string[] {
  return comparison.tasks.filter(({ tuning }) => tuning === (part === 'tuning')).map(({ name }) => name);
}

/** Runs of an arm at one schedule length, for the given tasks in their order. */
export function runsOf(comparison: Comparison, arm: ArmName, tasks: readonly string[], length = 1): ArmResult[] {
  return tasks.flatMap((task) =>
    comparison.arms.filter((run) => run.arm === arm && run.task === task && run.length === length),
  );
}

/**
 * Pairs two arms by task and seed. Every seed of the comparison is expected on every task.
 *
 * @throws {ArgumentError} an arm ran twice on one task with one seed and schedule.
 */
export function pairRuns(
  comparison: Comparison,
  arm: ArmName,
  base: ArmName,
  tasks: readonly string[],
  length = 1,
): Pairs {
  const ofArm = byTaskAndSeed(runsOf(comparison, arm, tasks, length));
  const ofBase = byTaskAndSeed(runsOf(comparison, base, tasks, length));
  const pairs: Pair[] = [];
  const gaps = new Map<string, TaskAndSeed[]>();
  const gap = (what: string, where: TaskAndSeed) => gaps.set(what, [...(gaps.get(what) ?? []), where]);
  for (const task of tasks) {
    const present = [...ofArm.values(), ...ofBase.values()].filter((run) => run.task === task).map(({ seed }) => seed);
    for (const seed of [...new Set([...comparison.seeds, ...present])].sort((a, b) => a - b)) {
      const key = keyOf({ task, seed });
      const first = ofArm.get(key);
      const second = ofBase.get(key);
      const where = { task, seed };
      if (!first) gap(`${arm} has no run`, where);
      if (!second) gap(`${base} has no run`, where);
      if (!first || !second) continue;
      if (Number.isFinite(first.accuracy) && Number.isFinite(second.accuracy)) {
        pairs.push({ task, seed, arm: first, base: second });
      } else gap(`${Number.isFinite(first.accuracy) ? base : arm} has no finite accuracy`, where);
    }
  }
  const remarks = [...gaps].map(([what, where]) => `${what} ${placesInWords(where, tasks, comparison.seeds.length)}`);
  return { arm, base, pairs, remarks: pairs.length === 0 && tasks.length === 0 ? ['there is no such task'] : remarks };
}

/** Accuracy of `arm` minus `base` in points, mean over tasks of the means over seeds, by a hierarchical bootstrap. */
export function accuracyDifference(
  comparison: Comparison,
  arm: ArmName,
  base: ArmName,
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
  arm: ArmName,
  base: ArmName,
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

/** The timings of an arm on a task; those of the task's own schedule where there are any. */
export function timingsOf(comparison: Comparison, arm: ArmName, task: string): Timing[] {
  const all = comparison.timings.filter((timing) => timing.arm === arm && timing.task === task);
  const own = all.filter(({ scheduleSteps }) => scheduleSteps === ownSteps(comparison, task));
  return own.length > 0 ? own : all;
}

/**
 * What watching costs: seconds a token before the first freeze over those of `base` from its start, less 1; the mean over
 * the tasks where both are known, or null.
 */
export function watchingOverhead(
  comparison: Comparison,
  arm: ArmName,
  base: ArmName,
  tasks: readonly string[],
): number | null {
  const speed = (name: ArmName, task: string) =>
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
  const { pairs, remarks } = pairRuns(comparison, 'null', 'full', tasks);
  if (pairs.length < 2) return null;
  const points = pairs.map(pointsBetween);
  const spread = Math.sqrt(mean(points.map((value) => value ** 2)));
  return {
    pairs: pairs.length,
    tasks: byTask(pairs).length,
    mean: mean(points),
    spread,
    band: (1.96 * spread) / Math.sqrt(pairs.length),
    remarks,
  };
}

/** Everything that is said about the accuracies of one part of the tasks. */
export interface Analysis {
  tasks: readonly string[];
  /** Every arm but `full` itself, against `full`. */
  againstFull: readonly Difference[];
  /** The LoRA arms against `lora`. */
  againstLora: readonly Difference[];
  /** GradES against its controls and against stopping. */
  againstControls: readonly Difference[];
  noise: NoiseFloor | null;
}

export function analyse(comparison: Comparison, part: 'evaluation' | 'tuning'): Analysis {
  const tasks = tasksOf(comparison, part);
  const against = (base: ArmName, arms: readonly ArmName[]) =>
    arms.filter((arm) => arm !== base).map((arm) => accuracyDifference(comparison, arm, base, tasks));
  return {
    tasks,
    againstFull: against('full', armNames),
    againstLora: against('lora', loraArms),
    againstControls: armNames.flatMap((arm) =>
      (controlsOf[arm] ?? []).map((control) => accuracyDifference(comparison, arm, control, tasks)),
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
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(item.task, [...(groups.get(item.task) ?? []), item]);
  return [...groups];
}

function byTaskAndSeed(runs: readonly ArmResult[]): Map<string, ArmResult> {
  const found = new Map<string, ArmResult>();
  for (const run of runs) {
    const key = keyOf(run);
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

/** `at all`, `for seeds 2, 3 on every task`, or `for one seed 2, other seeds 1, 2`. */
function placesInWords(places: readonly TaskAndSeed[], tasks: readonly string[], seeds: number): string {
  const groups = byTask(places).map(([task, ofTask]) => ({ task, seeds: ofTask.map(({ seed }) => seed) }));
  const inWords = (numbers: readonly number[]) => `${numbers.length === 1 ? 'seed' : 'seeds'} ${numbers.join(', ')}`;
  const [first] = groups;
  const alike =
    first && groups.length === tasks.length && groups.every((group) => inWords(group.seeds) === inWords(first.seeds));
  if (alike && first.seeds.length >= seeds) return 'at all';
  if (alike && tasks.length > 1) return `for ${inWords(first.seeds)} on every task`;
  return `for ${groups.map((group) => `${group.task} ${inWords(group.seeds)}`).join(', ')}`;
}

interface TaskAndSeed {
  task: string;
  seed: number;
}

function keyOf({ task, seed }: TaskAndSeed): string {
  return `${seed} ${task}`;
}

function ownSteps(comparison: Comparison, task: string): number | undefined {
  return comparison.tasks.find(({ name }) => name === task)?.steps;
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
