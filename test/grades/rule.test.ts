/** Scales, thresholds, presets and thawing, on gradients written beforehand and on small models. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type Quantity, Signal, type SignalOptions } from '../../src/grades/quantity.ts';
import { calibrate } from '../../src/grades/threshold.ts';
import {
  AdamW,
  ArgumentError,
  backward,
  crossEntropy,
  GradES,
  type GradESOptions,
  type GradientSums,
  gradientOf,
  Linear,
  Module,
  matmul,
  ParameterRegistry,
  paperV1,
  paperV3,
  Random,
  releasedCode,
  step,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { releaseLater, releaseMade, Training } from '../nn/tiny.ts';
import { magnitude, Play, type Script } from './scripted.ts';

afterEach(releaseMade);

const query = 'blocks.0.attention.query.weight';
const key = 'blocks.0.attention.key.weight';
const down = 'blocks.0.feedForward.down.weight';
const one = new RegExp(`^${query}$`);
const two = new RegExp(`^(${query}|${key})$`);

describe('quantities and scales', () => {
  /** Two gradients of two matrices, as halves, and the weights around the second step. */
  const halves = [
    [
      [0.5, -1, 2, 0.25],
      [1, 1, -1, 0.5],
    ],
    [
      [-0.5, 0.75, 1, 0],
      [0.25, -2, 1, 1],
    ],
  ];
  const recorded = halves.map(([a, b]) => a.map((value, i) => value + b[i]));
  const moved = [0.125, 0.25, 0, 0.5];
  const rate = 0.05;
  const sums = (at: number): GradientSums => ({
    absolute: recorded[at].reduce((sum, g) => sum + Math.abs(g), 0),
    squares: 0,
    halvesProduct: halves[at][0].reduce((sum, g, i) => sum + g * halves[at][1][i], 0),
    gradientChange: at === 0 ? null : recorded[1].reduce((sum, g, i) => sum + Math.abs(g - recorded[0][i]), 0),
    weightChange: moved.reduce((sum, by) => sum + by, 0),
  });
  // Written out from the formulas, step by step.
  const plain: Record<Quantity, number> = {
    gradient: 0.25 + 1.25 + 2 + 1,
    'gradient-change': 1.75 + 1.25 + 1 + 0.25,
    'weight-change': 0.875,
    'split-half': Math.sqrt(Math.max(0, -0.125 - 1.5 + 1)),
  };
  const first: Record<Quantity, number> = {
    gradient: 1.5 + 0 + 1 + 0.75,
    'gradient-change': Number.NaN,
    'weight-change': 0.875,
    'split-half': Math.sqrt(Math.max(0, 0.5 - 1 - 2 + 0.125)),
  };

  const observe = (options: Partial<SignalOptions> & { quantity: Quantity }, learningRate = rate) => {
    const signal = new Signal({ scale: 'sum', horizon: 0, elements: 4, ...options });
    return [0, 1].map((at) => signal.observe(at + 1, [sums(at)], learningRate));
  };

  test.each(Object.keys(plain) as Quantity[])('%s in every scale', (quantity) => {
    const initial = Number.isNaN(first[quantity]) ? null : first[quantity];
    expect(observe({ quantity, scale: 'sum' })).toEqual([initial, plain[quantity]]);
    const perElement = quantity === 'split-half' ? 2 : 4;
    expect(observe({ quantity, scale: 'mean' })[1]).toBeCloseTo(plain[quantity] / perElement, 12);
    expect(observe({ quantity, scale: 'rate' })[1]).toBeCloseTo(plain[quantity] / rate, 12);
    const peak = Math.max(initial ?? 0, plain[quantity]);
    expect(observe({ quantity, scale: 'peak' })[1]).toBeCloseTo(peak > 0 ? plain[quantity] / peak : 0, 12);
  });

  test('at a learning rate of 0 nothing is known in the scale of the rate', () => {
    expect(observe({ quantity: 'weight-change', scale: 'rate' }, 0)).toEqual([null, null]);
  });

  test('the sums of an adapter are those of A and B together', () => {
    const signal = new Signal({ quantity: 'gradient', scale: 'sum', horizon: 0, elements: 8 });
    expect(signal.observe(1, [sums(0), sums(1)], rate)).toBe(first.gradient + plain.gradient);
  });

  test('a first sample counts as 0 or as the whole gradient where that is asked for', () => {
    const weight = observe({ quantity: 'weight-change', firstSample: 'converged' });
    expect(weight).toEqual([0, plain['weight-change']]);
    const change = observe({ quantity: 'gradient-change', firstSample: 'from-zero' });
    expect(change).toEqual([first.gradient, plain['gradient-change']]);
  });
});

