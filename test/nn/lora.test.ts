import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  AdamW,
  type AddLoRAOptions,
  ArgumentError,
  addLoRA,
  backward,
  crossEntropy,
  type Device,
  gradcheck,
  gradientOf,
  isFrozen,
  Linear,
  LoRAAdapter,
  mergeLoRA,
  noGrad,
  Parameter,
  ParameterRegistry,
  projectionKinds,
  Random,
  snapshotWork,
  step,
  type Transformer,
  tensor,
  unmergeLoRA,
  workSince,
} from '../../src/index.ts';
import { cpu, type Devices, onEachDevice, ownDevices } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';
import { count, releaseLater, releaseMade, tinyBatch, tinyModel } from './tiny.ts';

afterEach(releaseMade);

function adapted(device: Device, options: Partial<AddLoRAOptions> = {}): Transformer {
  const model = tinyModel(device);
  addLoRA(model, { rank: 2, alpha: 6, random: new Random(8), ...options });
  for (const parameter of model.parameters()) releaseLater(parameter);
  return model;
}

/** Gives B values, as training would. */
async function disturb(model: Transformer): Promise<void> {
  const state = await model.stateDict();
  const source = new Random(3);
  for (const [name, { data }] of Object.entries(state)) {
    if (name.endsWith('.adapter.b')) for (let i = 0; i < data.length; i++) data[i] = 0.3 * source.normal();
  }
  model.loadStateDict(state);
}

async function logits(model: Transformer, device: Device): Promise<number[]> {
  return step(() => noGrad(async () => Array.from(await model.call(tinyBatch(device, 1).tokens).data())));
}

async function train(model: Transformer, device: Device, steps: number) {
  const parameters = model.parameters().filter((parameter) => !parameter.isFrozen);
  const options = { learningRate: 0.02, weightDecay: 0.1, maxGradientNorm: 0.5 };
  const optimizer = releaseLater(new AdamW(parameters, options));
  const losses: number[] = [];
  for (let s = 1; s <= steps; s++) {
    await step(() => {
      const { tokens, targets } = tinyBatch(device, s);
      const loss = crossEntropy(model.call(tokens), targets);
      backward(loss);
      optimizer.step(loss);
    });
    losses.push((await optimizer.report()).loss);
  }
  return { optimizer, losses };
}

test('gradients of A, B and x in float64', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1, 2, 5),
      fc.constantFrom(1, 3, 4),
      fc.constantFrom(0, 0.4),
      async (inputs, outputs, dropout) => {
        const dtype = 'f64';
        const linear = new Linear(inputs, outputs, { device: cpu, dtype, random: new Random(1) });
        const adapter = new LoRAAdapter(linear.weight, { rank: 1, alpha: 3, dropout, random: new Random(2) });
        for (const each of [linear.weight, adapter.a, adapter.b]) releaseLater(each);
        const inputsOf = [[3, inputs], adapter.a.shape, adapter.b.shape].map((shape, i) =>
          random(shape, { seed: i + 1, device: cpu, dtype }),
        );
        await gradcheck((x, a, b) => {
          // The same masks for every evaluation.
          const fixed = new LoRAAdapter(linear.weight, { rank: 1, alpha: 3, dropout, random: new Random(2) });
          Object.assign(fixed, { a, b });
          return fixed.forward(x);
        }, inputsOf);
      },
    ),
    { numRuns: 8, seed: 31 },
  );
});

