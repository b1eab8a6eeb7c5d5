/** What freezing a parameter does: one test for each thing it would be a fault not to do. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  AdamW,
  BackwardError,
  backward,
  type Device,
  GradES,
  Graph,
  gradientOf,
  mul,
  noGrad,
  type Optimizer,
  PaperVersion1,
  Parameter,
  SGD,
  step,
  sum,
  tensor,
  type WorkReport,
} from '../../src/index.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { onEachDevice, onWebGpu } from '../devices.ts';
import {
  BATCH,
  collectGarbage,
  count,
  releaseLater,
  releaseMade,
  TIME,
  Training,
  tinyConfig,
  valuesOf,
} from '../nn/tiny.ts';
import { magnitude } from './scripted.ts';

afterEach(releaseMade);

const query = 'blocks.0.attention.query.weight';
const gate = 'blocks.1.feedForward.gate.weight';
const down = 'blocks.1.feedForward.down.weight';
const norm = 'blocks.0.attentionNorm.gain';
const tokens = 'tokens.table';

/** What dispatches became fewer, by kernel; negative where they became more. */
function fewer(before: WorkReport, after: WorkReport): Record<string, number> {
  const names = new Set([...before.dispatches.keys(), ...after.dispatches.keys()]);
  const differences = [...names].map((name): [string, number] => [name, count(before, name) - count(after, name)]);
  return Object.fromEntries(differences.filter(([, difference]) => difference !== 0));
}

/** Parameters whose gradients are set from outside: the loss is Σ parameter · gradient. */
function makeParameters(device: Device, ...values: number[][]): Parameter[] {
  return values.map((each) => releaseLater(new Parameter(tensor(each, { device }), 'weight')));
}

async function stepWith(
  optimizer: Optimizer,
  gradients: ReadonlyMap<Parameter, number[]>,
  between: () => void = () => {},
): Promise<void> {
  await step(() => {
    for (const [parameter, gradient] of gradients) {
      if (!parameter.isFrozen) backward(sum(mul(parameter, tensor(gradient, { device: parameter.device }))));
    }
    between();
    optimizer.step();
  });
}