describe('presets decide as the formulas say', () => {
  /** The first step whose value is below tau and that may decide. */
  const expected = (values: readonly number[], tau: number, mayDecide: (step: number) => boolean) => {
    const found = values.findIndex((value, i) => value < tau && mayDecide(i + 1));
    return found < 0 ? [] : [found + 1];
  };
  const values = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 30, maxLength: 30 });
  const grace = fc.constantFrom(0, 0.01, 0.25, 0.3, 0.5, 0.55, 0.9);
  const tau = fc.integer({ min: 1, max: 21 });

  test('v1: the first t > ⌈αT⌉ with ‖∇W‖₁ < τ', async () => {
    await fc.assert(
      fc.asyncProperty(values, grace, tau, async (values, grace, threshold) => {
        const options = paperV1({ steps: 30, threshold, grace, watch: one });
        const play = await new Play((s) => ({ absolute: values[s - 1] }), options).run(30);
        expect(play.freezeSteps).toEqual(expected(values, threshold, (t) => t > Math.ceil(grace * 30)));
        releaseMade();
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  test('v3: the same with ‖∇W_t - ∇W_t-1‖₁, and ∇W_0 = 0', async () => {
    await fc.assert(
      fc.asyncProperty(values, grace, tau, async (values, grace, threshold) => {
        const script: Script = (s) => ({ absolute: 5, gradientChange: s === 1 ? null : values[s - 1] });
        const options = paperV3({ steps: 30, threshold, grace, watch: one });
        const play = await new Play(script, options).run(30);
        const seen = values.map((value, i) => (i === 0 ? 5 : value));
        expect(play.freezeSteps).toEqual(expected(seen, threshold, (t) => t > Math.ceil(grace * 30)));
        releaseMade();
      }),
      { numRuns: 40, seed: 2 },
    );
  });

  test('released code: checks every interval from t ≥ ⌊αT⌋, and a first sample that counts as 0', async () => {
    await fc.assert(
      fc.asyncProperty(values, grace, tau, fc.constantFrom(1, 2, 7), async (values, alpha, tau, computeInterval) => {
        const options = releasedCode({ steps: 30, tau, alpha, computeInterval, watch: one });
        const play = await new Play((s) => ({ weightChange: values[s - 1] }), options).run(30);
        const seen = values.map((value, i) => (i + 1 === computeInterval ? 0 : value));
        const mayDecide = (t: number) => t % computeInterval === 0 && t >= Math.floor(alpha * 30);
        expect(play.freezeSteps).toEqual(expected(seen, tau, mayDecide));
        releaseMade();
      }),
      { numRuns: 60, seed: 3 },
    );
  });

  test('released code: without a grace period all freeze at once, and training stops', async () => {
    const { policy, freezeSteps } = await new Play(
      () => ({ weightChange: 1e9 }),
      releasedCode({ steps: 30, alpha: 0 }),
    ).run(5);
    expect(freezeSteps).toEqual(Array.from({ length: 14 }, () => 1));
    expect(policy.finished).toBe(true);
  });

  test('released code: training stops at the ratio that is to be frozen', async () => {
    const script: Script = (_s, name) => ({ weightChange: name.startsWith('blocks.0') ? 0 : 1e9 });
    const half = await new Play(script, releasedCode({ steps: 30, maxFrozenRatio: 0.5 })).run(30);
    expect(half.policy.finished).toBe(true);
    expect((await new Play(script, releasedCode({ steps: 30 })).run(30)).policy.finished).toBe(false);
  });

  test('on a real run the presets see what plain loops over gradients and weights give', async () => {
    const rules = {
      v1: paperV1({ steps: 8, threshold: 1e-9, grace: 0.1, watch: two }),
      v3: paperV3({ steps: 8, threshold: 1e-9, grace: 0.1, watch: two }),
      code: releasedCode({ steps: 8, tau: 1e-9, alpha: 0.9, computeInterval: 2, watch: two }),
    };
    for (const [name, options] of Object.entries(rules)) {
      const training = new Training(cpu);
      const policy = new GradES(training.registry, training.optimizer, options);
      const parameter = training.parameter(query);
      const gradients: ArrayLike<number>[] = [];
      const weights: ArrayLike<number>[] = [await parameter.data()];
      for (let s = 1; s <= 8; s++) {
        let gradient: Promise<ArrayLike<number>> | undefined;
        await training.step(s, { policy, afterBackward: () => (gradient = gradientOf(parameter)?.data()) });
        gradients.push((await gradient) ?? []);
        weights.push(await parameter.data());
      }
      const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
        Array.from(a).reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0);
      const none = new Float64Array(parameter.size);
      for (const { step: s, values } of policy.checks) {
        const wanted = {
          v1: () => distance(gradients[s - 1], none),
          v3: () => distance(gradients[s - 1], s === 1 ? none : gradients[s - 2]),
          code: () => (s === 2 ? 0 : distance(weights[s], weights[s - 2])),
        }[name as 'v1' | 'v3' | 'code']();
        expect(values.get(query), `${name} ${s}`).toBeCloseTo(wanted, 4);
      }
      expect(policy.checks.length, name).toBe(name === 'code' ? 4 : name === 'v1' ? 8 : 8);
    }
  });
});

describe('thresholds', () => {
  test('one for each kind', async () => {
    const script: Script = () => ({ absolute: 5 });
    const options = { ...magnitude, steps: 100, grace: 0.1, watch: two, threshold: { query: 6, key: 4 } };
    const { freezes, policy } = await new Play(script, options).run(100);
    expect(freezes.map(([name]) => name)).toEqual([query]);
    expect(policy.threshold).toBeNull();
    expect(policy.watched.map((entry) => policy.thresholdOf(entry))).toEqual([6, 4]);
  });

  test('calibrated: the share that straight lines put below it by the end', () => {
    const falling = (slope: number, start = 10) =>
      [10, 20, 30, 40].map((step) => ({ step, value: start * Math.exp(-slope * step) }));
    const histories = [falling(0.01), falling(0.03), falling(0.02), falling(-0.5, 2)];
    const end = (slope: number) => 10 * Math.exp(-slope * 200);
    expect(calibrate(histories, 0.25, 200)).toBeCloseTo(1.01 * end(0.03), 10);
    expect(calibrate(histories, 0.5, 200)).toBeCloseTo(1.01 * end(0.02), 10);
    expect(calibrate(histories, 0.51, 200)).toBeCloseTo(1.01 * end(0.01), 10);
    // What rises is continued level, at its mean on the logarithmic scale.
    expect(calibrate(histories, 1, 200)).toBeCloseTo(1.01 * 2 * Math.exp(0.5 * 25), 4);
  });

  test('calibrated from the grace period, it freezes the share it was asked for where signals go on as they fell', async () => {
    const names: string[] = [];
    const script: Script = (s, name) => {
      if (!names.includes(name)) names.push(name);
      return { absolute: 100 * Math.exp(-0.002 * (1 + names.indexOf(name)) * s) };
    };
    for (const frozenShare of [0.3, 0.6]) {
      const rule = { ...magnitude, grace: 0.3, waitForCheck: true };
      const options: GradESOptions = { ...rule, steps: 400, threshold: { frozenShare } };
      const { policy } = await new Play(script, options).run(400);
      expect(policy.threshold).toBeGreaterThan(0);
      expect(policy.frozenCount).toBe(Math.ceil(frozenShare * 14));
    }
  });

  test('before the grace period has shown it there is none', async () => {
    const options: GradESOptions = { ...magnitude, steps: 400, grace: 0.3, threshold: { frozenShare: 0.5 } };
    expect((await new Play(() => ({ absolute: 1 }), options).run(100)).policy.threshold).toBeNull();
  });
});

test('no more than the allowed share freezes, the lowest against their thresholds first', async () => {
  const script: Script = (_s, name) => ({ absolute: name === down ? 1 : 2 });
  const options: GradESOptions = { ...magnitude, steps: 100, grace: 0.1, threshold: 5, maxFrozenShare: 0.2 };
  const { freezes, policy } = await new Play(script, options).run(100);
  expect(freezes.length).toBe(2);
  expect(freezes[0][0]).toBe(down);
  expect(policy.finished).toBe(false);
});

test('the interval only moves a decision to the next check', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.double({ min: 2, max: 90, noNaN: true }),
      async (interval, threshold) => {
        const options: GradESOptions = { ...magnitude, steps: 100, grace: 0.05, threshold, patience: 0.1, watch: one };
        const script: Script = (s) => ({ absolute: 100 - s });
        const each = await new Play(script, { ...options, interval: 1, waitForCheck: true }).run(100);
        const some = await new Play(script, { ...options, interval, waitForCheck: true }).run(100);
        const [first, second] = [each.freezeSteps[0] ?? 101, some.freezeSteps[0] ?? 101];
        expect(second).toBeGreaterThanOrEqual(Math.min(first, 101));
        // Once to notice that the value is low, and once that it stayed so.
        if (first + 2 * interval <= 100) expect(second).toBeLessThan(first + 2 * interval);
        releaseMade();
      },
    ),
    { numRuns: 30, seed: 4 },
  );
});

