/** What GradES makes of the sums it is given: averaged, and a share of their own peak. */
import { afterEach, describe, expect, test } from 'vitest';
import { GradES, gradientMagnitude, Random, type Signal, splitHalf } from '../../src/index.ts';
import { plainSum } from '../nn/given-gradients.ts';
import { releaseMade } from '../nn/tiny.ts';
import { Play, type Script } from './scripted.ts';

afterEach(releaseMade);

const query = 'blocks.0.attention.query.weight';
const watch = new RegExp(`^${query}$`);

/** The sum of a gradient that is given by its halves. */
function sumOf({ over, reference }: Signal, first: readonly number[], second: readonly number[]): number {
  if (over === 'halves') return plainSum(reference, first, second);
  const whole = first.map((value, i) => value + second[i]);
  return plainSum(reference, whole);
}

/** Values at the checks of a run in which nothing may freeze; null where none is known. */
async function valuesOf(
  signal: Signal,
  script: Script,
  { steps, horizon, interval }: { steps: number; horizon: number; interval: number },
): Promise<Map<number, number | null>> {
  const options = { steps, signal, horizon: horizon / steps, interval, grace: 1, watch };
  const { checks } = await new Play(GradES, script, options).run(steps + interval);
  return new Map(checks.map(({ step, values }) => [step, values.get(query) ?? null]));
}

/** Values of a run in which the expected gradient of 200 elements is `strength(step)` · a fixed direction. */
function follow(
  signal: Signal,
  strength: (step: number) => number,
  { steps = 2000, horizon = 160, interval = 4, noise = 0, scale = 1 } = {},
): Promise<Map<number, number | null>> {
  const random = new Random(42);
  const direction = Array.from({ length: 200 }, () => random.normal());
  const sums = new Map<number, number>();
  for (let step = 1; step <= steps + interval; step += interval) {
    const half = () => direction.map((value) => scale * (0.5 * strength(step) * value + noise * random.normal()));
    sums.set(step, sumOf(signal, half(), half()));
  }
  const script: Script = (step, name) => (name === query ? (sums.get(step) ?? null) : null);
  return valuesOf(signal, script, { steps, horizon, interval });
}

