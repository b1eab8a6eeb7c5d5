/** What a script without types may pass where options belong, for every function that takes some. */
import { describe, expect, test } from 'vitest';
import * as pointwise from '../src/autograd/operations/pointwise/pointwise.ts';
import * as library from '../src/index.ts';
import { cpu } from './devices.ts';

const { ArgumentError, ShapeError, tensor } = library;
const random = new library.Random(1);
const x = library.normal([2, 2, 2, 2], { random, device: cpu });
const gain = library.ones([2], { device: cpu });
const model = new library.Linear(2, 2, { random, device: cpu });
const registry = new library.ParameterRegistry(model);
const optimizer = new library.SGD(model.parameters(), { learningRate: 1 });

/** Each with the options last. */
const calls: Readonly<Record<string, (options: unknown) => unknown>> = {
  tensor: (options) => Reflect.apply(library.tensor, undefined, [[1], options]),
  full: (options) => Reflect.apply(library.full, undefined, [[1], 1, options]),
  zeros: (options) => Reflect.apply(library.zeros, undefined, [[1], options]),
  ones: (options) => Reflect.apply(library.ones, undefined, [[1], options]),
  uniform: (options) => Reflect.apply(library.uniform, undefined, [[1], options]),
  normal: (options) => Reflect.apply(library.normal, undefined, [[1], options]),
  arange: (options) => Reflect.apply(library.arange, undefined, [1, options]),
  eye: (options) => Reflect.apply(library.eye, undefined, [1, options]),
  sum: (options) => Reflect.apply(library.sum, undefined, [x, options]),
  softmax: (options) => Reflect.apply(library.softmax, undefined, [x, options]),
  logSoftmax: (options) => Reflect.apply(library.logSoftmax, undefined, [x, options]),
  attention: (options) => Reflect.apply(library.attention, undefined, [x, x, x, options]),
  matmul: (options) => Reflect.apply(library.matmul, undefined, [x, x, null, options]),
  rmsNorm: (options) => Reflect.apply(library.rmsNorm, undefined, [x, gain, options]),
  layerNorm: (options) => Reflect.apply(library.layerNorm, undefined, [x, gain, gain, options]),
  rotary: (options) => Reflect.apply(library.rotary, undefined, [x, options]),
  crossEntropy: (options) => Reflect.apply(library.crossEntropy, undefined, [x, x, options]),
  Linear: (options) => Reflect.construct(library.Linear, [2, 2, options]),
  Embedding: (options) => Reflect.construct(library.Embedding, [2, 2, options]),
  RMSNorm: (options) => Reflect.construct(library.RMSNorm, [2, options]),
  LayerNorm: (options) => Reflect.construct(library.LayerNorm, [2, options]),
  AdamW: (options) => Reflect.construct(library.AdamW, [model.parameters(), options]),
  SGD: (options) => Reflect.construct(library.SGD, [model.parameters(), options]),
  warmupCosine: (options) => Reflect.apply(library.warmupCosine, undefined, [options]),
  warmupLinear: (options) => Reflect.apply(library.warmupLinear, undefined, [options]),
  addLoRA: (options) => Reflect.apply(library.addLoRA, undefined, [model, options]),
  ...reductions(['mean', 'max', 'min', 'prod', 'norm', 'logSumExp', 'variance', 'standardDeviation']),
  ...reductions(['argmax', 'argmin', 'sort']),
  topk: (options) => Reflect.apply(library.topk, undefined, [x, 1, options]),
  multinomial: (options) => Reflect.apply(library.multinomial, undefined, [gain, 1, options]),
  pad: (options) => Reflect.apply(library.pad, undefined, [gain, [[0, 0]], options]),
  meanSquaredError: (options) => Reflect.apply(library.meanSquaredError, undefined, [x, x, options]),
  binaryCrossEntropy: (options) => Reflect.apply(library.binaryCrossEntropy, undefined, [x, x, options]),
  linearCrossEntropy: (options) => Reflect.apply(library.linearCrossEntropy, undefined, [x, x, x, options]),
  backward: (options) => Reflect.apply(library.backward, undefined, [x, null, options]),
  LoRAAdapter: (options) => Reflect.construct(library.LoRAAdapter, [model.weight, options]),
  Transformer: (options) => Reflect.construct(library.Transformer, [options, { random, device: cpu }]),
  GradES: (options) => Reflect.construct(library.GradES, [registry, optimizer, options]),
  PaperVersion1: (options) => Reflect.construct(library.PaperVersion1, [registry, optimizer, options]),
  PaperVersion3: (options) => Reflect.construct(library.PaperVersion3, [registry, optimizer, options]),
  ReleasedCode: (options) => Reflect.construct(library.ReleasedCode, [registry, optimizer, options]),
  LossPlateau: (options) => Reflect.construct(library.LossPlateau, [registry, optimizer, options]),
  EarlyStopping: (options) => Reflect.construct(library.EarlyStopping, [options]),
  FixedStop: (options) => Reflect.construct(library.FixedStop, [options]),
  FreezeList: (options) => Reflect.construct(library.FreezeList, [registry, options]),
  fromBelow: (options) => Reflect.apply(library.fromBelow, undefined, [registry, options]),
  Checkpoints: (options) => Reflect.construct(library.Checkpoints, ['folder', options]),
  Training: (options) => Reflect.construct(library.Training, [options]),
};