/** Two matrices in a row, the second of which a task may change for. */
class Pair extends Module {
  readonly first: Linear;
  readonly second: Linear;

  constructor() {
    super();
    const options = { device: cpu, random: new Random(3) };
    this.first = new Linear(6, 6, { ...options, kind: 'up' });
    this.second = new Linear(6, 6, { ...options, kind: 'down' });
  }

  forward(x: Tensor): Tensor {
    return this.second.call(this.first.call(x).tanh());
  }
}

describe('deferring', () => {
  test('what is decided while changes are deferred is carried out in the end, once, with its own step', () => {
    const training = new Training(cpu);
    const { registry } = training;
    const carryOut = registry.defer();
    const [a, b] = [registry.get(query), registry.get(key)];
    registry.freeze(a, { step: 3, reason: 'test' });
    registry.freeze(a, { step: 4, reason: 'again' });
    registry.freeze(b, { step: 5, reason: 'test' });
    expect(registry.deferred).toEqual([query, key]);
    expect(registry.events).toEqual([]);
    expect(registry.active().length).toBe(registry.entries.length);
    expect(() => registry.defer()).toThrow(ArgumentError);
    carryOut();
    expect(registry.events.map(({ name, step }) => [name, step])).toEqual([
      [query, 3],
      [key, 5],
    ]);
    expect(registry.active().length).toBe(registry.entries.length - 2);
    expect(registry.deferred).toEqual([]);
  });
});

