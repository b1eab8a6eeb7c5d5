import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  ArgumentError,
  BackwardError,
  type Check,
  type Device,
  GradES,
  type GradESOptions,
  gradientChange,
  gradientMagnitude,
  gradientOf,
  ParameterRegistry,
  SGD,
  type Signal,
  splitHalf,
  weightChange,
} from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { collectGarbage, releaseLater, releaseMade, Training, tinyModel } from '../nn/tiny.ts';
import { magnitude, Play, type Script } from './scripted.ts';

afterEach(releaseMade);

const query = 'blocks.0.attention.query.weight';
const key = 'blocks.0.attention.key.weight';
const value = 'blocks.0.attention.value.weight';
const three = new RegExp(`^(${query}|${key}|${value})$`);
const one = new RegExp(`^${query}$`);

const play = (script: Script, options: GradESOptions) => new Play(GradES, script, options);

describe('when a matrix freezes', () => {
  const falling: Script = (step) => 1000 - step;

  test('the check of step s takes effect at the next check exactly, with the value of step s', async () => {
    const options = { steps: 100, ...magnitude, threshold: 0.1, grace: 0.2, interval: 7, watch: three } as const;
    const low =
      (from: number): Script =>
      (step) =>
        step >= from ? step : 1000;
    // Checks at 1, 8, 15, 22, 29, 36: the one of 22 is the first after the grace period.
    const { freezes, checks, registry } = await play(low(2), options).run(35);
    expect(checks.map(({ step }) => step)).toEqual([1, 8, 15, 22]);
    expect(freezes).toEqual([
      [query, 29],
      [key, 29],
      [value, 29],
    ]);
    expect(registry.events[0]).toEqual({
      type: 'freeze',
      name: query,
      step: 29,
      value: 0.022,
      threshold: 0.1,
      reason: 'converged',
    });
    expect((await play(low(35), options).run(100)).freezeSteps).toEqual([43, 43, 43]);
  });

  test('a report that arrives late is waited for, and changes nothing', async () => {
    const options = { steps: 40, signal: gradientMagnitude, interval: 4, patience: 0.1, watch: three } as const;
    const script: Script = (step, name) => (name === key ? 50 - step : 100 - step);
    const settings = { ...options, threshold: 0.9, grace: 0 };
    const prompt = await play(script, settings).run(40);
    const late = play(script, settings);
    late.optimizer.delay = 3;
    await late.run(40);
    expect(prompt.freezes.length).toBe(3);
    expect(late.registry.events).toEqual(prompt.registry.events);
    expect(late.checks).toEqual(prompt.checks);
  });

  test.each([splitHalf, gradientMagnitude])(
    '$name: no value is known, and nothing freezes, in the first horizon',
    async (signal) => {
      const options = {
        steps: 1000,
        signal,
        threshold: 1,
        grace: 0,
        patience: 0,
        horizon: 0.1,
        interval: 10,
        watch: one,
      };
      const { checks, freezeSteps } = await play(falling, options).run(300);
      // Samples at 1, 11, …; from 101 on the value is known, and at the peak, where it is 1. 111 is below it.
      const known = checks.filter(({ values }) => values.size > 0).map(({ step }) => step);
      expect(known).toEqual([101, 111]);
      expect(checks[10].values.get(query)).toBe(1);
      expect(freezeSteps).toEqual([121]);
    },
  );

  test('a first sample of 0 is unknown, not converged', async () => {
    const options = { steps: 100, threshold: 1, grace: 0, patience: 0, horizon: 0.5, interval: 1, watch: one };
    const half: Script = (_step, name) => (name === query ? 1 : 0);
    expect((await play(half, { ...options, watch: three }).run(50)).freezeSteps).toEqual([]);
  });

  test('a gradient that never was other than 0 is told, and nothing freezes', async () => {
    const options = { steps: 100, grace: 0.2, watch: three };
    const silent = play(() => 0, options);
    await expect(silent.run(50)).rejects.toThrow(/exactly 0 at every check up to step 21: there is no gradient/);
    expect(silent.registry.events).toEqual([]);
  });

  test('a change is known from the step that has one before it on', async () => {
    const options = { steps: 100, signal: gradientChange, threshold: 1, horizon: 0, watch: one };
    const firstOf = async (sampleFrom: number) => {
      const { checks } = await play(() => 1, { ...options, sampleFrom }).run(30);
      return checks.find(({ values }) => values.size > 0)?.step;
    };
    expect(await firstOf(1)).toBe(2);
    expect(await firstOf(20)).toBe(20);
  });

  test('by default a check comes as often as leaves an average 192 samples', () => {
    const intervalOf = (options: Partial<GradESOptions> & { steps: number }) =>
      play(falling, { watch: one, ...options }).policy.settings.interval;
    expect([1, 1200, 4799, 4800, 10_000].map((steps) => intervalOf({ steps }))).toEqual([1, 1, 1, 2, 4]);
    expect(intervalOf({ steps: 10_000, horizon: 0 })).toBe(1);
    expect(intervalOf({ steps: 10_000, interval: 1 })).toBe(1);
  });

  test('samples begin where they are told to', async () => {
    const options = { steps: 1000, threshold: 1, grace: 0, patience: 0, horizon: 0.1, interval: 10, watch: one };
    const { checks } = await play(falling, { ...options, sampleFrom: 55 }).run(200);
    expect(checks[0].step).toBe(55);
    expect(checks.find(({ values }) => values.size > 0)?.step).toBe(155);
  });

  test.each([0, 0.25, 0.5, 0.8])('nothing freezes up to the end of a grace period of %f', async (grace) => {
    for (const interval of [1, 7, 10]) {
      for (const signal of [gradientMagnitude, splitHalf]) {
        const options = { ...magnitude, steps: 100, grace, interval, signal, threshold: 0.9999, watch: one };
        const { checks, freezeSteps } = await play(falling, options).run(100);
        const decided = checks.find(
          ({ step, values }) => step > grace * 100 && (values.get(query) ?? 1e9) < options.threshold,
        );
        expect(decided, `${interval} ${signal.name}`).toBeDefined();
        expect(freezeSteps).toEqual([(decided?.step ?? 0) + interval]);
        expect(freezeSteps[0]).toBeGreaterThan(grace * 100);
      }
    }
  });

  test('patience: one low value is not enough, and a high one starts it anew', async () => {
    const script: Script = (step) => (step < 600 || (step >= 620 && step < 650) ? 100 : 10);
    const rule = { steps: 1000, signal: gradientMagnitude, threshold: 0.5, grace: 0, horizon: 0 };
    const options = { ...rule, interval: 5, watch: one };
    // Checks at 1, 6, …: 601 is low, 621 high again, 651 low for good.
    expect((await play(script, { ...options, patience: 0 }).run(700)).freezeSteps).toEqual([606]);
    expect((await play(script, { ...options, patience: 0.015 }).run(700)).freezeSteps).toEqual([621]);
    expect((await play(script, { ...options, patience: 0.02 }).run(800)).freezeSteps).toEqual([676]);
    expect((await play(script, { ...options, patience: 0.05 }).run(800)).freezeSteps).toEqual([706]);
  });

  test('patience: a check without a value starts it anew', async () => {
    const options = { steps: 1000, threshold: 0.5, grace: 0, horizon: 0, interval: 5, watch: one };
    const script: Script = (step) => (step === 121 ? null : step < 100 ? 100 : 1);
    const { freezeSteps } = await play(script, { ...options, patience: 0.04 }).run(300);
    // Below since 101; nothing at 121; below since 126, and for 40 steps at 166.
    expect(freezeSteps).toEqual([171]);
  });

  test('patience passes between two freezes as well: one at a time, the lowest signal first', async () => {
    const order = [value, query, key];
    const script: Script = (step, name) => (step < 50 ? 100 : 10 + order.indexOf(name));
    const options = { steps: 200, ...magnitude, threshold: 0.5, grace: 0, interval: 4, watch: three } as const;
    // Checks at 1, 5, …: 53 is the first low one.
    const patient = await play(script, { ...options, patience: 0.1 }).run(200);
    expect(patient.freezes).toEqual([
      [value, 77],
      [query, 97],
      [key, 117],
    ]);
    const together = await play(script, { ...options, patience: 0 }).run(200);
    expect(together.freezes.map(([name]) => name)).toEqual(order);
    expect(together.freezeSteps).toEqual([57, 57, 57]);
    const dense = await play(script, { ...options, patience: 0.001 }).run(200);
    expect(dense.freezeSteps).toEqual([61, 65, 69]);
  });

  test('of 28 matrices two freeze at a time, so that all of a deep model can', async () => {
    const script: Script = (step) => (step < 50 ? 100 : 10);
    const options = { steps: 1000, ...magnitude, threshold: 0.5, grace: 0, interval: 5, patience: 0.02 } as const;
    const { freezeSteps } = await new Play(GradES, script, options, { blocks: 4 }).run(1000);
    // Checks at 1, 6, …: 51 is the first low one, and 71 is patient enough.
    expect(freezeSteps).toEqual(Array.from({ length: 28 }, (_, i) => 76 + 20 * Math.floor(i / 2)));
  });

  test('from below: the lowest block first, and in it the lowest signal', async () => {
    const names = [2, 0, 1].flatMap((block) =>
      ['value', 'key'].map((kind) => `blocks.${block}.attention.${kind}.weight`),
    );
    const script: Script = (step, name) => (step < 50 ? 100 : 10 + names.indexOf(name));
    const options = { steps: 200, ...magnitude, threshold: 0.5, grace: 0, patience: 0.1, watch: /value|key/ } as const;
    const orderOf = async (fromBelow: boolean) => {
      const { freezes } = await new Play(GradES, script, { ...options, fromBelow }, { blocks: 3 }).run(200);
      return freezes.map(([name]) => name);
    };
    expect(await orderOf(false)).toEqual(names);
    expect(await orderOf(true)).toEqual([...names.slice(2), ...names.slice(0, 2)]);
  });

  test('a value equal to the threshold is not below it', async () => {
    const options = { steps: 100, ...magnitude, threshold: 0.5, grace: 0.1, interval: 5, watch: one } as const;
    expect((await play((step) => (step === 1 ? 10 : 5), options).run(100)).freezeSteps).toEqual([]);
    expect((await play((step) => (step === 1 ? 10 : 4.99), options).run(100)).freezeSteps).toEqual([16]);
  });

  test('a matrix without a gradient is not one with a gradient of 0', async () => {
    const options = { steps: 100, ...magnitude, threshold: 0.5, grace: 0.1, interval: 5, watch: three } as const;
    const script: Script = (step, name) => (name === key && step > 1 ? null : step === 1 ? 1 : 0);
    const { freezes } = await play(script, options).run(100);
    expect(freezes.map(([name]) => name)).toEqual([query, value]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('a value of %f freezes nothing', async (bad) => {
    for (const rule of [{}, { signal: gradientMagnitude }, magnitude]) {
      const options = { ...rule, steps: 100, threshold: 1, grace: 0, patience: 0, horizon: 0.01, watch: one };
      expect((await play(() => bad, options).run(100)).freezeSteps).toEqual([]);
    }
  });

  test('a thawed matrix has its patience again', async () => {
    const rule = { steps: 1000, threshold: 0.5, grace: 0, horizon: 0, patience: 0.04 };
    const options = { ...rule, interval: 5, watch: one };
    const played = await play((step) => (step < 100 ? 100 : 1), options).run(200);
    expect(played.freezeSteps).toEqual([146]);
    played.registry.thaw(played.registry.get(query), { step: 200, reason: 'test' });
    await played.run(300);
    // Seen again from the check of 201 on.
    expect(played.freezeSteps).toEqual([146, 246]);
    expect(played.policy.finished).toBe(true);
  });

  test('events come in order, each with its value and threshold, and the run is over with the last', async () => {
    const script: Script = (step, name) => (name === key ? 200 / (step + 1) : 100 / step);
    const options = { steps: 400, ...magnitude, threshold: 0.01, grace: 0.1, interval: 10, watch: three } as const;
    const played = play(script, options);
    const finished: number[] = [];
    played.registry.onEvent(({ step }) => {
      if (played.policy.finished) finished.push(step);
    });
    await played.run(400);
    expect(played.registry.events.map(({ name, step, value: at, threshold }) => [name, step, at, threshold])).toEqual([
      [query, 111, 1 / 101, 0.01],
      [value, 111, 1 / 101, 0.01],
      [key, 211, 2 / 202, 0.01],
    ]);
    expect(finished).toEqual([211]);
    expect(played.policy.frozenCount).toBe(3);
  });

  test('the interval only moves a decision to the next check', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 9 }),
        fc.double({ min: 0.02, max: 0.9, noNaN: true }),
        async (interval, threshold) => {
          const options = { ...magnitude, steps: 100, grace: 0.05, threshold, patience: 0.1, watch: one };
          const decided = async (interval: number) => {
            const { freezeSteps } = await play((s) => 100 - s, { ...options, interval }).run(120);
            return (freezeSteps[0] ?? 200) - interval;
          };
          const [first, second] = [await decided(1), await decided(interval)];
          expect(second).toBeGreaterThanOrEqual(first);
          // Once to notice that the value is low, and once that it stayed so.
          if (first + 2 * interval <= 100) expect(second).toBeLessThan(first + 2 * interval);
          releaseMade();
        },
      ),
      { numRuns: 30, seed: 4 },
    );
  });

  test('steps are counted by the loop, not by an optimizer that has stepped before', async () => {
    const training = new Training(cpu);
    await training.steps(1, 10);
    const options = { steps: 20, ...magnitude, threshold: 1, grace: 0.5, interval: 1, watch: one } as const;
    const policy = new GradES(training.registry, training.optimizer, options);
    const checks = checksOf(policy);
    for (let s = 1; s <= 16; s++) await training.step(s, { policy });
    expect(checks.map(({ step }) => step)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    const decided = checks.find(({ step, values }) => step > 10 && (values.get(query) ?? 1) < 1);
    expect(training.registry.events.map(({ step }) => step)).toEqual([(decided?.step ?? 0) + 1]);
  });
});