function reductions(names: readonly (keyof typeof library)[]): Record<string, (options: unknown) => unknown> {
  return Object.fromEntries(
    names.map((name) => [name, (options) => Reflect.apply(functionOf(name), undefined, [x, options])]),
  );
}

function functionOf(name: keyof typeof library): (...given: unknown[]) => unknown {
  const found: unknown = Reflect.get(library, name);
  if (typeof found !== 'function') throw new Error(name);
  return (...given) => Reflect.apply(found, undefined, given);
}

/** Each waits, and takes its options last. */
const waiting: Readonly<Record<string, (options: unknown) => unknown>> = {
  gradcheck: (options) => Reflect.apply(library.gradcheck, undefined, [() => x, [], options]),
  openDevice: (options) => Reflect.apply(library.openDevice, undefined, ['cpu', options]),
  loadPretrained: (options) => Reflect.apply(library.loadPretrained, undefined, ['folder', options]),
  savePretrained: (options) => Reflect.apply(library.savePretrained, undefined, [{}, 'folder', options]),
  loadAdapter: (options) => Reflect.apply(library.loadAdapter, undefined, [{}, 'folder', options]),
  trainingMemory: async (options) => Reflect.apply(library.trainingMemory, undefined, [model, options]),
  generate: async (options) => Reflect.apply(library.generate, undefined, [{ config: {} }, [1], options]).next(),
  'Training.run': (options) => Reflect.apply(library.Training.prototype.run, null, [options]),
};

/** By name, what takes no options; or, in the second list, what takes those of what it is made of. */
const without = new Set(
  `Graph KeyValueCache Module Optimizer Parameter ParameterRegistry Random RunningAverage Sequential TextStream TextTokenizer Dropout
  allAtOnce at broadcastTo cast checkFits checkpoint concatenate cumsum debugReport defaultDevice detach dropout einsum embedding
  entrySums expand flatten flip forget freezeLeftovers gather gradientOf inRandomOrder inReversedOrder indexSelect isFrozen keep
  loadTokenizer mergeLoRA noGrad oneHot parameterCount permute readCheckpoint readSafetensors requireGradient reshape saveAdapter
  scatterAdd scope setDefaultDevice slice snapshotWork split squeeze stack step stepMemory traced transpose tril triu unmergeLoRA unsqueeze
  workSince writeCheckpoint writeSafetensors

  Attention Block Decoder DecoderBlock FeedForward GroupedAttention SwiGLU FrozenPrefix`.split(/\s+/),
);

test('whatever is exported and takes options is among these', () => {
  const isError = (value: unknown) => typeof value === 'function' && value.prototype instanceof Error;
  const names = Object.entries(library).filter(
    ([, value]) => typeof value === 'function' && !isError(value) && value !== library.FrostgradError,
  );
  const listed = new Set([...Object.keys(calls), ...Object.keys(waiting), ...Object.keys(pointwise), ...without]);
  expect(names.map(([name]) => name).filter((name) => !listed.has(name))).toEqual([]);
});

describe('an unknown option, and another value in the place of the options, are told', () => {
  for (const [name, call] of Object.entries(calls)) {
    test(name, () => {
      for (const given of [0, true, null, 'mean', [1]]) {
        expect(() => call(given)).toThrow(ArgumentError);
        expect(() => call(given)).toThrow(new RegExp(`^${name}: got .* where options belong \\(allowed: `));
      }
      expect(() => call({ colour: 1 })).toThrow(ArgumentError);
      expect(() => call({ colour: 1 })).toThrow(`${name}: there is no option 'colour' (allowed: `);
    });
  }
});