test('parameters of one group are watched and frozen together', async () => {
  const model = new Pair();
  for (const parameter of model.parameters()) {
    parameter.group = 'pair';
    releaseLater(parameter);
  }
  const registry = new ParameterRegistry(model);
  expect(registry.entries.map(({ name, kind, parameters }) => [name, kind, parameters.length])).toEqual([
    ['pair', 'up', 2],
  ]);
  const optimizer = releaseLater(new AdamW(model.parameters(), { learningRate: 0.01 }));
  const policy = new GradES(registry, optimizer, {
    ...paperV1({ steps: 10, threshold: 1e9, grace: 0.2 }),
    watch: ['up'],
  });
  let sum = 0;
  for (let s = 1; s <= 3 && !policy.finished; s++) {
    await step(async () => {
      policy.beforeStep(s);
      const x = tensor([[1, 2, 3, 4, 5, s]], { device: cpu });
      backward(model.call(x).sum());
      optimizer.step();
      await policy.afterStep(s);
      const { gradients } = await optimizer.report();
      sum = model.parameters().reduce((total, parameter) => total + (gradients.get(parameter)?.absolute ?? 0), 0);
    });
    if (s === 2) expect(policy.checks.at(-1)?.values.get('pair')).toBeCloseTo(sum, 4);
  }
  expect(model.parameters().every((parameter) => parameter.isFrozen)).toBe(true);
  expect(registry.events.length).toBe(1);
});