onEachDevice((device) => {
  test('it begins as the base, and is a change of W of the rank it was given', async () => {
    const base = tinyModel(device);
    const model = adapted(device);
    expect(await logits(model, device)).toEqual(await logits(base, device));
    await disturb(model);
    expect(await logits(model, device)).not.toEqual(await logits(base, device));
  });

  test('merged equals unmerged to rounding, at the dispatches of the base, and unmerging brings W back bit for bit', async () => {
    const model = adapted(device);
    await disturb(model);
    const [before, weights] = [await logits(model, device), await model.stateDict()];
    mergeLoRA(model);
    const start = snapshotWork(device);
    const merged = await logits(model, device);
    const mergedWork = workSince(device, start).totalDispatches;
    await step(async () => {
      await expectClose(tensor(merged, { device }), tensor(before, { device }), { absolute: 1e-5, relative: 1e-4 });
    });
    expect(merged).not.toEqual(before);
    const base = tinyModel(device);
    const baseStart = snapshotWork(device);
    await logits(base, device);
    expect(mergedWork).toBe(workSince(device, baseStart).totalDispatches);
    mergeLoRA(model);
    expect(await logits(model, device)).toEqual(merged);
    unmergeLoRA(model);
    expect(await model.stateDict()).toEqual(weights);
    expect(await logits(model, device)).toEqual(before);
  });

  test('training moves adapters alone, and the loss falls', async () => {
    const model = adapted(device, { alsoTrain: ['head'], dropout: 0.1 });
    const before = await model.stateDict();
    const { optimizer, losses } = await train(model, device, 40);
    const after = await model.stateDict();
    const moves = (name: string) => /\.adapter\.|^head/.test(name);
    const changed = Object.keys(after).filter((name) =>
      after[name].data.some((value, i) => value !== before[name].data[i]),
    );
    expect(changed).toEqual(Object.keys(after).filter(moves));
    const mean = (part: number[]) => part.reduce((sum, loss) => sum + loss, 0) / part.length;
    expect(mean(losses.slice(-10))).toBeLessThan(0.9 * mean(losses.slice(0, 10)));
    const trained = Object.entries(after).filter(([name]) => moves(name));
    const elements = trained.reduce((sum, [, { data }]) => sum + data.length, 0);
    expect(optimizer.stateBytes).toBe(2 * 4 * elements);
  });

  test('no gradient of the base is computed', async () => {
    const model = adapted(device);
    const before = snapshotWork(device);
    await train(model, device, 1);
    const products = count(workSince(device, before), 'matmul') + count(workSince(device, before), 'matmul-subgroups');
    expect(products).toBeGreaterThan(0);
    for (const [name, parameter] of model.namedParameters()) {
      expect(parameter.isFrozen, name).toBe(!name.includes('.adapter.'));
    }
  });

  test('the halves of A and B add up to their gradients', async () => {
    const model = adapted(device, { dropout: 0.3 });
    await disturb(model);
    const [a, b] = ['a', 'b'].map((part) => {
      const found = model.namedParameters().get(`blocks.1.attention.value.adapter.${part}`);
      if (!found) throw new Error(`no adapter ${part}`);
      found.leaf.requestHalves();
      return found;
    });
    await step(async () => {
      const { tokens, targets } = tinyBatch(device, 1);
      backward(crossEntropy(model.call(tokens), targets));
      for (const parameter of [a, b]) {
        const { halves } = parameter.leaf;
        const gradient = gradientOf(parameter);
        if (!halves || !gradient) throw new Error('no halves');
        await expectClose(halves.sum({ axes: 0 }), gradient, { absolute: 1e-6 });
        expect((await gradient.data()).some((value) => value !== 0)).toBe(true);
      }
    });
  });

  test('adapters are saved and loaded by name, and a checkpoint of the base still fits the base', async () => {
    const model = adapted(device);
    await disturb(model);
    const state = await model.stateDict();
    const other = adapted(device, { random: new Random(99) });
    other.loadStateDict(state);
    expect(await logits(other, device)).toEqual(await logits(model, device));
    const base = Object.fromEntries(Object.entries(state).filter(([name]) => !name.includes('.adapter.')));
    tinyModel(device).loadStateDict(base);
  });
});

