import { expect, test } from 'vitest';
import { ArgumentError } from '../../src/tensor/errors.ts';
import { checkOptions } from '../../src/tensor/options.ts';

const allowed = ['axes', 'keepDims', 'learningRate', 'weightDecay'];

test('known options pass, and none', () => {
  checkOptions('sum', { axes: 1, keepDims: true, weightDecay: undefined }, allowed);
  checkOptions('sum', {}, allowed);
});

test.each([
  ['axis', 'axes'],
  ['dim', 'axes'],
  ['keepdim', 'keepDims'],
  ['keep_dims', 'keepDims'],
  ['weight_decay', 'weightDecay'],
  ['lr', 'learningRate'],
  ['learningrate', 'learningRate'],
  ['axse', 'axes'],
  ['axess', 'axes'],
])('%s is told, and that %s was meant', (name, meant) => {
  expect(() => checkOptions('sum', { [name]: 1 }, allowed)).toThrow(
    new ArgumentError(`sum: there is no option '${name}' (allowed: ${allowed.join(', ')}); did you mean ${meant}?`),
  );
});

test('what is like nothing gets no guess', () => {
  expect(() => checkOptions('sum', { colour: 1 }, allowed)).toThrow(/keepDims, learningRate, weightDecay\)$/);
  expect(() => checkOptions('sum', { constructor: 1 }, [])).toThrow(
    "sum: there is no option 'constructor' (allowed: none)",
  );
});

test.each([
  [1, '1'],
  [true, 'true'],
  [[0, 1], '[0, 1]'],
  [null, 'null'],
  ['mean', 'mean'],
])('%j is told where options belong', (given, shown) => {
  expect(() => checkOptions('sum', given, allowed)).toThrow(
    new ArgumentError(
      `sum: got ${shown} where options belong (allowed: ${allowed.join(', ')}); did you mean { axes: ${shown} }?`,
    ),
  );
});
