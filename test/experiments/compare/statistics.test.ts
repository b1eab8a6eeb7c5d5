import { expect, test } from 'vitest';
import type { ArmResult, Comparison } from '../../../experiments/compare/results.ts';
import {
  analyse,
  differenceOf,
  noiseFloor,
  operationsShare,
  pairsOf,
  tasksOf,
} from '../../../experiments/compare/statistics.ts';
import { madeUpComparison } from './made-up.ts';

const tasks = ['made-up-1', 'made-up-2'];

function small(): Comparison {
  return madeUpComparison({ evaluationTasks: 2, seeds: 3, lengths: [1] });
}

function withArms(change: (arms: ArmResult[]) => ArmResult[]): Comparison {
  const comparison = small();
  return { ...comparison, arms: change([...comparison.arms]) };
}

function withAccuracies(accuracies: (run: ArmResult) => number): Comparison {
  return withArms((arms) => arms.map((run) => ({ ...run, accuracy: accuracies(run) })));
}

test('runs are paired by task and seed: what task and seed do to both cancels', () => {
  const comparison = withAccuracies(
    ({ arm, task, seed }) => 0.5 + 0.1 * seed + (task === 'made-up-2' ? 0.05 : 0) + (arm === 'full+grades' ? -0.01 : 0),
  );
  // The order of the runs must not matter.
  const shuffled = { ...comparison, arms: [...comparison.arms].reverse() };
  const { estimate, pairs, missing } = differenceOf(shuffled, 'full+grades', 'full', tasks);
  expect(pairs).toHaveLength(6);
  expect(missing).toBe(0);
  expect(estimate?.mean).toBeCloseTo(-1, 10);
  expect(estimate?.low).toBeCloseTo(-1, 10);
  expect(estimate?.high).toBeCloseTo(-1, 10);
  expect(estimate?.verdict).toBe('not shown');
});

test.each([
  [-0.4, 'shown'],
  [-0.6, 'not shown'],
  [0.2, 'shown'],
] as const)('a difference of %s points is not worse by more than half a point: %s', (points, verdict) => {
  const comparison = withAccuracies(({ arm }) => (arm === 'full' ? 0.8 : 0.8 + points / 100));
  expect(differenceOf(comparison, 'full+grades', 'full', tasks).estimate?.verdict).toBe(verdict);
});

test('a missing run is told and leaves its pair out; it is no zero', () => {
  const isMissing = ({ arm, task, seed }: ArmResult) => arm === 'full+grades' && task === 'made-up-1' && seed === 2;
  const comparison = withArms((arms) =>
    arms.filter((run) => !isMissing(run)).map((run) => ({ ...run, accuracy: run.arm === 'full+grades' ? 0.81 : 0.8 })),
  );
  const { estimate, pairs, missing } = differenceOf(comparison, 'full+grades', 'full', tasks);
  expect(pairs).toHaveLength(5);
  expect(missing).toBe(1);
  expect(estimate?.mean).toBeCloseTo(1, 10);
});

test('an arm that did not run, or gave no number, has no estimate', () => {
  const absent = withArms((arms) => arms.filter(({ arm }) => arm !== 'reversed'));
  expect(differenceOf(absent, 'full+grades', 'reversed', tasks)).toMatchObject({ estimate: null, missing: 6 });

  const broken = withAccuracies(({ arm }) => (arm === 'reversed' ? Number.NaN : 0.8));
  expect(differenceOf(broken, 'full+grades', 'reversed', tasks)).toMatchObject({
    estimate: null,
    missing: 6,
  });
});

test('a single pair has a mean and no interval', () => {
  const comparison = madeUpComparison({ evaluationTasks: 1, seeds: 1, lengths: [1] });
  const { estimate } = differenceOf(comparison, 'full+grades', 'full', ['made-up-1']);
  expect(estimate).toMatchObject({ hasInterval: false, verdict: 'not shown' });
});

test('what was not run is compared with nothing', () => {
  const comparison = withArms((arms) => arms.filter(({ arm }) => ['full', 'full+grades', 'plain-stop'].includes(arm)));
  const { againstFull, againstLora, againstControls } = analyse(comparison);
  expect(againstFull.map(({ arm }) => arm)).toEqual(['full+grades', 'plain-stop']);
  expect(againstControls.map(({ arm, base }) => [arm, base])).toEqual([['full+grades', 'plain-stop']]);
  expect(againstLora).toEqual([]);
});

