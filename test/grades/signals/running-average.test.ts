import { expect, test } from 'vitest';
import { FileFormatError, RunningAverage } from '../../../src/index.ts';

test('it forgets by 1/e a horizon, however it was sampled', () => {
  for (const interval of [1, 5, 25]) {
    const average = new RunningAverage(50);
    for (let step = 0; step <= 1000; step += interval) average.observe(step, 1);
    let share: number | null = null;
    for (let step = 1000 + interval; step <= 1050; step += interval) share = average.observe(step, 0);
    expect(share).toBeCloseTo(Math.exp(-1), 8);
  }
});

test('nothing is known in the first horizon', () => {
  const average = new RunningAverage(4);
  const seen = [11, 13, 15, 17].map((step) => average.observe(step, 2));
  expect(seen).toEqual([null, null, 2, 2]);
});

test('a horizon of 0 averages nothing', () => {
  const average = new RunningAverage(0);
  expect([4, 2, 8, 2].map((value, step) => average.observe(step, value))).toEqual([4, 2, 8, 2]);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  'a value of %f is unknown, and leaves the average as it was',
  (bad) => {
    const [average, undisturbed] = [new RunningAverage(2), new RunningAverage(2)];
    for (let step = 1; step <= 9; step++) {
      if (step % 3 === 1) expect(average.observe(step, bad)).toBeNull();
      else expect(average.observe(step, step)).toBe(undisturbed.observe(step, step));
    }
  },
);

test('saved at any step, it goes on bit for bit', () => {
  const value = (step: number) => Math.sin(step);
  for (let at = 0; at <= 12; at++) {
    const [average, restored] = [new RunningAverage(5), new RunningAverage(5)];
    for (let step = 1; step <= at; step++) average.observe(step, value(step));
    // What it saw before counts no longer.
    restored.observe(1, 99);
    restored.restore(average.state());
    for (let step = at + 1; step <= 20; step++) {
      expect(restored.observe(step, value(step))).toBe(average.observe(step, value(step)));
    }
  }
  expect(() => new RunningAverage(5).restore([1, 2])).toThrow(FileFormatError);
});
