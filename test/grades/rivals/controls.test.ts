import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import {
  ArgumentError,
  allAtOnce,
  type Device,
  FixedStop,
  FreezeList,
  type FreezeListItem,
  fromBelow,
  GradES,
  inRandomOrder,
  inReversedOrder,
  isFrozen,
  LossPlateau,
  type LossPlateauOptions,
  type Policy,
  Random,
} from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { releaseMade, Training } from '../../nn/tiny.ts';
import { Play } from '../scripted.ts';

afterEach(releaseMade);

const query = 'blocks.0.attention.query.weight';
const down = 'blocks.1.feedForward.down.weight';

async function train(device: Device, makePolicy: (training: Training) => Policy | undefined, steps = 12) {
  const training = new Training(device);
  const policy = makePolicy(training);
  const history: Record<string, number[]>[] = [];
  let s = 0;
  while (s < steps && !policy?.finished) {
    s++;
    await training.step(s, { policy });
    history.push(await training.weights());
  }
  await policy?.end?.();
  return { training, policy, steps: s, history };
}

onEachDevice((device) => {
  test('a fixed stop ends after its steps, and the run until then is the one without it', async () => {
    const stopped = await train(device, () => new FixedStop({ afterSteps: 5 }));
    const full = await train(device, () => undefined);
    expect(stopped.steps).toBe(5);
    expect(stopped.history).toEqual(full.history.slice(0, 5));
  });

  test('a fixed stop ends with the step that reaches its operations', async () => {
    const before = device.work.flops;
    await train(device, () => undefined, 1);
    const perStep = device.work.flops - before;
    const at = (afterOperations: number) => train(device, () => new FixedStop({ afterOperations, device }));
    expect((await at(4 * perStep)).steps).toBe(4);
    expect((await at(4 * perStep + 1)).steps).toBe(5);
  });

  test('operations before a saved state count, and those of others in between do not', async () => {
    const make = (afterOperations: number) => new FixedStop({ afterOperations, device });
    const before = device.work.flops;
    await train(device, () => undefined, 1);
    const perStep = device.work.flops - before;
    const stop = make(5 * perStep);
    expect((await train(device, () => stop, 3)).steps).toBe(3);
    const state = stop.state();
    await train(device, () => undefined, 4);
    const restored = make(5 * perStep);
    await train(device, () => undefined, 1);
    restored.restore(state);
    expect((await train(device, () => restored)).steps).toBe(2);
    const over = make(5 * perStep);
    over.restore(restored.state());
    expect(over.finished).toBe(true);
  });

  test('a list freezes each matrix after the update of its step, and no other', async () => {
    const list = [
      { name: query, step: 3 },
      { name: down, step: 6 },
    ];
    const { training, steps, history } = await train(
      device,
      ({ registry }) => new FreezeList(registry, { list, stopWhenDone: true }),
    );
    expect(steps).toBe(6);
    expect(training.registry.events.map(({ name, step }) => [name, step])).toEqual([
      [query, 3],
      [down, 6],
    ]);
    const full = await train(device, () => undefined, 3);
    expect(history.slice(0, 3)).toEqual(full.history);
    expect(history[5][query]).toEqual(history[2][query]);
    expect(history[5][down]).not.toEqual(history[2][down]);
    expect(training.registry.active().length).toBe(training.registry.entries.length - 2);
  });

  test('a list that is done lets the rest train on, and takes the leftovers along where asked', async () => {
    const names = (training: Training) => training.registry.select(/^blocks\.0\..*weight/).map(({ name }) => name);
    const { training, steps } = await train(
      device,
      (made) => new FreezeList(made.registry, { list: allAtOnce(names(made), 2), freezeLeftovers: true }),
      5,
    );
    expect(steps).toBe(5);
    expect(training.registry.events.length).toBe(7 + 3);
    expect(training.registry.events.every(({ step }) => step === 2)).toBe(true);
    expect(isFrozen(training.registry.get('tokens.table'))).toBe(true);
  });

  test('the plateau freezes a real model in the order of its seed, the same every time', async () => {
    const options = { steps: 30, grace: 0.1, horizon: 0, patience: 0.03, margin: 0.2 };
    const run = (seed: number) =>
      train(
        device,
        ({ registry, optimizer }) => new LossPlateau(registry, optimizer, { ...options, random: new Random(seed) }),
        30,
      );
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    const order = ({ training }: typeof first) => training.registry.events.map(({ name, step }) => [name, step]);
    expect(order(first).length).toBeGreaterThan(3);
    expect(order(again)).toEqual(order(first));
    expect(order(other).map(([name]) => name)).not.toEqual(order(first).map(([name]) => name));
    expect(again.history).toEqual(first.history);
    const full = await train(device, () => undefined, 30);
    const decided = first.training.registry.events[0].step;
    expect(first.history.slice(0, decided)).toEqual(full.history.slice(0, decided));
  });
});