describe('the split-half signal', () => {
  test('on pure noise it tends to 0, where the relative magnitude stays up', async () => {
    const strength = (step: number) => (step < 600 ? 1 : 0);
    const rho = await follow(splitHalf, strength, { noise: 0.7 });
    const magnitude = await follow(gradientMagnitude, strength, { noise: 0.7 });
    expect(rho.get(597)).toBeGreaterThan(0.9);
    expect(magnitude.get(597)).toBeGreaterThan(0.9);
    const late = [...rho].filter(([step]) => step > 1400).map(([, value]) => value ?? 1);
    expect(late.length).toBe(150);
    expect(Math.max(...late)).toBeLessThan(0.3);
    expect(late.reduce((sum, value) => sum + value, 0) / late.length).toBeLessThan(0.1);
    expect(magnitude.get(1997)).toBeGreaterThan(0.6);
  });

  test('noise over a signal that lasts does not lower it', async () => {
    const rho = await follow(splitHalf, () => 1, { noise: 1 });
    const known = [...rho.values()].filter((value) => value !== null);
    expect(Math.min(...known)).toBeGreaterThan(0.8);
  });

  test('noise from the start has no peak to be a share of, and gives 0', async () => {
    const sum = sumOf(splitHalf, [1, -1], [-1, 1]);
    const values = await valuesOf(splitHalf, () => sum, { steps: 20, horizon: 10, interval: 1 });
    expect([values.get(10), values.get(11), values.get(20)]).toEqual([null, 0, 0]);
  });

  test('on noiseless gradients it is the magnitude over its peak', async () => {
    const levels = await follow(splitHalf, (step) => (step < 800 ? 5 : 1.5), { steps: 2400 });
    expect(levels.get(797)).toBeCloseTo(1, 12);
    expect(levels.get(2397)).toBeCloseTo(0.3, 3);
    // A strength that falls slowly against the horizon.
    const slow = await follow(splitHalf, (step) => Math.exp(-step / 4000), { horizon: 20, interval: 1 });
    const peak = Math.exp(-21 / 4000);
    for (const step of [200, 1000, 2000]) expect(slow.get(step)).toBeCloseTo(Math.exp(-step / 4000) / peak, 2);
  });

  test('on noiseless gradients it is the root of the averaged square over the largest average', async () => {
    const horizon = 30;
    const strength = (step: number) => 1 + Math.sin(step / 40);
    const rho = await follow(splitHalf, strength, { horizon, interval: 3, steps: 400 });
    const averages: number[] = [];
    for (let last = 1; last <= 400; last += 3) {
      let [sum, weight] = [0, 0];
      for (let step = 1; step <= last; step += 3) {
        const share = Math.exp(-(last - step) / horizon);
        sum += share * strength(step) ** 2;
        weight += share;
      }
      if (last - 1 < horizon) {
        expect(rho.get(last)).toBeNull();
        continue;
      }
      averages.push(sum / weight);
      expect(rho.get(last)).toBeCloseTo(Math.sqrt(averages[averages.length - 1] / Math.max(...averages)), 10);
    }
  });

  test('it is unknown without a gradient, and a check without one leaves the average as it was', async () => {
    const level = (step: number) => 20 - step;
    const script: Script = (step) => (step % 5 === 0 ? null : level(step));
    const values = await valuesOf(splitHalf, script, { steps: 12, horizon: 2, interval: 1 });
    const averages: number[] = [];
    for (let last = 1; last <= 12; last++) {
      if (last % 5 === 0) {
        expect(values.get(last)).toBeNull();
        continue;
      }
      let [sum, weight] = [0, 0];
      for (let step = 1; step <= last; step++) {
        if (step % 5 === 0) continue;
        const share = Math.exp(-(last - step) / 2);
        sum += share * level(step);
        weight += share;
      }
      if (last < 3) continue;
      averages.push(sum / weight);
      expect(values.get(last)).toBeCloseTo(Math.sqrt(sum / weight / averages[0]), 12);
    }
  });
});

test('the relative magnitude is the averaged magnitude over its peak', async () => {
  const values = await follow(gradientMagnitude, (step) => (step < 800 ? 2 : 0.5));
  expect(values.get(797)).toBeCloseTo(1, 12);
  expect(values.get(1997)).toBeCloseTo(0.25, 3);
});

describe.each([splitHalf, gradientMagnitude])('$name', (signal) => {
  test('nothing is known in the first horizon', async () => {
    const values = await follow(signal, () => 1, { horizon: 40, interval: 4, steps: 100 });
    for (const [step, value] of values) {
      if (step - 1 < 40) expect(value).toBeNull();
      else expect(value).toBeCloseTo(1, 12);
    }
  });

  test('the size of the matrix and of the loss cancel out', async () => {
    const strength = (step: number) => Math.exp(-step / 900);
    const [plain, scaled] = await Promise.all(
      [1, 1000].map((scale) => follow(signal, strength, { noise: 0.2, scale })),
    );
    for (const [step, value] of plain) {
      const other = scaled.get(step) ?? null;
      if (value === null) expect(other).toBeNull();
      else expect(other).toBeCloseTo(value, 8);
    }
  });

  test('the interval between checks cancels out as it gets short against the horizon', async () => {
    const strength = (step: number) => 1 + Math.cos(step / 300);
    const fine = await follow(signal, strength, { interval: 1 });
    const differences: number[] = [];
    for (const interval of [4, 20]) {
      const coarse = [...(await follow(signal, strength, { interval }))].filter(([, value]) => value !== null);
      differences.push(Math.max(...coarse.map(([step, value]) => Math.abs((value ?? 0) - (fine.get(step) ?? 0)))));
    }
    expect(differences[0]).toBeLessThan(0.02);
    expect(differences[1]).toBeLessThan(0.1);
    expect(differences[0]).toBeLessThan(differences[1]);
  });
});