test.each([
  ['softmax', 0, '{ axis: 0 }'],
  ['attention', true, '{ causal: true }'],
  ['layerNorm', 1e-3, '{ epsilon: 0.001 }'],
  ['AdamW', 1e-3, '{ learningRate: 0.001 }'],
  ['AdamW', { learningRate: 1, weight_decay: 1 }, 'weightDecay?'],
  ['SGD', { lr: 1 }, 'learningRate?'],
  ['attention', { is_causal: true }, 'causal?'],
  ['crossEntropy', { ignore_index: 1 }, 'ignoreIndex?'],
  ['normal', { random, std: 1 }, 'deviation?'],
  ['Linear', true, '{ bias: true }'],
  ['addLoRA', { r: 4 }, 'rank?'],
])('%s, given %o, says that %s was likely meant', (name, given, meant) => {
  expect(() => calls[name](given)).toThrow(`did you mean ${meant}`);
});

test.each(Object.entries(waiting))('%s waits, and refuses them too', async (name, call) => {
  await expect(call({ colour: 1 })).rejects.toThrow(`${name}: there is no option 'colour'`);
  await expect(call(name === 'openDevice' ? 4 : null)).rejects.toThrow(/: got (4|null) where options belong/);
});

test('words that are none of those allowed, and names of files that are no names', async () => {
  const config = { vocabulary: 5, width: 4, heads: 1, hidden: 4, blocks: 1, head: 'language-model' } as const;
  for (const wrong of [
    { normalization: 'batch' },
    { feedForward: 'relu6' },
    { activations: 'bf16' },
    { positions: 'sinusoidal' },
  ]) {
    const [[name, value]] = Object.entries(wrong);
    expect(() => calls.Transformer({ ...config, ...wrong })).toThrow(
      new RegExp(`^Transformer: ${name} (is|are) ${value} \\(allowed: `),
    );
  }
  expect(() => Reflect.apply(library.matmul, undefined, [x, x, null, { activation: 'gelu' }])).toThrow(
    'activation is gelu',
  );
  expect(() => Reflect.apply(model.call, model, [x, { activation: 'gelu' }])).toThrow('activation is gelu');
  expect(() => Reflect.apply(model.call, model, [x, { activate: 'relu' }])).toThrow("there is no option 'activate'");
  for (const name of ['', 'a/b', 3]) expect(() => calls.Checkpoints({ name })).toThrow('Checkpoints: name is ');
  expect(() => calls.FixedStop({ afterSteps: '5' })).toThrow('FixedStop: the limit 5');
  expect(() => calls.FixedStop({ afterSteps: 5, afterOperations: 5, device: cpu })).toThrow('one of them');
  expect(() => calls.FixedStop({ afterOperations: 5, device: 'cpu' })).toThrow('FixedStop: device is cpu');
  expect(() => calls.EarlyStopping({ steps: 5 })).toThrow('EarlyStopping: validate is undefined');
  expect(() => calls.FreezeList({ list: 'all' })).toThrow('FreezeList: list is all');
  for (const size of [Number.NaN, 0, 1.5, -1, Number.POSITIVE_INFINITY, '2']) {
    expect(() => Reflect.construct(library.KeyValueCache, [size, 2])).toThrow(`KeyValueCache: blocks is ${size}`);
    expect(() => Reflect.construct(library.KeyValueCache, [2, size])).toThrow(`KeyValueCache: capacity is ${size}`);
  }
  expect(() => new library.RunningAverage(Number.NaN)).toThrow('RunningAverage: horizon is NaN');
  const prompts = ['a text', [1.5], [Number.NaN], null];
  for (const prompt of prompts) {
    const tokens = Reflect.apply(library.generate, undefined, [
      { config: { contextLength: 9, blocks: 1 } },
      prompt,
      {},
    ]);
    await expect(tokens.next()).rejects.toThrow('generate: the prompt is ');
  }
});

test('random numbers need a source', () => {
  for (const name of ['normal', 'uniform']) {
    expect(() => calls[name]({})).toThrow(
      new ArgumentError(`${name}: random is undefined (allowed: a Random, such as new Random(seed))`),
    );
  }
});