describe('lists', () => {
  const lists = fc.uniqueArray(fc.record({ name: fc.string(), step: fc.nat(50) }), { selector: ({ name }) => name });
  const names = (list: readonly FreezeListItem[]) => list.map(({ name }) => name).sort();
  const steps = (list: readonly FreezeListItem[]) => list.map(({ step }) => step).sort((a, b) => a - b);

  test('random and reversed order keep the steps and the matrices', () => {
    fc.assert(
      fc.property(lists, fc.nat(1000), (list, seed) => {
        for (const changed of [inRandomOrder(list, new Random(seed)), inReversedOrder(list)]) {
          expect(names(changed)).toEqual(names(list));
          expect(steps(changed)).toEqual(steps(list));
        }
        const sorted = [...list].sort((a, b) => a.step - b.step);
        const order = (items: readonly FreezeListItem[]) => items.map(({ name }) => name);
        expect(order(inReversedOrder(list))).toEqual(order(sorted).reverse());
        expect(inReversedOrder(inReversedOrder(list))).toEqual(sorted);
      }),
      { seed: 12 },
    );
  });

  test('random order is that of its seed', () => {
    const list = Array.from({ length: 14 }, (_, i) => ({ name: `m${i}`, step: i }));
    const order = (seed: number) => inRandomOrder(list, new Random(seed)).map(({ name }) => name);
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
    expect(order(1)).not.toEqual(list.map(({ name }) => name));
  });

  test('from below: block after block, evenly', () => {
    const { registry } = new Training(cpu);
    const list = fromBelow(registry, { from: 10, to: 90 });
    expect(list.length).toBe(14);
    for (const { name, step } of list) expect(step).toBe(name.startsWith('blocks.0.') ? 10 : 90);
    const three = new Training(cpu, { model: { blocks: 3 } }).registry;
    expect(steps(fromBelow(three, { from: 10, to: 90, watch: ['query'] }))).toEqual([10, 50, 90]);
    expect(steps(fromBelow(three, { from: 10, to: 90, watch: /^blocks\.1\..*query/ }))).toEqual([10]);
  });
});

test('the plateau freezes when the loss has not improved for its patience, and waits anew after each', async () => {
  // Falls until step 40, then stands still.
  const play = new Play(GradES, () => null, { steps: 100 });
  const options = { steps: 100, grace: 0.2, horizon: 0, patience: 0.1, random: new Random(1) };
  const policy = new LossPlateau(play.registry, play.optimizer, options);
  play.optimizer.lossOf = (s) => Math.max(60, 100 - s);
  while (play.optimizer.now < 75) {
    play.optimizer.step();
    await policy.afterStep(play.optimizer.now);
  }
  // Best at 40; measured at 50, 60, 70, and carried out a step later.
  expect(play.registry.events.map(({ step }) => step)).toEqual([51, 61, 71]);
  expect(new Set(play.registry.events.map(({ name }) => name)).size).toBe(3);
});

test('the plateau, saved after any step, freezes on as it would have: the loss it has yet to see included', async () => {
  const options = { steps: 60, grace: 0.1, horizon: 0.05, patience: 0.05 };
  const start = () => {
    const play = new Play(GradES, () => null, { steps: 60 });
    play.optimizer.lossOf = (s) => Math.max(40, 60 - s) + Math.sin(s);
    const policy = new LossPlateau(play.registry, play.optimizer, { ...options, random: new Random(1) });
    return { play, policy };
  };
  const run = async ({ play: { optimizer }, policy }: ReturnType<typeof start>, to: number) => {
    while (optimizer.now < to) {
      optimizer.step();
      await policy.afterStep(optimizer.now);
    }
  };
  const whole = start();
  await run(whole, 60);
  expect(whole.play.registry.events.length).toBeGreaterThan(3);
  const first = start();
  for (let s = 0; s <= 50; s++) {
    await run(first, s);
    const second = start();
    second.play.registry.restore(first.play.registry.state());
    second.policy.restore(await first.policy.state());
    second.play.optimizer.now = s;
    await run(second, 60);
    expect(second.play.registry.events, `from step ${s}`).toEqual(whole.play.registry.events);
  }
});

test('nothing freezes in the grace period, or at a loss that is not a number', async () => {
  for (const [loss, grace] of [
    [1, 0.9],
    [Number.NaN, 0],
  ]) {
    const play = new Play(GradES, () => null, { steps: 100 });
    const options = { steps: 100, grace, horizon: 0, patience: 0.05, random: new Random(1) };
    const policy = new LossPlateau(play.registry, play.optimizer, options);
    play.optimizer.lossOf = () => loss;
    while (play.optimizer.now < 90) {
      play.optimizer.step();
      await policy.afterStep(play.optimizer.now);
    }
    expect(play.registry.events).toEqual([]);
  }
});

test('bad options are refused by name', () => {
  const { registry, optimizer } = new Training(cpu);
  expect(() => new FixedStop({ afterSteps: 0 })).toThrow(/limit 0/);
  expect(() => new FixedStop({ afterOperations: Number.NaN, device: cpu })).toThrow(ArgumentError);
  expect(() => new FreezeList(registry, { list: [{ name: 'nobody', step: 1 }] })).toThrow(/'nobody'/);
  expect(() => new FreezeList(registry, { list: [{ name: query, step: 0.5 }] })).toThrow(/step 0.5 of blocks/);
  const plateau = (options: Partial<LossPlateauOptions>) => () =>
    new LossPlateau(registry, optimizer, { steps: 10, random: new Random(1), ...options });
  expect(plateau({ grace: 2 })).toThrow(/grace 2/);
  expect(plateau({ margin: -1 })).toThrow(/margin -1/);
  expect(plateau({ steps: 0 })).toThrow(/steps 0/);
  expect(plateau({ watch: ['bias'] })).toThrow(ArgumentError);
});
