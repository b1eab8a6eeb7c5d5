import { expect, test } from 'vitest';
import { curvesOf } from '../../bench/growth/curves.ts';
import type { Row } from '../../bench/row.ts';
import { median, medianInterval } from '../../bench/statistics.ts';
import { Random } from '../../src/index.ts';

test('the median lies between the two middle values where there is no single one', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test('the interval of the median holds the true one about nineteen times in twenty', () => {
  const random = new Random(1);
  const trials = 400;
  let held = 0;
  for (let i = 0; i < trials; i++) {
    // The median of -ln u is ln 2: a distribution with a long tail on one side, as times have.
    const sample = Array.from({ length: 41 }, () => -Math.log(1 - random.uniform()));
    const [low, high] = medianInterval(sample);
    if (low <= Math.LN2 && Math.LN2 <= high) held++;
  }
  expect(held / trials).toBeGreaterThan(0.92);
  expect(held / trials).toBeLessThan(1);
});

test('an interval never leaves the sample', () => {
  expect(medianInterval([5])).toEqual([5, 5]);
  expect(medianInterval([1, 2])).toEqual([1, 2]);
});

test('exponents of growth are slopes between the last two sizes', () => {
  const row = (value: number, min: number, peakBytes: number): Row => ({
    ...{ suite: 'growth', case: `time ${value}`, implementation: 'frostgrad', device: 'cpu', adapter: 'a CPU' },
    ...{ unit: 'ms', median: 2 * min, min, max: 3 * min, samples: 3, software: true, othersShare: 0, busy: false },
    ...{ peakBytes, series: {}, figures: {} },
  });
  const [curve] = curvesOf([row(32, 5, 100), row(128, 10, 400), row(256, 40, 800)]);
  expect(curve).toMatchObject({ device: 'cpu', size: 'time', timeExponent: 2, memoryExponent: 1 });
  expect(curve.points).toHaveLength(3);
});
