import { afterEach, describe, expect, test } from 'vitest';
import { freezeLeftovers } from '../../src/grades/registry.ts';
import {
  ArgumentError,
  FileFormatError,
  isFrozen,
  ParameterRegistry,
  projectionKinds,
  type RegistryEvent,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { releaseMade, tinyModel } from '../nn/tiny.ts';

afterEach(releaseMade);

onEachDevice((device) => {
  const makeRegistry = () => new ParameterRegistry(tinyModel(device));
  const cause = { step: 3, reason: 'test' };

  test('every parameter is listed with its kind and block', () => {
    const { entries } = makeRegistry();
    expect(entries.map(({ name, kind, block }) => `${name} ${kind} ${block}`)).toEqual([
      'tokens.table embedding null',
      ...[0, 1].flatMap((block) =>
        [
          'attentionNorm.gain norm',
          'attention.query.weight query',
          'attention.key.weight key',
          'attention.value.weight value',
          'attention.output.weight output',
          'feedForwardNorm.gain norm',
          'feedForward.gate.weight gate',
          'feedForward.up.weight up',
          'feedForward.down.weight down',
        ].map((each) => `blocks.${block}.${each} ${block}`),
      ),
      'norm.gain norm null',
      'head.weight head null',
    ]);
  });

  test('selection by kind, by pattern and by function', () => {
    const registry = makeRegistry();
    expect(registry.select(projectionKinds).length).toBe(14);
    expect(registry.select(['query', 'head']).map(({ kind }) => kind)).toEqual(['query', 'query', 'head']);
    expect(registry.select(/^blocks\.1\./).every(({ block }) => block === 1)).toBe(true);
    // A pattern that remembers where it stopped would miss every other name.
    expect(registry.select(/norm/gi).length).toBe(5);
    expect(registry.select(({ parameters }) => parameters[0].rank === 1).length).toBe(5);
  });

  test.each([
    ['a pattern', /blocks\.7\./, /blocks\\\.7/],
    ['a kind', ['bias'] as const, /bias/],
    ['no kind at all', [] as const, /matches none/],
    ['a function', () => false, /matches none/],
  ])('%s that matches nothing is an error that names it and what there is', (_what, selector, message) => {
    const registry = makeRegistry();
    expect(() => registry.select(selector)).toThrow(ArgumentError);
    expect(() => registry.select(selector)).toThrow(message);
    expect(() => registry.select(selector)).toThrow(/tokens\.table/);
  });

  test('an unknown name is an error that names it', () => {
    const registry = makeRegistry();
    expect(registry.get('head.weight').kind).toBe('head');
    expect(() => registry.get('head')).toThrow(ArgumentError);
    expect(() => registry.get('head')).toThrow(/'head'.*tokens\.table/);
  });

  test('freezes and thaws are recorded once, in order, and told to whoever listens', () => {
    const registry = makeRegistry();
    const heard: RegistryEvent[] = [];
    registry.onEvent((event) => heard.push(event));
    const query = registry.get('blocks.0.attention.query.weight');
    const key = registry.get('blocks.0.attention.key.weight');
    registry.freeze(key, { step: 5, value: 0.25, threshold: 0.5, reason: 'converged' });
    registry.freeze(query, { step: 7, reason: 'test' });
    registry.freeze(key, { step: 8, reason: 'again' });
    registry.thaw(key, { step: 9, reason: 'needed' });
    registry.thaw(key, { step: 10, reason: 'again' });
    const empty = { value: null, threshold: null };
    expect(registry.events).toEqual([
      { type: 'freeze', name: key.name, step: 5, value: 0.25, threshold: 0.5, reason: 'converged' },
      { type: 'freeze', name: query.name, step: 7, reason: 'test', ...empty },
      { type: 'thaw', name: key.name, step: 9, reason: 'needed', ...empty },
    ]);
    expect(heard).toEqual(registry.events);
    expect(isFrozen(query)).toBe(true);
    expect(isFrozen(key)).toBe(false);
    expect(registry.active().length).toBe(registry.entries.length - 1);
    expect(registry.active([query, key])).toEqual([key]);
  });

  test('a state brings back who was frozen and what was recorded, and nobody is told', async () => {
    const [registry, other] = [makeRegistry(), makeRegistry()];
    const [query, key] = ['query', 'key'].map((part) => `blocks.0.attention.${part}.weight`);
    registry.freeze(registry.get(key), { step: 5, value: 0.25, threshold: 0.5, reason: 'converged' });
    registry.freeze(registry.get(query), { step: 7, reason: 'test' });
    registry.thaw(registry.get(key), { step: 9, reason: 'needed' });
    const state = registry.state();
    registry.freeze(registry.get(key), { step: 10, reason: 'later' });
    other.freeze(other.get(key), cause);
    const heard: RegistryEvent[] = [];
    other.onEvent((event) => heard.push(event));
    other.restore(state);
    expect(other.entries.filter(isFrozen).map(({ name }) => name)).toEqual([query]);
    expect(other.events).toEqual(registry.events.slice(0, 3));
    expect(heard).toEqual([]);
    expect(() => other.restore({ frozen: ['nobody'], events: [] })).toThrow(/'nobody'/);
    expect(() => other.restore({ frozen: [key] })).toThrow(FileFormatError);
    expect(other.state()).toEqual(state);
  });

  describe('leftovers', () => {
    const frozenNames = (registry: ParameterRegistry) => registry.entries.filter(isFrozen).map(({ name }) => name);
    const freezeAll = (registry: ParameterRegistry, pattern: RegExp) => {
      for (const entry of registry.select(pattern)) registry.freeze(entry, cause);
    };

    test("a block's norms freeze with its last matrix and not before", () => {
      const registry = makeRegistry();
      const watched = registry.select(projectionKinds);
      freezeAll(registry, /^blocks\.1\..*(attention\.|gate|up)/);
      freezeLeftovers(registry, watched, 4);
      expect(frozenNames(registry).length).toBe(6);
      freezeAll(registry, /^blocks\.1\..*down/);
      const before = registry.events.length;
      freezeLeftovers(registry, watched, 5);
      expect(registry.events.slice(before).map(({ name, step }) => [name, step])).toEqual([
        ['blocks.1.attentionNorm.gain', 5],
        ['blocks.1.feedForwardNorm.gain', 5],
      ]);
      freezeLeftovers(registry, watched, 6);
      expect(registry.events.length).toBe(before + 2);
    });

    test('the embeddings freeze with the first block alone, the learned positions with them', () => {
      const registry = new ParameterRegistry(tinyModel(device, { positions: { learned: 8 } }));
      const watched = registry.select(projectionKinds);
      freezeAll(registry, /^blocks\.1\..*weight/);
      freezeLeftovers(registry, watched, 4);
      expect(isFrozen(registry.get('tokens.table'))).toBe(false);
      freezeAll(registry, /^blocks\.0\..*weight/);
      freezeLeftovers(registry, watched, 5);
      expect(frozenNames(registry)).toEqual(
        registry.entries.map(({ name }) => name).filter((name) => !/^(norm|head)\./.test(name)),
      );
    });

    test('a matrix that nobody watches keeps its block, and an unwatched block below keeps the embeddings', () => {
      const registry = makeRegistry();
      freezeAll(registry, /query/);
      freezeLeftovers(registry, registry.select(['query']), 4);
      expect(frozenNames(registry).length).toBe(2);
      freezeAll(registry, /^blocks\.1\..*weight/);
      freezeLeftovers(registry, registry.select(/^blocks\.1\..*weight/), 5);
      expect(isFrozen(registry.get('blocks.1.attentionNorm.gain'))).toBe(true);
      expect(isFrozen(registry.get('tokens.table'))).toBe(false);
    });
  });
});