test('who listens hears every check, until he stops', async () => {
  const played = play(() => 1, { steps: 100, watch: one });
  const heard: number[] = [];
  const stop = played.policy.onCheck(({ step }) => heard.push(step));
  await played.run(4);
  stop();
  await played.run(9);
  expect(heard).toEqual([1, 2, 3]);
  expect(played.checks.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

describe('saved and restored', () => {
  test.each([0, 2])('after any step, a check that has yet to take effect included (%i ms late)', async (delay) => {
    const script: Script = (step, name) => (step % 11 === 0 ? null : (100 + name.length) / step);
    const rule = { signal: gradientMagnitude, threshold: 0.6, grace: 0.2, horizon: 0.1, patience: 0.1 };
    const options = { ...rule, steps: 40, interval: 3, sampleFrom: 2, watch: three };
    const expected = await play(script, options).run(40);
    expect(expected.freezes.length).toBe(3);
    const played = play(script, options);
    played.optimizer.delay = delay;
    for (let s = 0; s <= 30; s++) {
      const fork = await (await played.run(s)).fork();
      await fork.run(40);
      expect(fork.registry.events, `from step ${s}`).toEqual(expected.registry.events);
      expect(fork.checks, `from step ${s}`).toEqual(expected.checks);
    }
  });

  test('a state of a rule that follows other matrices is refused', async () => {
    const state = await (await play(() => 1, { steps: 10, watch: three }).run(3)).policy.state();
    const { policy } = play(() => 1, { steps: 10, watch: one });
    expect(() => policy.restore(state)).toThrow(ArgumentError);
    expect(() => policy.restore(state)).toThrow(/follows 3 matrices, this rule 1/);
  });

  test('a broken gradient that no check has told of yet is told where the state is taken', async () => {
    const played = await play(() => 1, { steps: 10, watch: one }).run(2);
    vi.spyOn(played.optimizer, 'report').mockRejectedValue(new Error('broken'));
    await played.run(3).catch(() => {});
    await expect(played.policy.state()).rejects.toThrow('broken');
  });
});

function checksOf(policy: GradES): Check[] {
  const checks: Check[] = [];
  policy.onCheck((check) => checks.push(check));
  return checks;
}

describe('options', () => {
  let made: { registry: ParameterRegistry; optimizer: SGD };
  beforeEach(() => {
    const model = tinyModel(cpu);
    made = {
      registry: new ParameterRegistry(model),
      optimizer: releaseLater(new SGD(model.parameters(), { learningRate: 0.1 })),
    };
  });
  const make = (options: GradESOptions) => new GradES(made.registry, made.optimizer, options);

  test('the defaults are those that were measured', () => {
    const { settings, threshold, watched } = make({ steps: 1200 });
    expect(threshold).toBe(0.3);
    expect(settings).toEqual({
      steps: 1200,
      signal: splitHalf,
      threshold: 0.3,
      grace: 0.15,
      horizon: 0.08,
      patience: 0.02,
      interval: 1,
      sampleFrom: 1,
      freezeLeftovers: false,
      fromBelow: false,
    });
    expect(watched.length).toBe(14);
    for (const signal of [gradientMagnitude, gradientChange, weightChange]) {
      expect(make({ steps: 10, signal }).threshold).toBe(signal.threshold);
    }
  });

  test.each<[Partial<GradESOptions>, RegExp]>([
    [{ threshold: 0 }, /threshold 0 /],
    [{ threshold: -1 }, /threshold -1/],
    [{ threshold: 1.5 }, /threshold 1.5/],
    [{ threshold: Number.NaN }, /threshold NaN/],
    [{ threshold: Number.POSITIVE_INFINITY }, /threshold Infinity/],
    [{ grace: -0.1 }, /grace -0.1/],
    [{ grace: 1.1 }, /grace 1.1/],
    [{ grace: Number.NaN }, /grace NaN/],
    [{ horizon: 2 }, /horizon 2/],
    [{ patience: -1 }, /patience -1/],
    [{ patience: 50 }, /patience 50/],
    [{ interval: 0 }, /interval 0/],
    [{ interval: 2.5 }, /interval 2.5/],
    [{ sampleFrom: 0 }, /sampleFrom 0/],
    [{ steps: 0 }, /steps 0/],
    [{ steps: 10.5 }, /steps 10.5/],
    [{ watch: /blocks\.9/ }, /blocks\\\.9.*tokens\.table/],
    [{ watch: ['bias'] }, /bias.*tokens\.table/],
  ])('%o is refused by name', (options, message) => {
    expect(() => make({ steps: 100, ...options })).toThrow(ArgumentError);
    expect(() => make({ steps: 100, ...options })).toThrow(message);
  });

  test('an unknown option is refused, and the known ones are named', () => {
    const options = { steps: 100 };
    Object.assign(options, { scale: 'log' });
    expect(() => make(options)).toThrow(ArgumentError);
    expect(() => make(options)).toThrow(/no option 'scale' .*signal.*threshold/);
  });

  test.each<[object, RegExp]>([
    [{ signal: 'gradient' }, /signal gradient is out of range \(allowed: a signal, such as splitHalf/],
    [{ freezeLeftovers: 'no' }, /freezeLeftovers no is out of range \(allowed: true or false/],
  ])('%o, from a script without types, is refused', (options, message) => {
    const given = { steps: 100 };
    Object.assign(given, options);
    expect(() => make(given)).toThrow(message);
  });

  test('an option that is undefined counts as absent', () => {
    expect(make({ steps: 100, grace: undefined, signal: undefined }).settings).toMatchObject({
      grace: 0.15,
      signal: splitHalf,
    });
  });

  test('what the optimizer does not train cannot be watched', () => {
    const some = made.registry.entries.filter(({ name }) => name !== key).flatMap(({ parameters }) => parameters);
    const optimizer = releaseLater(new SGD(some, { learningRate: 0.1 }));
    expect(() => new GradES(made.registry, optimizer, { steps: 10 })).toThrow(ArgumentError);
    expect(() => new GradES(made.registry, optimizer, { steps: 10 })).toThrow(key);
  });

  test('what is frozen already is not watched', () => {
    made.registry.freeze(made.registry.get(key), { step: 0, reason: 'test' });
    expect(make({ steps: 10 }).watched.map(({ name }) => name)).not.toContain(key);
  });
});

/** Every matrix freezes in its turn, in a run of 60 steps. */
const lively = { steps: 60, threshold: 1, grace: 0.2, horizon: 0.1, patience: 0.02, interval: 2 } as const;

async function train(device: Device, options: Partial<GradESOptions> = {}) {
  const training = new Training(device);
  const policy = new GradES(training.registry, training.optimizer, { ...lively, ...options });
  const checks = checksOf(policy);
  let s = 0;
  while (s < 60 && !policy.finished) {
    s++;
    await training.steps(s, s, { policy });
  }
  await policy.end();
  return { training, policy, checks, steps: s };
}

onEachDevice((device) => {
  test('same seed, same device: two runs are bit-identical in losses, weights and freezes', async () => {
    const [a, b] = [await train(device), await train(device)];
    expect(a.training.registry.events.length).toBeGreaterThan(5);
    expect(a.training.registry.events).toEqual(b.training.registry.events);
    expect(a.training.losses).toEqual(b.training.losses);
    expect(a.checks).toEqual(b.checks);
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
    const { training, checks } = await train(device, { patience: 0.05, freezeLeftovers: true });
    const freezes = training.registry.events.filter(({ reason }) => reason === 'converged');
    expect(freezes.length).toBeGreaterThan(5);
    for (const [i, { name, step, value, threshold }] of freezes.entries()) {
      const cause = checks.find((check) => check.step === step - 2);
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
    const options = { ...magnitude, threshold: 1, grace: 0.1, interval: 1, freezeLeftovers: true } as const;
    const { training, policy, steps } = await train(device, options);
    expect(policy.finished).toBe(true);
    expect(steps).toBeLessThan(60);
    const active = training.registry.active().map(({ name }) => name);
    expect(active).toEqual(['norm.gain', 'head.weight']);
    const { events } = training.registry;
    expect(events.filter(({ reason }) => reason === 'converged').length).toBe(14);
    for (const block of [0, 1]) {
      const ofBlock = events.filter(({ name }) => name.startsWith(`blocks.${block}.`));
      const last = ofBlock.findLast(({ reason }) => reason === 'converged');
      expect(ofBlock.slice(-2).map(({ name, step }) => [name.split('.')[2], step])).toEqual([
        ['attentionNorm', last?.step],
        ['feedForwardNorm', last?.step],
      ]);
    }
    expect(events.filter(({ name }) => name === 'tokens.table').length).toBe(1);
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
    const policy = new GradES(training.registry, training.optimizer, { steps: 100, interval: 5, watch: three });
    const halves: string[][] = [];
    const { optimizer } = training;
    const comeInHalves = () => optimizer.parameters.filter(({ leaf }) => leaf.halves !== null).map(({ name }) => name);
    for (let s = 1; s <= 11; s++) {
      await training.step(s, { policy, afterBackward: () => halves.push(comeInHalves()) });
    }
    expect(halves.map((names) => names.length)).toEqual([3, 0, 0, 0, 0, 3, 0, 0, 0, 0, 3]);
    expect(halves[5]).toEqual([query, key, value]);
    await policy.end();
    expect(training.parameter(query).leaf.splitsHalves).toBe(false);
  });

  test('two rules at once on the same matrices see what each sees alone', async () => {
    const rules = {
      halves: { signal: splitHalf, interval: 2 },
      magnitude: { signal: gradientMagnitude, interval: 1 },
      change: { signal: gradientChange, interval: 3 },
    };
    const run = async (...names: (keyof typeof rules)[]) => {
      const training = new Training(device);
      const policies = names.map((name) => {
        const options = { ...magnitude, steps: 12, grace: 1, watch: three, ...rules[name] };
        return new GradES(training.registry, training.optimizer, options);
      });
      const checks = policies.map(checksOf);
      for (let s = 1; s <= 12; s++) {
        await training.step(s, {
          policy: {
            beforeStep: () => policies.forEach((each) => void each.beforeStep(s)),
            afterStep: async () => {
              for (const each of policies) await each.afterStep(s);
            },
          },
        });
      }
      for (const policy of policies) await policy.end();
      return { checks, weights: await training.weights() };
    };
    const together = await run('halves', 'magnitude', 'change');
    const halves = await run('halves');
    expect(together.checks[0]).toEqual(halves.checks[0]);
    expect(together.weights).toEqual(halves.weights);
    for (const [i, name] of (['halves', 'magnitude', 'change'] as const).entries()) {
      const [alone] = (await run(name)).checks;
      expect(together.checks[i].map(({ step }) => step)).toEqual(alone.map(({ step }) => step));
      for (const [k, { values }] of alone.entries()) {
        // A first change is unknown.
        expect(values.size).toBe(name === 'change' && k === 0 ? 0 : 3);
        for (const [matrix, at] of values) expect(together.checks[i][k].values.get(matrix)).toBeCloseTo(at, 3);
      }
    }
  });

  test('a signal of your own is one object', async () => {
    const sixthPower: Signal = {
      name: 'sixth-power',
      over: 'gradient',
      wgsl: '(1e6 * x * x * x * x * x * x)',
      reference: (x) => 1e6 * x ** 6,
      power: 2,
      threshold: 0.5,
    };
    const training = new Training(device);
    const { registry, optimizer } = training;
    const options = { ...magnitude, signal: sixthPower, steps: 6, grace: 1, watch: one };
    const policy = new GradES(registry, optimizer, options);
    const checks = checksOf(policy);
    const gradients: ArrayLike<number>[] = [];
    for (let s = 1; s <= 6; s++) {
      let gradient: Promise<ArrayLike<number>> | undefined;
      await training.step(s, {
        policy,
        afterBackward: () => (gradient = gradientOf(training.parameter(query))?.data()),
      });
      gradients.push((await gradient) ?? []);
    }
    const sums = gradients.map((gradient) => Array.from(gradient).reduce((sum, x) => sum + 1e6 * x ** 6, 0));
    expect(checks.length).toBe(5);
    for (const [i, { values }] of checks.entries()) {
      expect(values.get(query)).toBeCloseTo(Math.sqrt(sums[i] / Math.max(...sums.slice(0, i + 1))), 4);
    }
    expect(policy.threshold).toBe(0.5);
  });

  test('a batch that cannot be halved is a named error, and the run can go on', async () => {
    await collectGarbage();
    const training = new Training(device);
    const policy = new GradES(training.registry, training.optimizer, { steps: 100, interval: 5 });
    await training.step(1, { policy });
    for (let s = 2; s <= 5; s++) await training.step(s, { policy, batch: 1 });
    const [weights, { liveBytes, liveBuffers }] = [await training.weights(), device.memory()];
    const attempt = training.step(6, { policy, batch: 1 });
    await expect(attempt).rejects.toThrow(BackwardError);
    await expect(attempt).rejects.toThrow(/blocks\.1.*weight.*1 samples.*2 or more/);
    expect(await training.weights()).toEqual(weights);
    expect(device.memory().liveBytes).toBe(liveBytes);
    expect(device.memory().liveBuffers).toBe(liveBuffers);
    // The same step with a whole batch, beside a run that never met the single one.
    const other = new Training(device);
    const otherPolicy = new GradES(other.registry, other.optimizer, { steps: 100, interval: 5 });
    await other.step(1, { policy: otherPolicy });
    for (let s = 2; s <= 5; s++) await other.step(s, { policy: otherPolicy, batch: 1 });
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
