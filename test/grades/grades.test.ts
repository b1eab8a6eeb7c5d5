import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  ArgumentError,
  BackwardError,
  type Device,
  GradES,
  type GradESOptions,
  ParameterRegistry,
  type Policy,
  SGD,
} from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { releaseLater, releaseMade, Training, tinyModel } from '../nn/tiny.ts';
import { magnitude, Play, type Script } from './scripted.ts';

afterEach(releaseMade);

const ratio = { quantity: 'gradient' } as const;

const query = 'blocks.0.attention.query.weight';
const key = 'blocks.0.attention.key.weight';
const value = 'blocks.0.attention.value.weight';
const three = new RegExp(`^(${query}|${key}|${value})$`);
const one = new RegExp(`^${query}$`);

describe('when a matrix freezes', () => {
  const falling: Script = (step) => ({ absolute: 1000 - step, halvesProduct: 1000 - step });

  test('the check of step s takes effect at the next check exactly, with the value of step s', async () => {
    const options = { steps: 100, ...magnitude, threshold: 10, grace: 0.2, interval: 7, watch: three } as const;
    const low =
      (from: number): Script =>
      (step) => ({ absolute: step >= from ? step / 100 : 1e6 });
    // Checks at 13, 20, 27, 34, 41: the one of 27 is the first after the grace period.
    const { freezes, policy, registry } = await new Play(low(0), options).run(40);
    expect(policy.checks.map(({ step }) => step)).toEqual([13, 20, 27]);
    expect(freezes).toEqual([
      [query, 34],
      [key, 34],
      [value, 34],
    ]);
    expect(registry.events[0]).toEqual({
      type: 'freeze',
      name: query,
      step: 34,
      value: 0.27,
      threshold: 10,
      reason: 'converged',
    });
    expect((await new Play(low(35), options).run(100)).freezeSteps).toEqual([48, 48, 48]);
  });

  test('a report that arrives late is waited for, and changes nothing', async () => {
    const options = { steps: 40, quantity: 'gradient', interval: 4, spacing: 0.1, watch: three } as const;
    const script: Script = (step, name) => ({ absolute: name === key ? 50 - step : 100 - step });
    const settings = { ...options, threshold: 0.9, patience: 0, grace: 0 };
    const prompt = await new Play(script, settings).run(40);
    const late = new Play(script, settings);
    late.optimizer.delay = 3;
    await late.run(40);
    expect(prompt.freezes.length).toBe(3);
    expect(late.registry.events).toEqual(prompt.registry.events);
    expect(late.policy.checks).toEqual(prompt.policy.checks);
  });

  test.each(['split-half', 'gradient'] as const)(
    '%s: no value is known, and nothing freezes, in the first horizon',
    async (quantity) => {
      const options = {
        steps: 1000,
        quantity,
        threshold: 1,
        grace: 0,
        patience: 0,
        horizon: 0.1,
        interval: 10,
        watch: one,
      };
      const { policy, freezeSteps } = await new Play(falling, options).run(300);
      // Samples at 1, 11, …; from 101 on the value is known, and at the peak, where it is 1. 111 is below it.
      const known = policy.checks.filter(({ values }) => values.size > 0).map(({ step }) => step);
      expect(known).toEqual([101, 111]);
      expect(policy.checks[10].values.get(query)).toBe(1);
      expect(freezeSteps).toEqual([121]);
    },
  );

  test('a first sample of 0 is unknown, not converged', async () => {
    const options = { steps: 100, threshold: 1, grace: 0, patience: 0, horizon: 0.5, interval: 1, watch: one };
    const silent: Script = () => ({ absolute: 0, halvesProduct: 0 });
    expect((await new Play(silent, options).run(50)).freezeSteps).toEqual([]);
  });

  test('by default a check comes as often as leaves an average 192 samples', () => {
    const intervalOf = (options: Partial<GradESOptions> & { steps: number }) =>
      new Play(falling, { watch: one, ...options }).policy.settings.interval;
    expect([1, 1200, 4799, 4800, 10_000].map((steps) => intervalOf({ steps }))).toEqual([1, 1, 1, 2, 4]);
    expect(intervalOf({ steps: 10_000, horizon: 0 })).toBe(1);
    expect(intervalOf({ steps: 10_000, interval: 1 })).toBe(1);
  });

  test('samples begin where they are told to', async () => {
    const options = { steps: 1000, threshold: 1, grace: 0, patience: 0, horizon: 0.1, interval: 10, watch: one };
    const { policy } = await new Play(falling, { ...options, sampleFrom: 55 }).run(200);
    expect(policy.checks[0].step).toBe(55);
    expect(policy.checks.find(({ values }) => values.size > 0)?.step).toBe(155);
  });

  test.each([0, 0.25, 0.5, 0.8])('nothing freezes up to the end of a grace period of %f', async (grace) => {
    for (const interval of [1, 7, 10]) {
      for (const quantity of ['gradient', 'split-half'] as const) {
        const rule = quantity === 'gradient' ? { ...magnitude, threshold: 2000 } : { threshold: 0.9999 };
        const options = { steps: 100, grace, interval, patience: 0, spacing: 0, horizon: 0, watch: one, ...rule };
        const play = await new Play(falling, options).run(100);
        const decided = play.policy.checks.find(
          ({ step, values }) => step > grace * 100 && (values.get(query) ?? 1e9) < options.threshold,
        );
        expect(decided, `${interval} ${quantity}`).toBeDefined();
        expect(play.freezeSteps).toEqual([(decided?.step ?? 0) + interval]);
        expect(play.freezeSteps[0]).toBeGreaterThan(grace * 100);
      }
    }
  });

  test('the magnitude is first read one check before the grace period ends', async () => {
    const options = { steps: 100, ...magnitude, threshold: 1, grace: 0.5, interval: 10, watch: one } as const;
    const { optimizer, policy } = await new Play(falling, options).run(70);
    expect(optimizer.reports).toBe(4);
    expect(policy.checks.map(({ step }) => step)).toEqual([40, 50, 60]);
  });

  test('patience: one low value is not enough, and a high one starts it anew', async () => {
    const level = (step: number) => (step < 600 || (step >= 620 && step < 650) ? 100 : 10);
    const options = { steps: 1000, threshold: 0.5, grace: 0, horizon: 0, interval: 5, spacing: 0, watch: one };
    const script: Script = (step) => ({ absolute: level(step), halvesProduct: level(step) });
    const { quantity } = ratio;
    // Checks at 1, 6, …: 601 is low, 621 high again, 651 low for good.
    expect((await new Play(script, { ...options, quantity, patience: 0 }).run(700)).freezeSteps).toEqual([606]);
    expect((await new Play(script, { ...options, quantity, patience: 0.015 }).run(700)).freezeSteps).toEqual([621]);
    expect((await new Play(script, { ...options, quantity, patience: 0.02 }).run(800)).freezeSteps).toEqual([676]);
    expect((await new Play(script, { ...options, quantity, patience: 0.05 }).run(800)).freezeSteps).toEqual([706]);
  });

  test('patience: a check without a value starts it anew', async () => {
    const options = { steps: 1000, threshold: 0.5, grace: 0, horizon: 0, interval: 5, spacing: 0, watch: one };
    const script: Script = (step) => (step === 121 ? null : { halvesProduct: step < 100 ? 100 : 1 });
    const { freezeSteps } = await new Play(script, { ...options, patience: 0.04 }).run(300);
    // Below since 101; nothing at 121; below since 126, and for 40 steps at 166.
    expect(freezeSteps).toEqual([171]);
  });

  test('spacing: one at a time, the lowest signal first', async () => {
    const order = [value, query, key];
    const script: Script = (step, name) => ({ absolute: step < 50 ? 100 : 10 + order.indexOf(name) });
    const options = {
      steps: 200,
      quantity: 'gradient',
      threshold: 0.5,
      grace: 0,
      horizon: 0,
      patience: 0,
      interval: 4,
      watch: three,
    } as const;
    const spaced = await new Play(script, { ...options, spacing: 0.1 }).run(200);
    expect(spaced.freezes).toEqual([
      [value, 57],
      [query, 77],
      [key, 97],
    ]);
    const together = await new Play(script, { ...options, spacing: 0 }).run(200);
    expect(together.freezes.map(([name]) => name)).toEqual(order);
    expect(together.freezeSteps).toEqual([57, 57, 57]);
    const dense = await new Play(script, { ...options, spacing: 0.001 }).run(200);
    expect(dense.freezeSteps).toEqual([57, 61, 65]);
  });

  test('a value equal to the threshold is not below it', async () => {
    const options = { steps: 100, ...magnitude, threshold: 5, grace: 0.1, interval: 5, watch: one } as const;
    expect((await new Play(() => ({ absolute: 5 }), options).run(100)).freezeSteps).toEqual([]);
  });

  test('a matrix without a gradient is not one with a gradient of 0', async () => {
    const options = { steps: 100, ...magnitude, threshold: 5, grace: 0.1, interval: 5, watch: three } as const;
    const script: Script = (_step, name) => (name === key ? null : { absolute: 0 });
    const { freezes } = await new Play(script, options).run(100);
    expect(freezes.map(([name]) => name)).toEqual([query, value]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('a value of %f freezes nothing', async (bad) => {
    const script: Script = () => ({ absolute: bad, halvesProduct: bad });
    for (const rule of [{}, ratio, magnitude]) {
      const options = { ...rule, steps: 100, threshold: 1, grace: 0, patience: 0, horizon: 0.01, watch: one };
      expect((await new Play(script, options).run(100)).freezeSteps).toEqual([]);
    }
  });

  test('a thawed matrix has its patience again', async () => {
    const options = {
      steps: 1000,
      threshold: 0.5,
      grace: 0,
      horizon: 0,
      interval: 5,
      spacing: 0,
      patience: 0.04,
      watch: one,
    };
    const play = await new Play((step) => ({ halvesProduct: step < 100 ? 100 : 1 }), options).run(200);
    expect(play.freezeSteps).toEqual([146]);
    play.registry.thaw(play.registry.get(query), { step: 200, reason: 'test' });
    await play.run(300);
    // Seen again from the check of 201 on.
    expect(play.freezeSteps).toEqual([146, 246]);
    expect(play.policy.finished).toBe(true);
  });

  test('events come in order, each with its value and threshold, and the run is over with the last', async () => {
    const script: Script = (step, name) => ({ absolute: name === key ? 200 / step : 100 / step });
    const options = {
      steps: 400,
      ...magnitude,
      threshold: 0.6,
      grace: 0.1,
      interval: 10,
      watch: three,
    } as const;
    const play = new Play(script, options);
    const finished: number[] = [];
    play.registry.onEvent(({ step }) => {
      if (play.policy.finished) finished.push(step);
    });
    await play.run(400);
    expect(play.registry.events.map(({ name, step, value: at, threshold }) => [name, step, at, threshold])).toEqual([
      [query, 180, 100 / 170, 0.6],
      [value, 180, 100 / 170, 0.6],
      [key, 350, 200 / 340, 0.6],
    ]);
    expect(finished).toEqual([350]);
    expect(play.policy.frozenCount).toBe(3);
  });

  test('steps are counted by the loop, not by an optimizer that has stepped before', async () => {
    const training = new Training(cpu);
    await training.steps(1, 10);
    const options = { steps: 20, ...magnitude, threshold: 1e9, grace: 0.5, interval: 1, watch: one } as const;
    const policy = new GradES(training.registry, training.optimizer, options);
    for (let s = 1; s <= 13; s++) await training.step(s, { policy });
    expect(policy.checks.map(({ step }) => step)).toEqual([9, 10, 11, 12]);
    expect(training.registry.events.map(({ step }) => step)).toEqual([12]);
  });
});

describe('options', () => {
  let play: { registry: ParameterRegistry; optimizer: SGD };
  beforeEach(() => {
    const model = tinyModel(cpu);
    play = {
      registry: new ParameterRegistry(model),
      optimizer: releaseLater(new SGD(model.parameters(), { learningRate: 0.1 })),
    };
  });
  const make = (options: GradESOptions) => new GradES(play.registry, play.optimizer, options);

  test('the defaults are those that were measured', () => {
    const { settings, threshold, watched } = make({ steps: 1200 });
    expect(threshold).toBe(0.3);
    expect(settings).toEqual({
      steps: 1200,
      quantity: 'split-half',
      scale: 'peak',
      threshold: 0.3,
      grace: 0.15,
      graceEnd: 'after',
      horizon: 0.08,
      patience: 0.02,
      spacing: 0.02,
      maxFrozenShare: 1,
      stopShare: 1,
      interval: 1,
      sampleFrom: 1,
      firstSample: 'unknown',
      waitForCheck: false,
      freezeLeftovers: false,
      thaw: null,
    });
    expect(watched.length).toBe(14);
  });

  test.each<[Partial<GradESOptions>, RegExp]>([
    [{ threshold: 0 }, /threshold 0/],
    [{ threshold: -1 }, /threshold -1/],
    [{ threshold: 1.5 }, /threshold 1.5/],
    [{ threshold: Number.NaN }, /threshold NaN/],
    [{ ...magnitude, threshold: Number.POSITIVE_INFINITY }, /threshold Infinity/],
    [{ ...magnitude, threshold: 0 }, /threshold 0/],
    [{ ...magnitude }, /sum.*threshold.*tau/],
    [{ grace: -0.1 }, /grace -0.1/],
    [{ grace: 1.1 }, /grace 1.1/],
    [{ grace: Number.NaN }, /grace NaN/],
    [{ horizon: 2 }, /horizon 2/],
    [{ patience: -1 }, /patience -1/],
    [{ spacing: 50 }, /spacing 50/],
    [{ interval: 0 }, /interval 0/],
    [{ interval: 2.5 }, /interval 2.5/],
    [{ sampleFrom: 0 }, /sampleFrom 0/],
    [{ steps: 0 }, /steps 0/],
    [{ steps: 10.5 }, /steps 10.5/],
    [{ watch: /blocks\.9/ }, /blocks\\\.9.*tokens\.table/],
    [{ maxFrozenShare: 1.2 }, /maxFrozenShare 1.2/],
    [{ stopShare: -1 }, /stopShare -1/],
    [{ threshold: { query: 0.5 } }, /no value for key, the kind of blocks\.0/],
    [{ watch: ['query'], threshold: { query: 2 } }, /threshold\.query 2/],
    [{ threshold: { frozenShare: 0 } }, /frozenShare 0/],
    [{ threshold: { frozenShare: 0.5 }, interval: 3 }, /at least 4 checks.*grace 0\.15 of 100/],
    [{ thaw: { every: 2, margin: 0 } }, /thaw\.every 2/],
    [{ thaw: { every: 0.1, margin: -1 } }, /thaw\.margin -1/],
    [{ quantity: 'weight-change', thaw: { every: 0.1, margin: 0 } }, /no weight-change that a probe/],
    [{ watch: ['bias'] }, /bias.*tokens\.table/],
  ])('%o is refused by name', (options, message) => {
    expect(() => make({ steps: 100, ...options })).toThrow(ArgumentError);
    expect(() => make({ steps: 100, ...options })).toThrow(message);
  });

  test.each([
    ['quantity', 'hessian', /hessian.*split-half, gradient, gradient-change, weight-change/],
    ['scale', 'log', /log.*sum, mean, rate, peak/],
    ['graceEnd', 'never', /never.*after, after-ceiling, at-floor/],
    ['firstSample', 'one', /one.*unknown, converged, from-zero/],
  ])('an unknown %s is refused, and the known ones are named', (name, value, message) => {
    const options = { steps: 100 };
    Object.assign(options, { [name]: value });
    expect(() => make(options)).toThrow(ArgumentError);
    expect(() => make(options)).toThrow(message);
  });

  test('what the optimizer does not train cannot be watched', () => {
    const some = play.registry.entries.filter(({ name }) => name !== key).flatMap(({ parameters }) => parameters);
    const optimizer = releaseLater(new SGD(some, { learningRate: 0.1 }));
    expect(() => new GradES(play.registry, optimizer, { steps: 10 })).toThrow(ArgumentError);
    expect(() => new GradES(play.registry, optimizer, { steps: 10 })).toThrow(key);
  });

  test('what is frozen already is not watched', () => {
    play.registry.freeze(play.registry.get(key), { step: 0, reason: 'test' });
    expect(make({ steps: 10 }).watched.map(({ name }) => name)).not.toContain(key);
  });
});

/** Every matrix freezes in its turn, in a run of 60 steps. */
const lively = { steps: 60, threshold: 1, grace: 0.2, horizon: 0.1, patience: 0, spacing: 0.02, interval: 2 } as const;

async function train(device: Device, options: Partial<GradESOptions> = {}) {
  const training = new Training(device);
  const policy = new GradES(training.registry, training.optimizer, { ...lively, ...options });
  let s = 0;
  while (s < 60 && !policy.finished) {
    s++;
    await training.steps(s, s, { policy });
  }
  await policy.end();
  return { training, policy, steps: s };
}

onEachDevice((device) => {
  test('same seed, same device: two runs are bit-identical in losses, weights and freezes', async () => {
    const [a, b] = [await train(device), await train(device)];
    expect(a.training.registry.events.length).toBeGreaterThan(5);
    expect(a.training.registry.events).toEqual(b.training.registry.events);
    expect(a.training.losses).toEqual(b.training.losses);
    expect(a.policy.checks).toEqual(b.policy.checks);
    expect(a.steps).toBe(b.steps);
    expect(await a.training.weights()).toEqual(await b.training.weights());
  });

  test('watching changes nothing: until the first freeze the run is the one without GradES', async () => {
    const { training: watched } = await train(device, { grace: 1 });
    expect(watched.registry.events).toEqual([]);
    const plain = new Training(device);
    await plain.steps(1, 60);
    expect(watched.losses.length).toBe(60);
    for (const [i, loss] of plain.losses.entries()) expect(watched.losses[i]).toBeCloseTo(loss, 3);
  });

  test('freezes are apart, after the grace period, one check after the value that caused them', async () => {
    const { training, policy } = await train(device, { spacing: 0.05, freezeLeftovers: true });
    const freezes = training.registry.events.filter(({ reason }) => reason === 'converged');
    expect(freezes.length).toBeGreaterThan(5);
    for (const [i, { name, step, value, threshold }] of freezes.entries()) {
      const cause = policy.checks.find((check) => check.step === step - 2);
      expect(cause?.values.get(name)).toBe(value);
      expect(value).toBeLessThan(threshold ?? 0);
      expect(step).toBeGreaterThan(12);
      if (i > 0) expect(step - freezes[i - 1].step).toBeGreaterThanOrEqual(3);
      for (const [other, at] of cause?.values ?? []) {
        if (other !== name && at < (value ?? 0)) expect(freezes.slice(0, i).map((each) => each.name)).toContain(other);
      }
    }
  });

  test('with leftovers the whole of a block goes with its last matrix, and training ends with nothing left to watch', async () => {
    const options = { ...magnitude, threshold: 1e9, grace: 0.1, spacing: 0, freezeLeftovers: true } as const;
    const { training, policy, steps } = await train(device, options);
    expect(policy.finished).toBe(true);
    expect(steps).toBe(10);
    const active = training.registry.active().map(({ name }) => name);
    expect(active).toEqual(['norm.gain', 'head.weight']);
    const reasons = training.registry.events.map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'converged').length).toBe(14);
    expect(reasons.slice(14).length).toBe(5);
    const { training: without } = await train(device, { ...options, freezeLeftovers: false });
    expect(without.registry.active().length).toBe(7);
  });

  test('one read-back a check, and none in the steps between', async () => {
    const training = new Training(device);
    const policy = new GradES(training.registry, training.optimizer, { steps: 100, interval: 5 });
    await training.step(1, { policy });
    const download = vi.spyOn(device, 'download');
    try {
      for (let s = 2; s <= 21; s++) {
        const before = download.mock.calls.length;
        await training.step(s, { policy });
        expect(download.mock.calls.length - before, `step ${s}`).toBe(s % 5 === 1 ? 1 : 0);
      }
      await policy.end();
    } finally {
      download.mockRestore();
    }
  });

  test('halves are computed at checks alone, for watched matrices alone', async () => {
    const training = new Training(device);
    const policy: Policy = new GradES(training.registry, training.optimizer, { steps: 100, interval: 5, watch: three });
    const halves: string[][] = [];
    for (let s = 1; s <= 11; s++) {
      await training.step(s, { policy });
      const { gradients } = await training.optimizer.report();
      halves.push([...gradients].filter(([, sums]) => sums.halvesProduct !== null).map(([{ name }]) => name));
    }
    const expected = [query, key, value];
    expect(halves.map((names) => names.length)).toEqual([3, 0, 0, 0, 0, 3, 0, 0, 0, 0, 3]);
    expect(halves[5]).toEqual(expected);
    await policy.end();
    expect(training.parameter(query).leaf.splitHalves).toBe(false);
  });

  test('a batch that cannot be halved is a named error, and the run can go on', async () => {
    const training = new Training(device);
    const policy = new GradES(training.registry, training.optimizer, { steps: 100, interval: 5 });
    await training.step(1, { policy });
    for (let s = 2; s <= 5; s++) await training.step(s, { policy, batch: 3 });
    const [weights, { liveBytes, liveBuffers }] = [await training.weights(), device.memory()];
    const attempt = training.step(6, { policy, batch: 3 });
    await expect(attempt).rejects.toThrow(BackwardError);
    await expect(attempt).rejects.toThrow(/blocks\.1.*weight.*3 samples.*even/);
    expect(await training.weights()).toEqual(weights);
    expect(device.memory().liveBytes).toBe(liveBytes);
    expect(device.memory().liveBuffers).toBe(liveBuffers);
    // The same step with a whole batch, beside a run that never met the odd one.
    const other = new Training(device);
    const otherPolicy = new GradES(other.registry, other.optimizer, { steps: 100, interval: 5 });
    await other.step(1, { policy: otherPolicy });
    for (let s = 2; s <= 5; s++) await other.step(s, { policy: otherPolicy, batch: 3 });
    for (const [run, its] of [
      [training, policy],
      [other, otherPolicy],
    ] as const) {
      for (let s = 6; s <= 8; s++) await run.step(s, { policy: its });
    }
    expect(await training.weights()).toEqual(await other.weights());
    await Promise.all([policy.end(), otherPolicy.end()]);
  });
});

onEachDevice((device) => {
  test('a watched parameter whose gradient has no halves is an error, not a rule that never acts', async () => {
    const training = new Training(device);
    const registry = new ParameterRegistry(training.model);
    const policy = new GradES(registry, training.optimizer, { steps: 20, watch: ['norm'] });
    const run = async () => {
      for (let s = 1; s <= 4; s++) await training.step(s, { policy });
    };
    await expect(run()).rejects.toThrow(/attentionNorm\.gain came without its halves/);
  });
});

test('freezeLeftovers without blocks to look at is an error', () => {
  const training = new Training(cpu);
  const registry = new ParameterRegistry(training.model);
  const options = { steps: 20, freezeLeftovers: true, watch: ['head'] } as const;
  expect(() => new GradES(registry, training.optimizer, options)).toThrow(/blocks\.N/);
});
