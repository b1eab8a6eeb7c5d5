/** Sums of changes against plain float64 loops over recorded gradients and weights, and what they keep on the device. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  AdamW,
  ArgumentError,
  type Device,
  type DType,
  gradientOf,
  mul,
  type Optimizer,
  Parameter,
  Random,
  SGD,
  ShapeError,
  step,
  sum,
  tensor,
  uniform,
} from '../../src/index.ts';
import { cpu, type Devices, onEachDevice, ownDevices } from '../devices.ts';
import { releaseLater, releaseMade, Training } from './tiny.ts';

afterEach(releaseMade);

const optimizers: Record<string, (parameters: readonly Parameter[]) => Optimizer> = {
  AdamW: (parameters) => new AdamW(parameters, { learningRate: 0.01, weightDecay: 0.1, maxGradientNorm: 0.5 }),
  SGD: (parameters) => new SGD(parameters, { learningRate: 0.01, weightDecay: 0.1, momentum: 0.9 }),
};

/** Parameters whose gradient at step s is given, and an optimizer over them. */
class Given {
  readonly parameters: Parameter[];
  readonly optimizer: Optimizer;
  readonly device: Device;
  readonly #random = new Random(5);

  constructor(device: Device, kind: string, sizes: readonly number[], dtype: DType = 'f32') {
    this.device = device;
    this.parameters = sizes.map((size, i) => {
      const made = releaseLater(new Parameter(uniform([size], { device, dtype, random: this.#random }), 'weight'));
      made.rename(`p${i}`);
      return made;
    });
    this.optimizer = releaseLater(optimizers[kind](this.parameters));
  }

  /** One step with random gradients; returns what was recorded around it. */
  async step(trained: readonly Parameter[] = this.parameters) {
    const { device } = this;
    const before = await Promise.all(this.parameters.map((each) => each.data()));
    const gradients = new Map<Parameter, Float64Array>();
    await step(async () => {
      let loss = tensor(0, { device, dtype: this.parameters[0].dtype });
      for (const parameter of trained) {
        const weights = uniform(parameter.shape, { device, dtype: parameter.dtype, random: this.#random, low: -1 });
        loss = loss.add(sum(mul(parameter, weights)));
      }
      loss.backward();
      for (const parameter of trained) {
        const gradient = gradientOf(parameter);
        if (gradient) gradients.set(parameter, Float64Array.from(await gradient.data()));
      }
      this.optimizer.step(loss);
    });
    const report = await this.optimizer.report();
    const after = await Promise.all(this.parameters.map((each) => each.data()));
    const moved = before.map((values, i) => distance(values, after[i]));
    return { report, gradients, moved, after };
  }
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += Math.abs(a[i] - b[i]);
  return total;
}

// One element; several workgroups of an update; several of the statistics, and not a multiple of either.
const sizes = [1, 1500, 9001];

for (const kind of Object.keys(optimizers)) {
  const suite = (device: Device, dtype: DType) => {
    test(`${kind}: the changes of ${dtype} gradients and values are those of plain loops`, async () => {
      const given = new Given(device, kind, sizes, dtype);
      given.optimizer.watch('gradientChange', given.parameters);
      given.optimizer.watch('weightChange', given.parameters);
      // Twice is as good as once.
      given.optimizer.watch('gradientChange', given.parameters);
      let previous = new Map<Parameter, Float64Array>();
      for (let s = 1; s <= 4; s++) {
        const { report, gradients, moved } = await given.step();
        given.parameters.forEach((parameter, i) => {
          const sums = report.gradients.get(parameter);
          const before = previous.get(parameter);
          const now = gradients.get(parameter) ?? [];
          if (before === undefined) expect(sums?.gradientChange).toBeNull();
          else expect((sums?.gradientChange ?? 0) / distance(before, now)).toBeCloseTo(1, 5);
          // The recorded values are rounded to f32; what the update did is known more exactly.
          expect((sums?.weightChange ?? 0) / moved[i]).toBeCloseTo(1, 3);
        });
        previous = gradients;
      }
    });
  };
  describe('float64', () => suite(cpu, 'f64'));
  onEachDevice((device) => suite(device, 'f32'));
}

onEachDevice((device) => {
  test('nothing is told of what is not watched, and watching changes no bit of the training', async () => {
    const plain = new Given(device, 'AdamW', sizes);
    const watched = new Given(device, 'AdamW', sizes);
    watched.optimizer.watch('gradientChange', watched.parameters.slice(0, 2));
    watched.optimizer.watch('weightChange', watched.parameters.slice(1));
    for (let s = 1; s <= 3; s++) {
      const [{ after: expected, report: silent }, { after, report }] = [await plain.step(), await watched.step()];
      expect(after).toEqual(expected);
      for (const sums of silent.gradients.values()) {
        expect(sums).toMatchObject({ gradientChange: null, weightChange: null });
      }
      const told = watched.parameters.map((parameter) => report.gradients.get(parameter));
      expect(told.map((sums) => sums?.gradientChange === null)).toEqual([s === 1, s === 1, true]);
      expect(told.map((sums) => sums?.weightChange === null)).toEqual([true, false, false]);
    }
  });

  test('over several steps, the change of the values is that from copy to copy', async () => {
    const given = new Given(device, 'SGD', [700, 30]);
    given.optimizer.watch('weightChange', given.parameters, { every: 3 });
    let copies = await Promise.all(given.parameters.map((each) => each.data()));
    for (let s = 1; s <= 7; s++) {
      const { report, after } = await given.step();
      given.parameters.forEach((parameter, i) => {
        const change = report.gradients.get(parameter)?.weightChange ?? null;
        if (s % 3 !== 0) expect(change).toBeNull();
        else expect((change ?? 0) / distance(copies[i], after[i])).toBeCloseTo(1, 5);
      });
      if (s % 3 === 0) copies = after;
    }
  });

  test('after a gap, after thawing and after a pause in watching a change is unknown, not zero', async () => {
    const given = new Given(device, 'AdamW', [40, 8]);
    const [first, second] = given.parameters;
    const { optimizer } = given;
    optimizer.watch('gradientChange', given.parameters);
    const change = async (trained?: readonly Parameter[]) => {
      const { report } = await given.step(trained);
      return report.gradients.get(first)?.gradientChange;
    };
    expect(await change()).toBeNull();
    expect(await change()).toBeGreaterThan(0);
    expect(await change([second])).toBeUndefined();
    expect(await change()).toBeNull();
    expect(await change()).toBeGreaterThan(0);
    first.freeze();
    await given.step([second]);
    first.thaw();
    expect(await change()).toBeNull();
    expect(await change()).toBeGreaterThan(0);
    optimizer.unwatch('gradientChange', [first]);
    expect(await change()).toBeNull();
    optimizer.watch('gradientChange', [first]);
    expect(await change()).toBeNull();
    expect(await change()).toBeGreaterThan(0);
  });

  test('a state that was saved goes on bit for bit, with what froze and thawed in between', async () => {
    const training = new Training(device);
    const { optimizer, model } = training;
    const parameter = training.parameter('blocks.0.attention.query.weight');
    optimizer.watch('gradientChange', [parameter]);
    await training.steps(1, 4);
    const [weights, state] = [await model.stateDict(), await optimizer.stateDict()];
    const future = async () => {
      await training.steps(5, 7);
      const report = await optimizer.report();
      return { weights: await training.weights(), change: report.gradients.get(parameter)?.gradientChange };
    };
    const expected = await future();
    parameter.freeze();
    await training.steps(8, 9);
    parameter.thaw();
    model.loadStateDict(weights);
    optimizer.loadStateDict(state);
    expect(optimizer.steps).toBe(4);
    expect(await future()).toEqual(expected);
  });
});

test('a parameter the optimizer does not train cannot be watched, nor a share of a step', () => {
  const given = new Given(cpu, 'SGD', [3]);
  const stranger = releaseLater(new Parameter(uniform([2], { device: cpu, random: new Random(1) }), 'weight'));
  stranger.rename('stranger');
  expect(() => given.optimizer.watch('gradientChange', [stranger])).toThrow(/does not train stranger/);
  expect(() => given.optimizer.watch('weightChange', given.parameters, { every: 0.5 })).toThrow(ArgumentError);
});

test('a state that does not fit changes nothing', async () => {
  const training = new Training(cpu);
  const { optimizer } = training;
  await training.steps(1, 2);
  const [state, weights] = [await optimizer.stateDict(), await training.weights()];
  const name = 'norm.gain';
  const entry = state.parameters[name];
  const load = (changed: typeof state.parameters) => () =>
    optimizer.loadStateDict({ ...state, parameters: { ...state.parameters, ...changed } });
  expect(load({ nobody: entry })).toThrow(/nobody is not trained/);
  expect(load({ [name]: { ...entry, tensors: [entry.tensors[0]] } })).toThrow(ShapeError);
  expect(load({ [name]: { ...entry, tensors: entry.tensors.map((data) => data.slice(1)) } })).toThrow(ShapeError);
  training.freeze(name);
  expect(load({})).toThrow(/norm.gain is frozen/);
  expect(optimizer.steps).toBe(2);
  expect(await training.weights()).toEqual(weights);
});

describe('memory', () => {
  let devices: Devices;
  beforeAll(async () => {
    devices = await ownDevices();
  });

  test('a copy lives while its parameter trains and is watched', async () => {
    for (const device of [devices.cpu, ...(devices.webgpu ? [devices.webgpu] : [])]) {
      const given = new Given(device, 'SGD', [10_000, 10_000]);
      const [first, second] = given.parameters;
      await given.step();
      const live = () => device.memory().liveBytes;
      const without = live();
      given.optimizer.watch('gradientChange', given.parameters);
      expect(live() - without).toBe(80_000);
      given.optimizer.unwatch('gradientChange', [second]);
      expect(live() - without).toBe(40_000);
      const momentum = 40_000;
      first.freeze();
      expect(live() - without).toBe(-momentum);
      first.thaw();
      expect(live() - without).toBe(40_000 - momentum);
      given.optimizer.unwatch('gradientChange', [first]);
      expect(live() - without).toBe(-momentum);
      given.optimizer.watch('weightChange', [second], { every: 2 });
      second.freeze();
      const partials = live() - without + 2 * momentum;
      expect(partials).toBeLessThan(1000);
      given.optimizer.unwatch('weightChange', [second]);
      expect(live() - without).toBe(-2 * momentum);
      releaseMade();
      expect(device.memory().liveBytes).toBe(0);
    }
  });
});