describe('in the registry', () => {
  test('A and B are one matrix, of the kind of their base, and freeze together', () => {
    const model = adapted(cpu);
    const registry = new ParameterRegistry(model);
    const watched = registry.active(registry.select(projectionKinds));
    expect(watched.length).toBe(14);
    expect(watched[0]).toMatchObject({ name: 'blocks.0.attention.query', kind: 'query', block: 0 });
    expect(watched[0].parameters.map(({ name }) => name)).toEqual([
      'blocks.0.attention.query.adapter.a',
      'blocks.0.attention.query.adapter.b',
    ]);
    registry.freeze(watched[0], { step: 1, reason: 'test' });
    expect(watched[0].parameters.every((parameter) => parameter.isFrozen)).toBe(true);
    expect(isFrozen(registry.get('blocks.0.attention.query'))).toBe(true);
    expect(registry.active().length).toBe(13);
  });
});

describe('memory', () => {
  let devices: Devices;
  beforeAll(async () => {
    devices = await ownDevices();
  });

  test('everything goes back', async () => {
    for (const device of [devices.cpu, ...(devices.webgpu ? [devices.webgpu] : [])]) {
      const model = adapted(device, { dropout: 0.2 });
      // What a device keeps for good, such as the rotary angles, is there after the first step.
      (await train(model, device, 1)).optimizer.release();
      const before = device.memory().liveBytes;
      const { optimizer } = await train(model, device, 3);
      optimizer.release();
      mergeLoRA(model);
      expect(device.memory().liveBytes).toBeGreaterThan(before);
      unmergeLoRA(model);
      expect(device.memory().liveBytes).toBe(before);
      const held = model.parameters().reduce((sum, { byteLength }) => sum + byteLength, 0);
      releaseMade();
      expect(device.memory().liveBytes).toBe(before - held);
    }
  });
});

test.each<[Partial<AddLoRAOptions>, RegExp]>([
  [{ rank: 0 }, /rank 0 for a matrix of 8 × 8/],
  [{ rank: 9 }, /rank 9.*1 … 8/],
  [{ rank: 1.5 }, /rank 1.5/],
  [{ alpha: 0 }, /alpha 0/],
  [{ alpha: Number.NaN }, /alpha NaN/],
  [{ dropout: 1 }, /rate 1/],
  [{ target: ['bias'] }, /target matches none.*blocks\.0\.attention\.query\.weight/],
  [{ target: /nothing/ }, /target matches none/],
  [{ alsoTrain: /nothing/ }, /alsoTrain matches none.*tokens\.table/],
])('%o is refused by name, and changes nothing', (options, message) => {
  const model = tinyModel(cpu);
  const names = [...model.namedParameters().keys()];
  const attempt = () => addLoRA(model, { rank: 2, random: new Random(1), ...options });
  expect(attempt).toThrow(ArgumentError);
  expect(attempt).toThrow(message);
  expect([...model.namedParameters().keys()]).toEqual(names);
  expect(model.parameters().some((parameter) => parameter.isFrozen)).toBe(false);
});

test('targets by pattern and by function, and none twice', () => {
  const model = adapted(cpu, { target: /blocks\.1\..*(query|value)/g });
  const adapters = [...model.namedModules()]
    .filter(([, module]) => module instanceof LoRAAdapter)
    .map(([path]) => path);
  expect(adapters).toEqual(['blocks.1.attention.query.adapter', 'blocks.1.attention.value.adapter']);
  const again = () => addLoRA(model, { rank: 1, random: new Random(1), target: (_path, { kind }) => kind === 'query' });
  expect(again).toThrow(/blocks\.1\.attention\.query has an adapter already/);
});

test('any Linear may have one', async () => {
  const linear = new Linear(3, 2, { device: cpu, random: new Random(1), bias: true });
  addLoRA(linear, { rank: 1, random: new Random(2), target: ['weight'], alsoTrain: ['bias'] });
  for (const parameter of linear.parameters()) releaseLater(parameter);
  expect([...linear.namedParameters()].map(([name, { isFrozen }]) => [name, isFrozen])).toEqual([
    ['weight', true],
    ['bias', false],
    ['adapter.a', false],
    ['adapter.b', false],
  ]);
  expect(linear.bias).toBeInstanceOf(Parameter);
});