test('extents one by one, and operands that are no tensors, are told', () => {
  expect(() => Reflect.apply(library.zeros, undefined, [2, 3])).toThrow(
    new ShapeError('zeros: shape is 2 (allowed: a list of extents, such as [2, 3])'),
  );
  expect(() => Reflect.apply(library.reshape, undefined, [x, 2, 8])).toThrow('reshape: shape is 2');
  expect(() => Reflect.apply(library.expand, undefined, [x, 2])).toThrow('expand: shape is 2');
  expect(() => Reflect.apply(library.permute, undefined, [x, 1, 0])).toThrow('permute: order is 1');
  expect(() => Reflect.apply(library.matmul, undefined, [x, [[1]]])).toThrow(
    new ArgumentError('matmul: operand 2 is an array (allowed: a tensor; tensor(…) makes one of numbers)'),
  );
  expect(() => Reflect.apply(library.matmul, undefined, [x, x, { residual: x }])).toThrow(
    'matmul: operand 3 is object',
  );
  expect(() => Reflect.apply(library.add, undefined, [x, undefined])).toThrow(ArgumentError);
  expect(() => Reflect.apply(library.add, undefined, [1, [1]])).toThrow('add: operand 2 is an array');
  expect(() => Reflect.apply(library.sum, undefined, [[1]])).toThrow('sum: operand 1 is an array');
});

test('what is no tensor, no device and no number is told', async () => {
  const matrix = library.zeros([2, 2], { device: cpu });
  const calls: readonly [string, (...args: never) => unknown, readonly unknown[]][] = [
    ['tensor: an entry is string abc', tensor, ['abc']],
    ['tensor: an entry is undefined', tensor, [undefined]],
    ['tensor: an entry is null', tensor, [[null]]],
    ['tensor: an entry is boolean true', tensor, [[true]]],
    ['tensor: an entry is a tensor (stack([x, y]) joins some)', tensor, [[matrix, matrix]]],
    ['tensor: an entry is object', tensor, [new BigInt64Array(1)]],
    ['tensor: an entry is object', tensor, [new DataView(new ArrayBuffer(4))]],
    ["tensor: device is cpu (allowed: a device, such as await openDevice('cpu'))", tensor, [[1], { device: 'cpu' }]],
    ['setDefaultDevice: device is webgpu', library.setDefaultDevice, ['webgpu']],
    ['full: value is undefined', library.full, [[2]]],
    ['uniform: high is string 1', library.uniform, [[2], { random, high: '1' }]],
    ['normal: deviation is null', library.normal, [[2], { random, deviation: null }]],
    ['cumsum: axis {"axis":0} is outside -2 … 1', library.cumsum, [matrix, { axis: 0 }]],
    ['stack: axis {"dim":1} is outside', library.stack, [[matrix], { dim: 1 }]],
    ['pad: value is string 5', library.pad, [matrix, [[1, 0], [0, 0]], { value: '5' }]], // biome-ignore format: a line each
    ['concatenate: got Tensor', library.concatenate, [matrix, matrix]],
    ['crossEntropy: the indices are an array', library.crossEntropy, [matrix, [0, 1]]],
    ['crossEntropy: indices must be i32, not f32 (tensor(', library.crossEntropy, [matrix, matrix.at(0)]],
    ['embedding: the indices are an array', library.embedding, [[0, 1], matrix]],
    ['gather: the indices are an array', library.gather, [matrix, 0, [[0]]]],
    ['indexSelect: the indices are an array', library.indexSelect, [matrix, 0, [0]]],
    ['oneHot: the indices are an array', library.oneHot, [[0], 2]],
    ['view: takes the parts of a view', matrix.view, [4]],
    ['requireGradient: got an array', library.requireGradient, [[1, 2]]],
    ['detach: got number', library.detach, [1]],
    ['noGrad: got Tensor f32', library.noGrad, [matrix]],
    ['keep: got Tensor f32', library.keep, [matrix, 'name']],
    ['writeSafetensors: the state is Promise', library.writeSafetensors, [model.stateDict()]],
    ['did you mean', library.addLoRA, [model, { r: 4 }]],
    ['Random.integer: got 1, 7 (allowed: one', random.integer, [1, 7]],
    ['Random.integer: got  (allowed: one', random.integer, []],
    ['Random.integer: got 0', random.integer, [0]],
  ];
  for (const [message, call, given] of calls) {
    const attempt = () => Reflect.apply(call, call === random.integer ? random : matrix, given);
    expect(attempt, message).toThrow(library.FrostgradError);
    expect(attempt).toThrow(message);
  }
  await expect(Reflect.apply(matrix.to, matrix, ['f32'])).rejects.toThrow('to: device is f32');
  await expect(Reflect.apply(library.step, undefined, [3])).rejects.toThrow('step: got 3 (allowed: a function');
  await expect(Reflect.apply(library.gradcheck, undefined, [() => x, x])).rejects.toThrow(
    'gradcheck: the inputs are Tensor',
  );
  await expect(library.gradcheck((each) => library.detach(each).mul(each), [gain])).rejects.toThrow('give f64, on cpu');
  const optimizer = new library.SGD(model.parameters(), { learningRate: 1 });
  const state: unknown = await model.stateDict();
  for (const wrong of [state, model.stateDict(), null, { steps: 1, parameters: { weight: {} } }]) {
    expect(() => Reflect.apply(optimizer.loadStateDict, optimizer, [wrong])).toThrow(
      'the state is none of an optimizer',
    );
  }
  expect(() => Reflect.construct(library.Parameter, [[1, 2], 'weight'])).toThrow('Parameter: operand 1 is an array');
  const tooFew = { model, optimizer, steps: 3, loss: 3 };
  expect(() => Reflect.construct(library.Training, [tooFew])).toThrow(
    'Training: loss is 3 (allowed: a function of the step',
  );
  expect(() => Reflect.construct(library.Training, [{ ...tooFew, model: 1 }])).toThrow('Training: model is 1');
  expect(() => Reflect.construct(library.Training, [{ ...tooFew, optimizer: 1 }])).toThrow('Training: optimizer is 1');
  expect(() => Reflect.construct(library.Training, [])).toThrow('Training: got undefined where options belong');
  for (const rate of ['1e-3', library.warmupLinear({ peak: 1, steps: 2 })]) {
    expect(() => Reflect.construct(library.SGD, [model.parameters(), { learningRate: rate }])).toThrow(
      'is out of range',
    );
  }
  const config = { vocabulary: 5, width: 4, heads: 1, hidden: 4, blocks: 1, head: 'language-model' } as const;
  const transformer = new library.Transformer(config, { random, device: cpu });
  expect(() => Reflect.apply(transformer.call, transformer, [[[1, 2]]])).toThrow('Transformer: operand 1 is an array');
  expect(() => Reflect.construct(library.Transformer, [{ ...config, head: 'lm' }, { random }])).toThrow(
    "Transformer: head is lm (allowed: 'language-model', or { classes })",
  );
  // Zeros, which never learn apart from one another, are for what comes from a file.
  for (const kind of [library.Linear, library.Embedding]) {
    expect(() => Reflect.construct(kind, [2, 2, { device: cpu }])).toThrow('random is undefined');
    expect(Reflect.construct(kind, [2, 2, { device: cpu, random: null }])).toBeInstanceOf(kind);
  }
  expect(() => Reflect.construct(library.Dropout, [0.1])).toThrow('Dropout: random is undefined');
});