test("a user's rule is held against its own plain stop and early stopping, a paper's rule against its own plain stop", () => {
  const comparison = withArms((arms) => [
    ...arms,
    ...arms
      .filter(({ arm }) => arm === 'full')
      .flatMap((run) => [
        { ...run, arm: 'mine' },
        { ...run, arm: 'mine-plain-stop' },
      ]),
  ]);
  const { againstControls } = analyse({ ...comparison, policy: { arm: 'mine', file: 'mine.ts' } });
  const against = (arm: string) => againstControls.filter((each) => each.arm === arm).map(({ base }) => base);
  expect(against('mine')).toEqual(['mine-plain-stop', 'full+stopping', 'full+stopping-best', 'full+stopping-costly']);
  expect(against('paper-v1')).toEqual(['paper-v1-plain-stop']);
  expect(against('lora+grades')).toEqual(['lora-plain-stop', 'lora+stopping']);
});

test('tuning tasks are no evidence', () => {
  const comparison = small();
  expect(tasksOf(comparison, 'evaluation')).toEqual(tasks);
  expect(tasksOf(comparison, 'tuning')).toEqual(['tuned-task']);
});

test('other schedule lengths do not enter', () => {
  const comparison = madeUpComparison({ evaluationTasks: 2, seeds: 3, lengths: [0.5, 1, 2] });
  expect(pairsOf(comparison.arms, 'full+grades', 'full', tasks)).toHaveLength(6);
  expect(pairsOf(comparison.arms, 'full+grades', 'full', tasks, 2).every(({ arm }) => arm.length === 2)).toBe(true);
  expect(analyse(comparison).otherLengths.map(({ arm, length }) => [arm, length])).toEqual([
    ...[0.5, 2].map((length) => ['full+grades', length]),
    ...[0.5, 2].map((length) => ['lora+grades', length]),
  ]);
});

test('operations are a ratio of sums, of which validation is a part', () => {
  const cost = (run: ArmResult) => {
    if (run.arm === 'full') return run.task === 'made-up-1' ? 10 : 1000;
    return run.task === 'made-up-1' ? 40 : 1000;
  };
  const comparison = withArms((arms) =>
    arms.map((run) => ({
      ...run,
      operations: { forward: cost(run) / 2, backward: cost(run) / 4, optimizer: 0, validation: cost(run) / 4 },
    })),
  );
  const { operations, pairs } = differenceOf(comparison, 'full+grades', 'full', tasks);
  expect(operations).toBeCloseTo(1040 / 1010, 10);
  expect(operationsShare(pairs, 'validation')).toBeCloseTo(260 / 1010, 10);
});

test('time is compared where both arms were timed, and validation is part of it', () => {
  const comparison = small();
  expect(differenceOf(comparison, 'full+stopping', 'full', tasks).time).toBeCloseTo(0.7, 10);
  const seconds = (run: ArmResult, train: number) => ({
    ...run,
    timing: { ...run.timing!, seconds: { train, validate: 0 } },
  });
  const partly = {
    ...comparison,
    timings: comparison.timings
      .filter(({ arm, task }) => arm !== 'full+stopping' || task === 'made-up-1')
      .map((run) => seconds(run, run.task === 'made-up-1' ? (run.arm === 'full' ? 4 : 3) : 100)),
  };
  expect(differenceOf(partly, 'full+stopping', 'full', tasks).time).toBeCloseTo(0.75, 10);
  expect(differenceOf(comparison, 'reversed', 'full', tasks).time).toBeNull();
});

test('the noise floor is the spread of null minus full', () => {
  const sign = ({ seed }: ArmResult) => (seed % 2 === 0 ? 1 : -1);
  const comparison = withAccuracies((run) => 0.8 + (run.arm === 'null' ? 0.004 * sign(run) : 0));
  const noise = noiseFloor(comparison, tasks);
  expect(noise?.spread).toBeCloseTo(0.4, 10);
  expect(noise?.band).toBeCloseTo((1.96 * 0.4) / Math.sqrt(6), 10);
  expect(
    noiseFloor(
      withArms((arms) => arms.filter(({ arm }) => arm !== 'null')),
      tasks,
    ),
  ).toBeNull();
});
