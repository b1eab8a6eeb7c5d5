/** From what a watch measured to one number for each matrix. */
import { afterEach, expect, test } from 'vitest';
import {
  ArgumentError,
  entrySums,
  gradientMagnitude,
  type Parameter,
  ParameterRegistry,
  SGD,
  splitHalf,
} from '../../../src/index.ts';
import { cpu } from '../../devices.ts';
import { releaseLater, releaseMade, tinyModel } from '../../nn/tiny.ts';

afterEach(releaseMade);

/** A model whose query and key of each block are one group, and what an optimizer reports of it. */
function grouped(signal = gradientMagnitude) {
  const model = tinyModel(cpu);
  for (const [path, parameter] of model.namedParameters()) {
    if (/query|key/.test(path)) parameter.group = path.replace(/(query|key)\.weight/, 'scores');
  }
  const registry = new ParameterRegistry(model);
  const optimizer = releaseLater(new SGD(model.parameters(), { learningRate: 0 }));
  const entries = registry.select(/scores|value/);
  const parameters = entries.flatMap((entry) => entry.parameters);
  const watch = optimizer.watch(signal, parameters);
  const sums = new Map<Parameter, number>(parameters.map((parameter, i) => [parameter, 2 ** i]));
  const squares = new Map<Parameter, number>(parameters.map((parameter) => [parameter, 1]));
  const read = () =>
    Object.fromEntries(
      entrySums(watch, entries, { step: 1, loss: 0, gradientNorm: 1, squares, sums: new Map([[watch, sums]]) }),
    );
  return { entries, sums, squares, read };
}

test('the sums of the parameters of one entry add up', () => {
  const { read } = grouped();
  expect(read()).toEqual({
    'blocks.0.attention.scores': 1 + 2,
    'blocks.0.attention.value.weight': 4,
    'blocks.1.attention.scores': 8 + 16,
    'blocks.1.attention.value.weight': 32,
  });
});

test('an entry of which a part has no gradient is left out', () => {
  const { entries, sums, squares, read } = grouped();
  const [, key] = entries[0].parameters;
  sums.delete(key);
  squares.delete(key);
  expect(Object.keys(read())).toEqual(entries.slice(1).map(({ name }) => name));
});

test('a gradient that came without the halves that were asked for is an error, unless it is missing or frozen', () => {
  const { entries, sums, squares, read } = grouped(splitHalf);
  const [query, key] = entries[0].parameters;
  sums.delete(key);
  expect(read).toThrow(ArgumentError);
  expect(read).toThrow(/split-half: the gradient of blocks\.0\.attention\.scores came without its halves/);
  squares.delete(key);
  expect(Object.keys(read()).length).toBe(3);
  squares.set(key, 1);
  for (const parameter of [query, key]) parameter.freeze();
  expect(Object.keys(read()).length).toBe(3);
});