onEachDevice((device) => {
  test('a probe shows the gradient of a frozen matrix, and changes no bit of anything', async () => {
    const [probed, plain] = [new Training(device), new Training(device)];
    for (const training of [probed, plain]) {
      await training.steps(1, 2);
      training.freeze(query);
    }
    const parameter = probed.parameter(query);
    const bytes = probed.optimizer.stateBytes;
    for (let s = 3; s <= 6; s++) {
      parameter.probe();
      expect(parameter.isFrozen).toBe(true);
      await probed.steps(s, s);
      const { gradients, gradientNorm } = await probed.optimizer.report();
      expect(gradients.get(parameter)?.absolute).toBeGreaterThan(0);
      parameter.endProbe();
      await plain.steps(s, s);
      const report = await plain.optimizer.report();
      expect(report.gradients.has(plain.parameter(query))).toBe(false);
      expect(gradientNorm).toBe(report.gradientNorm);
    }
    expect(probed.optimizer.stateBytes).toBe(bytes);
    expect(await probed.weights()).toEqual(await plain.weights());
    await probed.steps(7, 7);
    expect((await probed.optimizer.report()).gradients.has(parameter)).toBe(false);
  });
});

test('a matrix whose task changes thaws, and learns the new task; without thawing it does not', async () => {
  const steps = 600;
  const change = 300;
  // The class of x is the largest entry of x · W; W is another one after the change.
  const teachers = [1, 2].map((seed) => {
    const random = new Random(seed, 3);
    return Array.from({ length: 6 }, () => Array.from({ length: 6 }, () => random.normal()));
  });
  const batchOf = (s: number, stream: number, size: number) => {
    const random = new Random(s, stream);
    const x = Array.from({ length: size }, () => Array.from({ length: 6 }, () => random.normal()));
    const teacher = teachers[s <= change ? 0 : 1];
    const labels = x.map((row) => {
      const scores = teacher[0].map((_, j) => row.reduce((sum, value, i) => sum + value * teacher[i][j], 0));
      return scores.indexOf(Math.max(...scores));
    });
    return { x, labels };
  };
  const train = async (rule: Partial<GradESOptions> | null) => {
    const linear = new Linear(6, 6, { device: cpu, random: new Random(4), kind: 'down' });
    releaseLater(linear.weight);
    const optimizer = releaseLater(new AdamW([linear.weight], { learningRate: 0.05 }));
    // Something must train on when the matrix is frozen.
    const bias = new Linear(1, 6, { device: cpu, random: new Random(5), kind: 'bias' });
    releaseLater(bias.weight);
    const biasOptimizer = releaseLater(new AdamW(bias.parameters(), { learningRate: 0.001 }));
    linear.namedParameters();
    const registry = new ParameterRegistry(linear);
    const options: GradESOptions = { steps, watch: ['down'], threshold: 0.2, horizon: 0.03, patience: 0.05, ...rule };
    const policy = rule && new GradES(registry, optimizer, options);
    for (let s = 1; s <= steps; s++) {
      await step(async () => {
        policy?.beforeStep(s);
        const { x, labels } = batchOf(s, 1, 16);
        const ones = tensor(
          labels.map(() => [1]),
          { device: cpu },
        );
        const logits = matmul(tensor(x, { device: cpu }), linear.weight).add(bias.call(ones));
        backward(crossEntropy(logits, tensor(labels, { device: cpu, dtype: 'i32' })));
        optimizer.step();
        biasOptimizer.step();
        await policy?.afterStep(s);
      });
    }
    await policy?.end();
    const { x, labels } = batchOf(steps, 2, 500);
    const weights = await linear.weight.data();
    const offsets = await bias.weight.data();
    const correct = x.filter((row, n) => {
      const scores = Array.from(
        offsets,
        (offset, j) => offset + row.reduce((sum, value, i) => sum + value * weights[6 * i + j], 0),
      );
      return scores.indexOf(Math.max(...scores)) === labels[n];
    });
    return { accuracy: correct.length / x.length, events: registry.events };
  };
  const full = await train(null);
  const frozen = await train({});
  const thawing = await train({ thaw: { every: 0.01, margin: 0.5 } });
  expect(full.accuracy).toBeGreaterThan(0.9);
  expect(frozen.events.map(({ type }) => type)).toEqual(['freeze']);
  expect(frozen.events[0].step).toBeLessThan(change);
  expect(frozen.accuracy).toBeLessThan(0.5);
  expect(thawing.events.slice(0, 2).map(({ type }) => type)).toEqual(['freeze', 'thaw']);
  expect(thawing.events[1].step).toBeGreaterThan(change);
  expect(thawing.accuracy).toBeGreaterThan(full.accuracy - 0.05);
});