onEachDevice((device) => {
  const optimizers: [string, (parameters: readonly Parameter[]) => Optimizer][] = [
    ['AdamW', (p) => new AdamW(p, { learningRate: 0.1, weightDecay: 0.5, decays: () => true, maxGradientNorm: 0.1 })],
    [
      'SGD with momentum',
      (p) =>
        new SGD(p, { learningRate: 0.1, weightDecay: 0.5, decays: () => true, maxGradientNorm: 0.1, momentum: 0.9 }),
    ],
  ];

  describe.each(optimizers)('%s', (_name, make) => {
    test('momentum, weight decay and clipping do not move a frozen parameter by one bit', async () => {
      const [p, other] = makeParameters(device, [1, -2, 3], [4, 5]);
      const optimizer = releaseLater(make([p, other]));
      const gradients = new Map([
        [p, [1, 2, -3]],
        [other, [2, 1]],
      ]);
      for (let s = 0; s < 3; s++) await stepWith(optimizer, gradients);
      const [before, otherBefore] = await valuesOf(p, other);
      expect(before).not.toEqual([1, -2, 3]);
      p.freeze();
      for (let s = 0; s < 5; s++) await stepWith(optimizer, gradients);
      const [after, otherAfter] = await valuesOf(p, other);
      expect(after).toEqual(before);
      expect(otherAfter).not.toEqual(otherBefore);
    });

    test('a gradient computed before the freeze is not applied after it, nor after a thaw', async () => {
      const [p, other] = makeParameters(device, [1, -2, 3], [4, 5]);
      const optimizer = releaseLater(make([p, other]));
      const gradients = new Map([
        [p, [1, 2, -3]],
        [other, [2, 1]],
      ]);
      await stepWith(optimizer, gradients);
      const [before] = await valuesOf(p);
      await stepWith(optimizer, gradients, () => p.freeze());
      expect((await valuesOf(p))[0]).toEqual(before);
      p.thaw();
      await stepWith(optimizer, gradients, () => {
        p.freeze();
        p.thaw();
      });
      expect((await valuesOf(p))[0]).toEqual(before);
      await stepWith(optimizer, gradients);
      expect((await valuesOf(p))[0]).not.toEqual(before);
    });

    test('the state of a thawed parameter is that of a new one', async () => {
      const [p, other] = makeParameters(device, [1, -2, 3], [4, 5]);
      const optimizer = releaseLater(make([p, other]));
      for (let s = 0; s < 4; s++) await stepWith(optimizer, new Map([[p, [0.9, 2, -3]]]));
      const { stateBytes } = optimizer;
      p.freeze();
      expect(optimizer.stateBytes).toBe(0);
      await stepWith(optimizer, new Map([[other, [2, 1]]]));
      p.thaw();
      const [fresh] = makeParameters(device, (await valuesOf(p))[0]);
      const freshOptimizer = releaseLater(make([fresh]));
      for (const gradient of [
        [-0.01, 0.02, 0.005],
        [0.01, 0.01, -0.02],
      ]) {
        await stepWith(optimizer, new Map([[p, gradient]]));
        await stepWith(freshOptimizer, new Map([[fresh, gradient]]));
        const [thawed, new_] = await valuesOf(p, fresh);
        expect(thawed).toEqual(new_);
      }
      expect(freshOptimizer.stateBytes).toBe(stateBytes);
    });

    test('moments and gradient buffer are given back to the byte', async () => {
      const [p, other] = makeParameters(device, new Array<number>(300).fill(1), [4, 5]);
      const optimizer = releaseLater(make([p, other]));
      const gradients = new Map([
        [p, new Array<number>(300).fill(1)],
        [other, [2, 1]],
      ]);
      await stepWith(optimizer, gradients);
      const moments = optimizer instanceof AdamW ? 2 : 1;
      await collectGarbage();
      const idle = device.memory();
      let [before, after] = [idle, idle];
      await stepWith(optimizer, gradients, () => {
        before = device.memory();
        p.freeze();
        after = device.memory();
      });
      expect(before.liveBytes - after.liveBytes).toBe((moments + 1) * 300 * 4);
      expect(before.liveBuffers - after.liveBuffers).toBe(moments + 1);
      expect(idle.liveBytes - device.memory().liveBytes).toBe(moments * 300 * 4);
      expect(idle.liveBuffers - device.memory().liveBuffers).toBe(moments);
      expect(optimizer.stateBytes).toBe(moments * 2 * 4);
    });

    test('two parameters of one shape keep their own moments when one of them freezes', async () => {
      for (const frozen of [0, 1]) {
        const pair = makeParameters(device, [1, 1], [1, 1]);
        const alone = makeParameters(device, [1, 1]);
        const gradients = [
          [0.03, 0.02],
          [-0.05, -0.01],
        ];
        const kept = 1 - frozen;
        // Clipping would see the other gradient in one run and not in the other.
        const options = { learningRate: 0.1, momentum: 0.9 };
        const [together, single] = [pair, alone].map((p) => releaseLater(optimizerLike(make, p, options)));
        for (let s = 0; s < 10; s++) {
          await stepWith(together, new Map(pair.map((p, i) => [p, gradients[i]])));
          await stepWith(single, new Map([[alone[0], gradients[kept]]]));
        }
        pair[frozen].freeze();
        for (let s = 0; s < 3; s++) {
          await stepWith(together, new Map([[pair[kept], gradients[kept]]]));
          await stepWith(single, new Map([[alone[0], gradients[kept]]]));
          const [actual, expected] = await valuesOf(pair[kept], alone[0]);
          expect(actual).toEqual(expected);
        }
      }
    });
  });

  test('after a freeze the step of the other is its own: +0.1, and not what the moments of the frozen would give', async () => {
    const [first, second] = makeParameters(device, [0], [0]);
    const optimizer = releaseLater(new AdamW([first, second], { learningRate: 0.1 }));
    for (let s = 0; s < 10; s++) {
      await stepWith(
        optimizer,
        new Map([
          [first, [1]],
          [second, [-1]],
        ]),
      );
    }
    const [[before]] = await valuesOf(second);
    first.freeze();
    await stepWith(optimizer, new Map([[second, [-1]]]));
    const [[after]] = await valuesOf(second);
    expect(after - before).toBeCloseTo(0.1, 5);
  });

  test('freezing between forward and backward computes no gradient for it any more', async () => {
    const training = new Training(device);
    const normal = await warm(training);
    const before = await training.weights();
    const work = await training.step(4, { afterForward: () => training.freeze(query, gate) });
    // Two dispatches less measure gradients, and two take out of the norm what was measured in the step before.
    expect(fewer(normal, work)).toEqual({ matmul: 2, adamw: 2 });
    const after = await training.weights();
    for (const name of [query, gate]) expect(after[name]).toEqual(before[name]);
    expect(after[down]).not.toEqual(before[down]);
  });

  test.each([1, 2, 7])('no kernel is dispatched for the gradients of %i frozen matrices', async (matrices) => {
    const training = new Training(device);
    const before = await warm(training);
    training.freeze(
      ...training.registry
        .select(/blocks\.1.*weight/)
        .slice(0, matrices)
        .map(({ name }) => name),
    );
    const after = await training.step(4);
    expect(fewer(before, after)).toEqual({ matmul: matrices, adamw: matrices, 'gradient-statistics': matrices });
    expect(fewer(after, await training.step(5))).toEqual({});
  });

  test('no kernel is dispatched for the gradients of frozen norms and embeddings', async () => {
    const training = new Training(device);
    const before = await warm(training);
    training.freeze(norm);
    const withoutNorm = await training.step(4);
    // The gradient of a gain is summed in two dispatches.
    expect(before.totalDispatches - withoutNorm.totalDispatches).toBe(4);
    expect(fewer(before, withoutNorm)).toMatchObject({
      'normalize-gain-gradient': 1,
      adamw: 1,
      'gradient-statistics': 1,
    });
    training.freeze(tokens);
    const { 'normalize-gradient': normGradients, ...rest } = fewer(withoutNorm, await training.step(5));
    // Below the first norm nothing is live: its input gradient goes as well.
    expect(normGradients).toBe(1);
    expect(rest).toMatchObject({ 'embedding-gradient': 1, 'embedding-link': 1, adamw: 1, 'gradient-statistics': 1 });
  });

  test('with everything below frozen, neither dX nor the forward pass of the lower part is recorded', async () => {
    const training = new Training(device);
    const before = await warm(training);
    const operations = async () => {
      const names: string[] = [];
      await step(() => {
        for (const { operation } of new Graph(training.loss(9)).operations) names.push(operation);
      });
      return names;
    };
    const full = await operations();
    const blockZero = training.registry.select(/^blocks\.0\./).map(({ name }) => name);
    training.freeze(...blockZero);
    const chained = await training.step(4);
    // The embeddings train still, so the gradient is carried down through block 0.
    expect(fewer(before, chained)).toMatchObject({ matmul: 7 });
    expect((await operations()).length).toBe(full.length);

    training.freeze(tokens);
    const cut = await training.step(5);
    expect(count(cut, 'matmul')).toBe(7 + 3 * 7 + 3);
    expect(count(before, 'matmul')).toBe(3 * 15);
    expect(fewer(chained, cut)).toMatchObject({
      'attention-delta': 1,
      'attention-query-gradient': 1,
      'attention-key-value-gradient': 1,
      'normalize-gradient': 3,
      'embedding-gradient': 1,
    });
    const rest = await operations();
    for (const [operation, times] of [
      ['matmul', 8],
      ['attention', 1],
      ['rmsNorm', 3],
      ['embedding', 0],
      ['crossEntropy', 1],
    ] as const) {
      expect(rest.filter((name) => name === operation).length, operation).toBe(times);
    }
  });

  test('activations that only the gradient of a frozen matrix needed are not saved', async () => {
    const training = new Training(device);
    await step(() => noGrad(() => training.loss(1)));
    const saved = async () => {
      let [bytes, live] = [0, 0];
      await step(() => {
        const before = device.memory().liveBytes;
        const loss = training.loss(1);
        live = device.memory().liveBytes - before;
        bytes = new Graph(loss).summary().savedBytes;
      });
      return { bytes, live };
    };
    const rows = BATCH * TIME * 4;
    const { width, hidden } = tinyConfig;
    let last = await saved();
    for (const [names, released] of [
      // Gate and up read the same norm output: it goes with the second of them.
      [[gate], 0],
      [['blocks.1.feedForward.up.weight'], rows * width],
      [[down], rows * hidden],
      // What output reads, attention keeps for its own gradient.
      [['blocks.1.attention.output.weight'], 0],
      [['blocks.1.attention.query.weight', 'blocks.1.attention.key.weight'], 0],
      [['blocks.1.attention.value.weight'], rows * width],
      [['head.weight'], rows * width],
    ] as const) {
      training.freeze(...names);
      const now = await saved();
      expect(last.bytes - now.bytes, names.join()).toBe(released);
      expect(last.live - now.live, names.join()).toBe(released);
      last = now;
    }
  });

  describe('the others train as if the frozen had been constants from that step on', () => {
    const names = [query, gate, norm, tokens];
    const frozenAt = 4;
    const last = 9;

    test('bit for bit, with AdamW, decay and clipping', async () => {
      const frozen = new Training(device);
      await frozen.steps(1, frozenAt);
      frozen.freeze(...names);
      await frozen.steps(frozenAt + 1, last);

      const constant = new Training(device);
      await constant.steps(1, frozenAt);
      // No freeze: the tensors just stand in no graph any more.
      for (const name of names) constant.parameter(name).node = undefined;
      await constant.steps(frozenAt + 1, last);

      expect(frozen.losses).toEqual(constant.losses);
      expect(await frozen.weights()).toEqual(await constant.weights());
      expect(frozen.losses.length).toBe(last);
    });

    test('bit for bit, in a model and an optimizer that never knew them as parameters', async () => {
      const run = async (training: Training, optimizer: Optimizer, from: number, to: number) => {
        const losses: number[] = [];
        for (let s = from; s <= to; s++) {
          await step(() => {
            const loss = training.loss(s);
            backward(loss);
            optimizer.step(loss);
          });
          losses.push((await optimizer.report()).loss);
        }
        return losses;
      };
      const options = { learningRate: 0.1, weightDecay: 0.05, maxGradientNorm: 0.5 };
      const frozen = new Training(device);
      const optimizer = releaseLater(new SGD(frozen.model.parameters(), options));
      await run(frozen, optimizer, 1, frozenAt);
      const state = await frozen.model.stateDict();
      frozen.freeze(...names);
      const losses = await run(frozen, optimizer, frozenAt + 1, last);

      const constant = new Training(device, { model: { seed: 77 } });
      constant.model.loadStateDict(state);
      const trained = constant.model.parameters().filter(({ name }) => !names.includes(name));
      for (const name of names) constant.parameter(name).node = undefined;
      const other = releaseLater(new SGD(trained, options));
      expect(await run(constant, other, frozenAt + 1, last)).toEqual(losses);
      expect(await constant.weights()).toEqual(await frozen.weights());
    });
  });

  test('the frozen no longer count in the global gradient norm, from the next step on', async () => {
    const [p, other] = makeParameters(device, [1, 2], [3, 4]);
    const optimizer = releaseLater(new SGD([p, other], { learningRate: 0, maxGradientNorm: 1 }));
    const gradients = new Map([
      [p, [30, 40]],
      [other, [0, 12]],
    ]);
    await stepWith(optimizer, gradients);
    expect((await optimizer.report()).gradientNorm).toBeCloseTo(Math.hypot(50, 12), 4);
    p.freeze();
    await stepWith(optimizer, gradients);
    const report = await optimizer.report();
    expect(report.gradientNorm).toBeCloseTo(12, 5);
    expect([...report.squares.keys()]).toEqual([other]);
    await stepWith(optimizer, gradients, () => other.freeze());
    expect((await optimizer.report()).gradientNorm).toBe(0);
    p.thaw();
    await stepWith(optimizer, gradients);
    expect((await optimizer.report()).gradientNorm).toBeCloseTo(50, 4);
  });

  test('a thawed parameter is back in graph, norm and optimizer', async () => {
    const training = new Training(device);
    const before = await warm(training);
    const bytes = training.optimizer.stateBytes;
    training.freeze(query, gate, norm);
    await training.step(4);
    const frozen = await training.weights();
    for (const name of [query, gate, norm]) {
      training.registry.thaw(training.registry.get(name), { step: 4, reason: 'test' });
    }
    await training.step(5);
    expect(fewer(before, await training.step(6))).toEqual({});
    expect(training.optimizer.stateBytes).toBe(bytes);
    const after = await training.weights();
    for (const name of [query, gate, norm]) expect(after[name]).not.toEqual(frozen[name]);
    expect((await training.optimizer.report()).squares.size).toBe(training.registry.entries.length);
  });

  test('everything frozen is a normal end, and a backward pass then is a named error', async () => {
    const training = new Training(device);
    const options = { steps: 20, threshold: 1e9, grace: 0.2, watch: () => true };
    const policy = new PaperVersion1(training.registry, training.optimizer, options);
    let s = 0;
    while (s < 20 && !policy.finished) await training.step(++s, { policy });
    await policy.end();
    expect(policy.finished).toBe(true);
    expect(policy.frozenCount).toBe(training.registry.entries.length);
    expect(s).toBeLessThan(20);
    expect(training.optimizer.stateBytes).toBe(0);
    await step(() => {
      const loss = training.loss(1);
      expect(loss.node).toBeUndefined();
      expect(() => backward(loss)).toThrow(BackwardError);
      expect(() => backward(loss)).toThrow(/every parameter frozen/);
      expect(() => new Graph(loss)).toThrow(BackwardError);
    });
    const before = await training.weights();
    await step(() => training.optimizer.step());
    expect(await training.weights()).toEqual(before);
  });

  test('everything frozen between forward and backward is the same named error', async () => {
    const training = new Training(device);
    await step(() => {
      const loss = training.loss(1);
      training.freeze(...training.registry.entries.map(({ name }) => name));
      expect(() => backward(loss)).toThrow(BackwardError);
    });
  });

  test.each([
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
  ])(
    'a gradient of %s freezes nothing, and ends the run with an error that names parameter and step',
    async (_name, bad) => {
      const training = new Training(device);
      // Whatever has fallen below its peak would freeze at the check after step 4.
      const options = { ...magnitude, steps: 10, threshold: 1, grace: 0.3, interval: 1 };
      const policy = new GradES(training.registry, training.optimizer, options);
      await training.step(1, { policy });
      await training.step(2, { policy });
      await training.step(3, { policy });
      const before = await training.weights();
      const broken = training.parameter(down);
      // Step 4 is the first whose gradients may freeze; that of one matrix is broken in it.
      await training.step(4, { policy, afterBackward: () => spoil(broken, bad) });
      await expect(training.step(5, { policy })).rejects.toMatchObject({ parameter: down, step: 4 });
      await expect(policy.end()).rejects.toMatchObject({ name: 'NonFiniteGradientError', parameter: down, step: 4 });
      expect(training.registry.events).toEqual([]);
      expect(policy.frozenCount).toBe(0);
      expect(await training.weights()).toEqual(before);
    },
  );

  test('a broken gradient after the last check is told at the end', async () => {
    const training = new Training(device);
    const policy = new GradES(training.registry, training.optimizer, { steps: 10, interval: 4 });
    for (let s = 1; s <= 5; s++) await training.step(s, { policy });
    await training.step(6, { policy, afterBackward: () => spoil(training.parameter(gate), Number.NaN) });
    await expect(policy.end()).rejects.toMatchObject({ parameter: gate, step: 6 });
  });

  test('live and reserved bytes fall by what the frozen held, once free buffers are trimmed', async () => {
    const training = new Training(device);
    await training.steps(1, 3);
    await collectGarbage();
    await device.synchronize();
    device.trim();
    const before = device.memory();
    expect(before.reservedBuffers).toBe(before.liveBuffers);
    training.freeze(query, gate);
    device.trim();
    const after = device.memory();
    const bytes = 2 * 4 * (8 * 8 + 8 * 12);
    expect(before.liveBytes - after.liveBytes).toBe(bytes);
    expect(before.liveBuffers - after.liveBuffers).toBe(4);
    expect(before.reservedBuffers - after.reservedBuffers).toBe(4);
    // Buffers are reserved in pieces of 256 bytes.
    expect(before.reservedBytes - after.reservedBytes).toBe(2 * 256 + 2 * 512);
    await training.steps(4, 5);
  });
});

