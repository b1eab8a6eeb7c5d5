import { expect, test } from 'vitest';
import { hierarchicalBootstrap, mean, standardDeviation } from '../../../experiments/compare/bootstrap.ts';
import { ArgumentError, Random } from '../../../src/index.ts';

test('a constant difference has an interval of width 0, exactly', () => {
  expect(
    hierarchicalBootstrap([
      [0.1, 0.1, 0.1],
      [0.1, 0.1],
    ]),
  ).toEqual({ mean: 0.1, low: 0.1, high: 0.1, lowerBound: 0.1 });
});

test('the mean is the mean of the tasks, whatever the number of their seeds', () => {
  expect(hierarchicalBootstrap([[1, 1, 1, 1, 1, 1], [3]]).mean).toBeCloseTo(2, 12);
});

test('symmetric noise has a symmetric interval around 0, and the one-sided bound lies inside the two-sided one', () => {
  const {
    mean: centre,
    low,
    high,
    lowerBound,
  } = hierarchicalBootstrap([
    [-1, 1, -2, 2],
    [-1, 1, -2, 2],
    [-1, 1, -2, 2],
  ]);
  expect(centre).toBe(0);
  // The means lie on a grid of twelfths.
  expect(Math.abs(low + high)).toBeLessThan(0.1);
  expect(low).toBeLessThan(lowerBound);
  expect(lowerBound).toBeLessThan(0);
});

test('with one seed a task it is the plain bootstrap: the standard error is that of a mean', () => {
  const values = [-2, -1, 0, 1, 2, -2, -1, 0, 1, 2];
  const { low, high } = hierarchicalBootstrap(values.map((value) => [value]));
  const standardError = Math.sqrt(mean(values.map((value) => value ** 2)) / values.length);
  expect((high - low) / 2).toBeCloseTo(1.96 * standardError, 1);
});

test('tasks that differ widen the interval even where their seeds agree', () => {
  const { low, high } = hierarchicalBootstrap([
    [-1, -1],
    [1, 1],
    [3, 3],
  ]);
  expect([low, high]).toEqual([-1, 3]);
});

test('intervals of simulated runs cover the true mean about as often as they say', () => {
  const random = new Random(11);
  const rounds = 120;
  let covered = 0;
  for (let round = 0; round < rounds; round++) {
    const groups = Array.from({ length: 12 }, () => {
      const task = random.normal();
      return Array.from({ length: 3 }, () => 5 + task + random.normal());
    });
    const { low, high } = hierarchicalBootstrap(groups);
    if (low <= 5 && 5 <= high) covered++;
  }
  expect(covered / rounds).toBeGreaterThan(0.89);
  expect(covered / rounds).toBeLessThan(0.995);
});

test('the same data give the same interval', () => {
  const groups = [[0.3, 0.1], [0.2]];
  expect(hierarchicalBootstrap(groups)).toEqual(hierarchicalBootstrap(groups));
});

test('nothing to resample, and what is no number, is refused', () => {
  expect(() => hierarchicalBootstrap([])).toThrow(ArgumentError);
  expect(() => hierarchicalBootstrap([[1], []])).toThrow('at least one value each');
  expect(() => hierarchicalBootstrap([[1, Number.NaN]])).toThrow('value NaN must be finite');
});

test('a single value has no deviation', () => {
  expect(standardDeviation([1])).toBeNull();
  expect(standardDeviation([1, 3])).toBeCloseTo(Math.SQRT2, 12);
});