test('the result of a comparison passes for no positions', () => {
  const labels = tensor([5, 6, 5], { device: cpu, dtype: 'i32' });
  for (const mask of [labels.equal(5), labels.greater(5), labels.cast('f32').less(6)]) {
    expect(() => labels.at(mask)).toThrow('at: a comparison selects no elements');
  }
});

test('names of PyTorch that are not here are told, where they are read and where they are set', () => {
  const optimizer = new library.SGD(model.parameters(), { learningRate: 1 });
  const names: readonly [object, string, string][] = [
    [x, 'grad', 'x.gradient'],
    [x, 'requires_grad', 'parameter.freeze()'],
    [x, 'std', 'x.standardDeviation'],
    [x, 'index_select', 'x.indexSelect'],
    [x, '0', 'x.at(0)'],
    [x, 'add_', 'nothing is changed in place'],
    [model, 'state_dict', 'await model.stateDict()'],
    [optimizer, 'zero_grad', 'zeroGradients()'],
    [optimizer, 'lr', 'optimizer.learningRate'],
  ];
  for (const [owner, name, instead] of names) {
    expect(() => Reflect.get(owner, name)).toThrow(ArgumentError);
    expect(() => Reflect.get(owner, name)).toThrow(`there is no '${name}' here: `);
    expect(() => Reflect.set(owner, name, false)).toThrow(instead);
  }
  expect(Object.keys(x)).not.toContain('grad');
});

test('what may be left out is null, and nothing else that counts as false', () => {
  const [matrix, targets] = [library.eye(2, { device: cpu }), library.arange(2, { device: cpu })];
  for (const none of [Number.NaN, 0, '', false]) {
    const calls = [
      () => Reflect.apply(library.matmul, undefined, [matrix, matrix, none]),
      () => Reflect.apply(library.matmul, undefined, [matrix, matrix, null, { residual: none }]),
      () => Reflect.apply(library.layerNorm, undefined, [matrix, gain, none]),
      () => Reflect.apply(library.attention, undefined, [x, x, x, { mask: none }]),
      () => Reflect.apply(library.attention, undefined, [x, x, x, { lengths: none }]),
      () => Reflect.apply(library.linearCrossEntropy, undefined, [matrix, matrix, targets, { bias: none }]),
    ];
    for (const call of calls) expect(call).toThrow(ArgumentError);
  }
});