/** Two steps that make all state, then one whose dispatches are those of every steady step. */
async function warm(training: Training): Promise<WorkReport> {
  await training.steps(1, 2);
  return await training.step(3);
}

/** Makes one element of a gradient that was just computed NaN or infinite. */
function spoil({ leaf, device }: Parameter, value: number): void {
  const gradient = gradientOf(leaf.tensor);
  if (!gradient) throw new Error('there is no gradient to spoil');
  const values = new Float32Array(gradient.size).fill(0.1);
  values[5] = value;
  leaf.gradient = tensor(values, { device, shape: gradient.shape });
  leaf.halves = null;
}

/** An optimizer of the same class as `make` gives, with other options. */
function optimizerLike(
  make: (parameters: readonly Parameter[]) => Optimizer,
  parameters: readonly Parameter[],
  options: { learningRate: number; momentum: number },
): Optimizer {
  const example = make(parameters);
  const isAdamW = example instanceof AdamW;
  example.release();
  const { learningRate } = options;
  return isAdamW ? new AdamW(parameters, { learningRate }) : new SGD(parameters, options);
}

onWebGpu(() => {
  test('nothing is compiled at a freeze, nor in the steps after it', async () => {
    // A device of its own: on the shared one other tests have compiled what this one is about.
    const device = await WebGpuDevice.open();
    const training = new Training(device);
    const policy = new GradES(training.registry, training.optimizer, { steps: 1000, interval: 1 });
    for (let s = 1; s <= 4; s++) await training.step(s, { policy });
    const { pipelineCount } = device;
    expect(pipelineCount).toBeGreaterThan(10);
    let s = 5;
    for (const names of [
      [query],
      [gate, down],
      [norm],
      training.registry.select(/^blocks\.0\./).map(({ name }) => name),
      [tokens],
      training.registry.select(/^blocks\.1\./).map(({ name }) => name),
      ['norm.gain'],
    ]) {
      training.freeze(...names);
      device.trim();
      await training.step(s++, { policy });
      await training.step(s++, { policy });
      expect(device.pipelineCount, names.join()).toBe(pipelineCount);
    }
    training.registry.thaw(training.registry.get(query), { step: s, reason: 'test' });
    await training.step(s, { policy });
    expect(device.pipelineCount).toBe(pipelineCount);
    await policy.end();
    expect(gradientOf(training.parameter('norm.gain'))).toBeNull();
    releaseMade();
    await device.synchronize();
  });
});
