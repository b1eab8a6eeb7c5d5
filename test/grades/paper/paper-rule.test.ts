/** What the three rules of the paper have in common. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  ArgumentError,
  BackwardError,
  type PaperRuleOptions,
  PaperVersion1,
  PaperVersion3,
  ParameterRegistry,
  ReleasedCode,
  SGD,
  tensor,
} from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { releaseLater, releaseMade, Training, tinyModel } from '../../nn/tiny.ts';
import { Play, type RuleClass, type Script, type WatchingRule } from '../scripted.ts';
import { one, query, two } from './plain-loops.ts';

afterEach(releaseMade);

const key = 'blocks.0.attention.key.weight';

describe.each<[string, RuleClass<WatchingRule, PaperRuleOptions>]>([
  ['PaperVersion1', PaperVersion1],
  ['PaperVersion3', PaperVersion3],
  ['ReleasedCode', ReleasedCode],
])('%s', (name, rule) => {
  const play = (script: Script, options: Partial<PaperRuleOptions> = {}) =>
    new Play(rule, script, { steps: 30, threshold: 5, grace: 0.2, watch: two, ...options });

  test('whatever is below τ freezes after the step that measured it, with its value', async () => {
    const script: Script = (s, matrix) => (s < (matrix === query ? 10 : 14) ? 9 : 4 + s / 100);
    const { registry, policy } = await play(script).run(30);
    expect(registry.events.map((event) => [event.name, event.step, event.value, event.threshold])).toEqual([
      [query, 10, 4.1, 5],
      [key, 14, 4.14, 5],
    ]);
    expect([policy.frozenCount, policy.finished, policy.threshold]).toEqual([2, true, 5]);
  });

  test('a value equal to τ is not below it, and one that is not a number freezes nothing', async () => {
    for (const value of [5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect((await play((s) => (s === 1 ? 9 : value)).run(30)).freezeSteps).toEqual([]);
    }
  });

  test('a matrix without a gradient is not one with a gradient of 0', async () => {
    const { freezes } = await play((s, matrix) => (matrix === key ? null : s === 1 ? 9 : 0)).run(30);
    expect(freezes.map(([matrix]) => matrix)).toEqual([query]);
  });

  test('a sum that was exactly 0 at every check freezes nothing, also where training goes on from a saved state', async () => {
    const played = await play((s, matrix) => (matrix === key || s > 3 ? 0 : 9)).run(5);
    const fork = await played.fork();
    for (const each of [played, fork]) expect((await each.run(30)).freezes).toEqual([[query, expect.any(Number)]]);
    const silent = play(() => 0);
    await expect(silent.run(30)).rejects.toThrow(BackwardError);
    await expect((await play(() => 0).run(5)).run(30)).rejects.toThrow(
      new RegExp(`^${name}: the [a-z-]+ of every watched matrix was exactly 0 at every check up to step `),
    );
    expect(silent.registry.events).toEqual([]);
  });

  test('a thawed matrix freezes again with the next low value', async () => {
    const played = await play(() => 1, { watch: one }).run(12);
    expect(played.freezeSteps.length).toBe(1);
    played.registry.thaw(played.registry.get(query), { step: 12, reason: 'test' });
    await played.run(30);
    expect(played.freezeSteps[1]).toBe(13);
  });

  test('who listens hears every check, until he stops', async () => {
    const played = play(() => 9);
    const heard: number[] = [];
    const stop = played.policy.onCheck(({ step }) => heard.push(step));
    await played.run(3);
    stop();
    await played.run(5);
    expect(heard).toEqual([1, 2, 3]);
    expect(played.checks.length).toBe(5);
  });

  test('with leftovers the whole of a block goes with its last matrix', async () => {
    const { registry, policy } = await play(() => 1, { watch: undefined, freezeLeftovers: true }).run(30);
    expect(policy.finished).toBe(true);
    expect(registry.active().map((entry) => entry.name)).toEqual(['norm.gain', 'head.weight']);
    expect(registry.events.slice(14).length).toBe(5);
    const { registry: without } = await play(() => 1, { watch: undefined }).run(30);
    expect(without.active().length).toBe(7);
  });

  const make = (options: Partial<PaperRuleOptions>, trained: (name: string) => boolean = () => true) => {
    const registry = new ParameterRegistry(tinyModel(cpu));
    const parameters = registry.entries.filter((entry) => trained(entry.name)).flatMap((entry) => entry.parameters);
    const optimizer = releaseLater(new SGD(parameters, { learningRate: 0.1 }));
    return new rule(registry, optimizer, { steps: 10, threshold: 1, ...options });
  };

  test.each<[Partial<PaperRuleOptions>, RegExp]>([
    [{ threshold: 0 }, /threshold 0/],
    [{ threshold: -1 }, /threshold -1/],
    [{ threshold: Number.NaN }, /threshold NaN/],
    [{ threshold: Number.POSITIVE_INFINITY }, /threshold Infinity/],
    [{ threshold: undefined }, /threshold undefined/],
    [{ grace: 1.1 }, /grace 1.1/],
    [{ steps: 0 }, /steps 0/],
    [{ watch: ['bias'] }, /bias.*tokens\.table/],
    [{ watch: ['head'], freezeLeftovers: true }, /blocks\.N/],
  ])('%o is refused by name', (options, message) => {
    expect(() => make(options)).toThrow(ArgumentError);
    expect(() => make(options)).toThrow(message);
  });

  test('an option that there is not, and a matrix that the optimizer does not train, are refused', () => {
    const unknown = {};
    Object.assign(unknown, { scale: 'sum' });
    expect(() => make(unknown)).toThrow(new RegExp(`${name}: there is no option 'scale' .*threshold`));
    expect(() => make({}, (trained) => trained !== key)).toThrow(new RegExp(`${name}.*does not train ${key}`));
  });

  onEachDevice((device) => {
    test('it watches without a change to any bit, reads back once a step, and gives everything back', async () => {
      const [plain, watched] = [new Training(device), new Training(device)];
      const policy = new rule(watched.registry, watched.optimizer, { steps: 5, threshold: 1e-9, grace: 0.9 });
      const download = vi.spyOn(device, 'download');
      try {
        for (let s = 1; s <= 4; s++) {
          await plain.step(s);
          const before = download.mock.calls.length;
          await watched.step(s, { policy });
          expect(download.mock.calls.length - before).toBe(1);
        }
      } finally {
        download.mockRestore();
      }
      const { liveBytes } = device.memory();
      await policy.end();
      const copies = policy.watched.flatMap(({ parameters }) => parameters).reduce((sum, p) => sum + p.byteLength, 0);
      expect(liveBytes - device.memory().liveBytes).toBe(rule === PaperVersion1 ? 0 : copies);
      expect(await watched.weights()).toEqual(await plain.weights());
    });

    test('a broken gradient after the last check is told at the end', async () => {
      const training = new Training(device);
      const policy = new rule(training.registry, training.optimizer, { steps: 5, threshold: 1e-9, grace: 0.9 });
      await training.step(1, { policy });
      const { leaf, shape, size } = training.parameter(key);
      await training.step(2, {
        afterBackward: () => {
          leaf.gradient = tensor(new Float32Array(size).fill(Number.NaN), { device, shape });
        },
      });
      await expect(policy.end()).rejects.toMatchObject({ name: 'NonFiniteGradientError', parameter: key, step: 2 });
    });
  });
});

test('interval and share of the released code are checked', () => {
  const registry = new ParameterRegistry(tinyModel(cpu));
  const optimizer = releaseLater(
    new SGD(
      registry.entries.flatMap(({ parameters }) => parameters),
      { learningRate: 0.1 },
    ),
  );
  const make = (options: object) => () =>
    new ReleasedCode(registry, optimizer, { steps: 10, threshold: 1, ...options });
  expect(make({ interval: 2, maxFrozenShare: 0.5 })).not.toThrow();
  expect(make({ interval: 0 })).toThrow(/ReleasedCode: interval 0/);
  expect(make({ maxFrozenShare: 1.2 })).toThrow(/ReleasedCode: maxFrozenShare 1.2/);
});
