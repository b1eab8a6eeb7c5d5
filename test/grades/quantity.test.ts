import { afterEach, describe, expect, test } from 'vitest';
import { RunningAverage, Signal, type SignalOptions } from '../../src/grades/quantity.ts';
import {
  backward,
  type GradientSums,
  Linear,
  mul,
  type Parameter,
  Random,
  SGD,
  step,
  sub,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { releaseLater, releaseMade } from '../nn/tiny.ts';
import { random as randomTensor } from '../shapes.ts';

afterEach(releaseMade);

/** The sums that a gradient, given by its halves, comes to. */
function sumsOf(first: readonly number[], second: readonly number[]): GradientSums & { halvesProduct: number } {
  const whole = first.map((value, i) => value + second[i]);
  return {
    absolute: whole.reduce((sum, value) => sum + Math.abs(value), 0),
    squares: whole.reduce((sum, value) => sum + value * value, 0),
    halvesProduct: first.reduce((sum, value, i) => sum + value * second[i], 0),
    gradientChange: null,
    weightChange: null,
  };
}

/** What the tests call by one word. */
const rules = {
  'split-half': { quantity: 'split-half', scale: 'peak' },
  'relative magnitude': { quantity: 'gradient', scale: 'peak' },
  magnitude: { quantity: 'gradient', scale: 'sum' },
} as const satisfies Record<string, Partial<SignalOptions>>;
type Rule = keyof typeof rules;

function makeSignal(rule: Rule, horizon: number): { observe(step: number, sums: GradientSums): number | null } {
  const signal = new Signal({ ...rules[rule], horizon, elements: 200 });
  return { observe: (step, sums) => signal.observe(step, [sums], 0.1) };
}

/** Values of a signal over a run in which the expected gradient of 200 elements is `strength(step)` · a fixed direction. */
function follow(
  kind: Rule,
  strength: (step: number) => number,
  { steps = 2000, horizon = 160, interval = 4, noise = 0, scale = 1 } = {},
): Map<number, number | null> {
  const random = new Random(42);
  const direction = Array.from({ length: 200 }, () => random.normal());
  const signal = makeSignal(kind, horizon);
  const values = new Map<number, number | null>();
  for (let step = 1; step <= steps; step += interval) {
    const half = () => direction.map((value) => scale * (0.5 * strength(step) * value + noise * random.normal()));
    values.set(step, signal.observe(step, sumsOf(half(), half())));
  }
  return values;
}

describe('the split-half signal', () => {
  test('on pure noise it tends to 0, where the relative magnitude stays up', () => {
    const strength = (step: number) => (step < 600 ? 1 : 0);
    const rho = follow('split-half', strength, { noise: 0.7 });
    const magnitude = follow('relative magnitude', strength, { noise: 0.7 });
    expect(rho.get(597)).toBeGreaterThan(0.9);
    expect(magnitude.get(597)).toBeGreaterThan(0.9);
    const late = [...rho].filter(([step]) => step > 1400).map(([, value]) => value ?? 1);
    expect(late.length).toBe(150);
    expect(Math.max(...late)).toBeLessThan(0.3);
    expect(late.reduce((sum, value) => sum + value, 0) / late.length).toBeLessThan(0.1);
    expect(magnitude.get(1997)).toBeGreaterThan(0.6);
  });

  test('noise over a signal that lasts does not lower it', () => {
    const rho = follow('split-half', () => 1, { noise: 1 });
    const known = [...rho.values()].filter((value) => value !== null);
    expect(Math.min(...known)).toBeGreaterThan(0.8);
  });

  test('noise from the start has no peak to be a share of, and gives 0', () => {
    const signal = makeSignal('split-half', 10);
    for (let step = 1; step <= 10; step++) signal.observe(step, sumsOf([1, -1], [-1, 1]));
    expect(signal.observe(11, sumsOf([1, -1], [-1, 1]))).toBe(0);
  });

  test('on noiseless gradients it is the magnitude over its peak', () => {
    const levels = follow('split-half', (step) => (step < 800 ? 5 : 1.5), { steps: 2400 });
    expect(levels.get(797)).toBeCloseTo(1, 12);
    expect(levels.get(2397)).toBeCloseTo(0.3, 3);
    // A strength that falls slowly against the horizon.
    const slow = follow('split-half', (step) => Math.exp(-step / 4000), { horizon: 20, interval: 1 });
    const peak = Math.exp(-21 / 4000);
    for (const step of [200, 1000, 2000]) expect(slow.get(step)).toBeCloseTo(Math.exp(-step / 4000) / peak, 2);
  });

  test('on noiseless gradients it is the root of the averaged square over the largest average', () => {
    const horizon = 30;
    const strength = (step: number) => 1 + Math.sin(step / 40);
    const rho = follow('split-half', strength, { horizon, interval: 3, steps: 400 });
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

  test('it is unknown without halves, and a check without them leaves it as it was', () => {
    const [a, b] = [makeSignal('split-half', 2), makeSignal('split-half', 2)];
    for (let step = 1; step <= 6; step++) {
      const sums = sumsOf([step], [1]);
      if (step === 5) {
        expect(a.observe(step, { ...sums, halvesProduct: null })).toBeNull();
        continue;
      }
      expect(a.observe(step, sums)).toBe(b.observe(step, sums));
    }
  });
});

test('the magnitude is Σ |g| itself, from the first sample', () => {
  const signal = makeSignal('magnitude', 0);
  expect(signal.observe(1, sumsOf([1, -2], [0.5, -1]))).toBe(4.5);
  expect(signal.observe(2, sumsOf([0, 0], [0, 0]))).toBe(0);
});

test('the relative magnitude is the averaged magnitude over its peak', () => {
  const values = follow('relative magnitude', (step) => (step < 800 ? 2 : 0.5));
  expect(values.get(797)).toBeCloseTo(1, 12);
  expect(values.get(1997)).toBeCloseTo(0.25, 3);
});

describe.each(['split-half', 'relative magnitude'] as const)('%s', (kind) => {
  test('nothing is known in the first horizon', () => {
    const values = follow(kind, () => 1, { horizon: 40, interval: 4, steps: 100 });
    for (const [step, value] of values) {
      if (step - 1 < 40) expect(value).toBeNull();
      else expect(value).toBeCloseTo(1, 12);
    }
  });

  test('the size of the matrix and of the loss cancel out', () => {
    const strength = (step: number) => Math.exp(-step / 900);
    const [plain, scaled] = [1, 1000].map((scale) => follow(kind, strength, { noise: 0.2, scale }));
    for (const [step, value] of plain) {
      const other = scaled.get(step) ?? null;
      if (value === null) expect(other).toBeNull();
      else expect(other).toBeCloseTo(value, 8);
    }
  });

  test('the interval between checks cancels out as it gets short against the horizon', () => {
    const strength = (step: number) => 1 + Math.cos(step / 300);
    const fine = follow(kind, strength, { interval: 1 });
    const differences = [4, 20].map((interval) => {
      const coarse = [...follow(kind, strength, { interval })].filter(([, value]) => value !== null);
      return Math.max(...coarse.map(([step, value]) => Math.abs((value ?? 0) - (fine.get(step) ?? 0))));
    });
    expect(differences[0]).toBeLessThan(0.02);
    expect(differences[1]).toBeLessThan(0.1);
    expect(differences[0]).toBeLessThan(differences[1]);
  });
});

test('the running average forgets by 1/e a horizon, however it was sampled', () => {
  for (const interval of [1, 5, 25]) {
    const average = new RunningAverage(50);
    for (let step = 0; step <= 1000; step += interval) average.observe(step, 1);
    let share: number | null = null;
    for (let step = 1000 + interval; step <= 1050; step += interval) share = average.observe(step, 0);
    expect(share).toBeCloseTo(Math.exp(-1), 8);
  }
});

test('a horizon of 0 averages nothing', () => {
  const average = new RunningAverage(0);
  expect([4, 2, 8, 2].map((value, step) => average.observe(step, value))).toEqual([4, 2, 8, 2]);
});

onEachDevice((device) => {
  // 30 elements, which the kernels walk one by one, and 48, which they walk four at a time.
  test.each([5, 8])(
    'the product of the halves is that of two gradients over half the batch each, with %d outputs',
    async (outputs) => {
      const linear = new Linear(6, outputs, { device, random: new Random(4) });
      const { weight } = linear;
      releaseLater(weight);
      const optimizer = releaseLater(new SGD([weight], { learningRate: 0 }));
      const [batch, time] = [4, 3];
      // Σ over all samples, so that the gradient of the batch is the sum of those of its halves.
      const lossOf = (x: Tensor, y: Tensor) => {
        const error = sub(linear.call(x), y);
        return mul(error, error).sum();
      };
      const inputs = () => [
        randomTensor([batch, time, 6], { seed: 1, device }),
        randomTensor([batch, time, outputs], { seed: 2, device }),
      ];
      const gradients: number[][] = [];
      for (const [from, to] of [
        [0, 2],
        [2, 4],
      ]) {
        await step(async () => {
          const [x, y] = inputs().map((each) => each.slice([from], [to]));
          backward(lossOf(x, y));
          gradients.push(Array.from(await weight.gradient!.data()));
        });
      }
      const expected = sumsOf(gradients[0], gradients[1]);
      const measured = async (halves: boolean) => {
        weight.leaf.splitHalves = halves;
        await step(() => {
          const [x, y] = inputs();
          backward(lossOf(x, y));
          optimizer.step();
        });
        return (await optimizer.report()).gradients.get(weight)!;
      };
      const [split, whole] = [await measured(true), await measured(false)];
      expect(whole.halvesProduct).toBeNull();
      expect(split.halvesProduct! / expected.halvesProduct).toBeCloseTo(1, 4);
      for (const sums of [split, whole]) {
        expect(sums.absolute / expected.absolute).toBeCloseTo(1, 4);
        expect(sums.squares / expected.squares).toBeCloseTo(1, 4);
      }
    },
  );

  test('halves of micro-batches add up like their gradients', async () => {
    const linear = new Linear(3, 2, { device, random: new Random(4) });
    const weight: Parameter = releaseLater(linear.weight);
    const optimizer = releaseLater(new SGD([weight], { learningRate: 0 }));
    weight.leaf.splitHalves = true;
    const x = [1, 2, 3, 4].map((seed) => Array.from({ length: 3 }, (_, i) => Math.sin(seed * 3 + i)));
    // The loss is the sum of the outputs, so each half's gradient is the column of its sample, twice.
    await step(() => {
      for (const samples of [x.slice(0, 2), x.slice(2)]) backward(linear.call(tensor(samples, { device })).sum());
      optimizer.step();
    });
    const column = (a: number[], b: number[]) => a.flatMap((value, i) => [value + b[i], value + b[i]]);
    const expected = sumsOf(column(x[0], x[2]), column(x[1], x[3]));
    const { halvesProduct, absolute } = (await optimizer.report()).gradients.get(weight)!;
    expect(halvesProduct).toBeCloseTo(expected.halvesProduct, 4);
    expect(absolute).toBeCloseTo(expected.absolute, 4);
  });
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
