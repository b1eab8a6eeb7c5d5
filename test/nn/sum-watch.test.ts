/** Sums of any formula against plain float64 loops over known gradients and weights, and what they keep on the device. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  ArgumentError,
  type Device,
  type DType,
  FileFormatError,
  Parameter,
  type ParameterSum,
  Random,
  type Saved,
  ShapeError,
  type StepReport,
  type SumWatch,
  uniform,
} from '../../src/index.ts';
import { cpu, type Devices, onEachDevice, ownDevices } from '../devices.ts';
import { GivenGradients, type optimizers, plainSum, type RecordedStep, sizes } from './given-gradients.ts';
import { releaseLater, releaseMade, Training } from './tiny.ts';

afterEach(releaseMade);

/** A formula that tells x from y, positive so that no sum cancels. */
const formula = {
  wgsl: '(x * x + 3.0 * abs(y - x))',
  reference: (x: number, y: number) => x * x + 3 * Math.abs(y - x),
};
const sums = {
  gradient: { name: 'of-gradient', over: 'gradient', ...formula },
  halves: { name: 'of-halves', over: 'halves', ...formula },
  'gradient-before': { name: 'of-gradients', over: 'gradient-before', ...formula },
  'weights-before': { name: 'of-weights', over: 'weights-before', ...formula },
} as const satisfies Record<ParameterSum['over'], ParameterSum>;
const overs = Object.values(sums).map(({ over }) => over);

/** The sum of a step in a plain loop; `last` is the step before, `measured` the weights when they were last measured. */
function plain(
  over: ParameterSum['over'],
  now: RecordedStep,
  last: RecordedStep | undefined,
  measured = now.before,
): number {
  const { reference } = formula;
  if (over === 'gradient') return plainSum(reference, now.gradient);
  if (over === 'halves') return plainSum(reference, ...now.halves);
  if (over === 'gradient-before') return plainSum(reference, now.gradient, last?.gradient);
  return plainSum(reference, now.after, measured);
}

function sumIn(report: StepReport, watch: SumWatch, parameter: Parameter): number | undefined {
  return report.sums.get(watch)?.get(parameter);
}

function expectNear(actual: number | undefined, expected: number, what?: string): void {
  expect((actual ?? Number.NaN) / expected, what).toBeCloseTo(1, 5);
}

for (const kind of ['AdamW', 'SGD'] satisfies (keyof typeof optimizers)[]) {
  const suite = (device: Device, dtype: DType) => {
    test.each(overs)(`${kind}: a sum over ${dtype} values (%s) is that of a plain loop`, async (over) => {
      const given = new GivenGradients(device, kind, { sizes, dtype });
      const watch = given.optimizer.watch(sums[over], given.parameters);
      let last: ReadonlyMap<Parameter, RecordedStep> = new Map();
      for (let s = 1; s <= 4; s++) {
        watch.measureNext();
        const { report, recorded } = await given.step();
        for (const [parameter, now] of recorded) {
          expectNear(sumIn(report, watch, parameter), plain(over, now, last.get(parameter)), `${parameter.name} ${s}`);
        }
        last = recorded;
      }
    });
  };
  describe('float64', () => suite(cpu, 'f64'));
  onEachDevice((device) => suite(device, 'f32'));
}

onEachDevice((device) => {
  test('several watches of the same parameters see, each in its own rhythm, all that they asked for', async () => {
    const given = new GivenGradients(device, 'AdamW', { sizes });
    const [first, ...others] = given.parameters;
    const watched = [
      { over: 'halves', every: 2, parameters: given.parameters },
      { over: 'gradient', every: 1, parameters: given.parameters },
      { over: 'halves', every: 3, parameters: given.parameters },
      { over: 'gradient-before', every: 3, parameters: others },
      { over: 'gradient-before', every: 1, parameters: given.parameters },
      { over: 'weights-before', every: 2, parameters: [first] },
      { over: 'weights-before', every: 1, parameters: given.parameters },
    ] as const;
    const watches = watched.map((each) => {
      const measured = new Map<Parameter, Float64Array>();
      return { ...each, watch: given.optimizer.watch(sums[each.over], each.parameters), measured };
    });
    let last: ReadonlyMap<Parameter, RecordedStep> = new Map();
    for (let s = 1; s <= 6; s++) {
      for (const { watch, every } of watches) if (s % every === 0) watch.measureNext();
      const { report, recorded } = await given.step();
      for (const { watch, over, every, parameters, measured } of watches) {
        const what = `${over}, every ${every}, step ${s}`;
        expect([...(report.sums.get(watch)?.keys() ?? [])], what).toEqual(s % every === 0 ? [...parameters] : []);
        if (s % every !== 0) continue;
        for (const parameter of parameters) {
          const now = recorded.get(parameter);
          if (!now) throw new Error(`${parameter.name} was not trained`);
          const before = measured.get(parameter) ?? (every === 1 ? now.before : last.get(parameter)?.before);
          expectNear(sumIn(report, watch, parameter), plain(over, now, last.get(parameter), before), what);
          measured.set(parameter, now.after);
        }
      }
      last = recorded;
    }
  });

  test('nothing is told of what is not asked for, and watching changes no bit of the training', async () => {
    const plainRun = new GivenGradients(device, 'AdamW', { sizes });
    const watched = new GivenGradients(device, 'AdamW', { sizes });
    const watches = overs.map((over) => watched.optimizer.watch(sums[over], watched.parameters.slice(1)));
    for (let s = 1; s <= 4; s++) {
      if (s % 2 === 0) for (const watch of watches) watch.measureNext();
      const [expected, actual] = [await plainRun.step(), await watched.step()];
      const weights = ({ recorded }: typeof expected) => [...recorded.values()].map(({ after }) => after);
      expect(weights(actual)).toEqual(weights(expected));
      expect(actual.report.gradientNorm).toBe(expected.report.gradientNorm);
      expect([...actual.report.squares.values()]).toEqual([...expected.report.squares.values()]);
      expect(expected.report.sums.size).toBe(0);
      expect(actual.report.sums.size).toBe(s % 2 === 0 ? watches.length : 0);
      for (const found of actual.report.sums.values()) expect([...found.keys()]).toEqual(watched.parameters.slice(1));
    }
  });

  test('gradients come in halves only for a step that measures them, and only of what is watched', async () => {
    const given = new GivenGradients(device, 'SGD', { sizes: [4, 4] });
    const { optimizer, parameters } = given;
    const [first, second] = parameters;
    const [one, other] = [optimizer.watch(sums.halves, [first]), optimizer.watch(sums.halves, [first])];
    const split = () => parameters.map(({ leaf }) => leaf.splitsHalves);
    expect(split()).toEqual([false, false]);
    one.measureNext();
    other.measureNext();
    expect(split()).toEqual([true, false]);
    one.release();
    expect(split()).toEqual([true, false]);
    await given.step();
    expect(split()).toEqual([false, false]);
    const third = optimizer.watch(sums.halves, [second]);
    third.measureNext();
    third.release();
    expect(split()).toEqual([false, false]);
  });

  test('after a gap the change of a gradient is unknown, not zero; after a thaw it begins anew', async () => {
    const given = new GivenGradients(device, 'AdamW', { sizes: [40, 8] });
    const [first, second] = given.parameters;
    const watch = given.optimizer.watch(sums['gradient-before'], given.parameters);
    let last: RecordedStep | undefined;
    const measure = async (trained?: readonly Parameter[]) => {
      watch.measureNext();
      const { report, recorded } = await given.step(trained);
      const now = recorded.get(first);
      const expected = now && plain('gradient-before', now, last);
      last = now;
      return { actual: sumIn(report, watch, first), expected };
    };
    const expectMeasured = ({ actual, expected }: Awaited<ReturnType<typeof measure>>) =>
      expectNear(actual, expected ?? Number.NaN);
    expectMeasured(await measure());
    expectMeasured(await measure());
    expect((await measure([second])).actual).toBeUndefined();
    expect((await measure()).actual).toBeUndefined();
    expectMeasured(await measure());
    first.freeze();
    expect((await measure([second])).actual).toBeUndefined();
    first.thaw();
    last = undefined;
    expectMeasured(await measure());
    expectMeasured(await measure());
  });

  test('a gap between a state and the step after it is one as well', async () => {
    const given = new GivenGradients(device, 'SGD', { sizes: [40, 8] });
    const [first, second] = given.parameters;
    const watch = given.optimizer.watch(sums['gradient-before'], given.parameters);
    await given.step();
    const restored = given.optimizer.watch(sums['gradient-before'], given.parameters);
    restored.restore(await watch.state());
    watch.release();
    await given.step([second]);
    restored.measureNext();
    const { report } = await given.step();
    expect([sumIn(report, restored, first), typeof sumIn(report, restored, second)]).toEqual([undefined, 'number']);
  });

  test('the weights of a thawed parameter are compared with those it came back with', async () => {
    const given = new GivenGradients(device, 'SGD', { sizes: [40, 8] });
    const [first, second] = given.parameters;
    const watch = given.optimizer.watch(sums['weights-before'], given.parameters);
    await given.step();
    first.freeze();
    await given.step([second]);
    first.thaw();
    watch.measureNext();
    const { report, recorded } = await given.step();
    const now = recorded.get(first);
    expectNear(sumIn(report, watch, first), now ? plain('weights-before', now, undefined) : Number.NaN);
  });

  test.each(['gradient-before', 'weights-before'] as const)(
    'a watch that was saved goes on bit for bit, with what froze and thawed in between (%s)',
    async (over) => {
      const training = new Training(device);
      const { optimizer, model } = training;
      const parameter = training.parameter('blocks.0.attention.query.weight');
      const watch = optimizer.watch(sums[over], [parameter]);
      await training.steps(1, 4);
      const [weights, ofOptimizer] = [await model.stateDict(), await optimizer.stateDict()];
      const state = await watch.state();
      const future = async () => {
        const seen: (number | undefined)[] = [];
        for (let s = 5; s <= 7; s++) {
          watch.measureNext();
          await training.steps(s, s);
          seen.push(sumIn(await optimizer.report(), watch, parameter));
        }
        return { weights: await training.weights(), seen };
      };
      const expected = await future();
      expect(Math.min(...expected.seen.map(Number))).toBeGreaterThan(0);
      parameter.freeze();
      await training.steps(8, 9);
      parameter.thaw();
      model.loadStateDict(weights);
      optimizer.loadStateDict(ofOptimizer);
      watch.restore(state);
      expect(optimizer.steps).toBe(4);
      expect(await future()).toEqual(expected);
    },
  );
});

test('a parameter the optimizer does not train cannot be watched', () => {
  const given = new GivenGradients(cpu, 'SGD', { sizes: [3] });
  const stranger = releaseLater(new Parameter(uniform([2], { device: cpu, random: new Random(1) }), 'weight'));
  stranger.rename('stranger');
  expect(() => given.optimizer.watch(sums.gradient, [...given.parameters, stranger])).toThrow(ArgumentError);
  expect(() => given.optimizer.watch(sums.gradient, [stranger])).toThrow(/does not train stranger.*of-gradient/);
});

test('a watch that was released measures nothing, and says so', async () => {
  const given = new GivenGradients(cpu, 'SGD', { sizes: [3] });
  const watch = given.optimizer.watch(sums['gradient-before'], given.parameters);
  watch.measureNext();
  watch.release();
  watch.release();
  expect((await given.step()).report.sums.size).toBe(0);
  expect(() => watch.measureNext()).toThrow(ArgumentError);
  expect(() => watch.measureNext()).toThrow(/watch of of-gradients was released/);
});

test('a state that does not fit a watch changes nothing', async () => {
  const given = new GivenGradients(cpu, 'SGD', { sizes: [3, 2] });
  const watch = given.optimizer.watch(sums['weights-before'], given.parameters);
  await given.step();
  const state = await watch.state();
  const other = { step: 7, data: Float32Array.of(9, 9, 9) };
  const restore = (saved: Saved) => () => watch.restore(saved);
  expect(restore({ p0: other, p7: other })).toThrow(/p7 is not watched for of-weights/);
  expect(restore({ p0: other, p1: other })).toThrow(ShapeError);
  expect(restore({ p0: other, p1: other })).toThrow(/p1 holds 2 values, the state 3/);
  expect(restore({ p0: other, p1: { step: 1 } })).toThrow(FileFormatError);
  expect(restore([])).toThrow(FileFormatError);
  expect(await watch.state()).toEqual(state);
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

  test('what a sum needs is kept while its parameter trains and is watched', async () => {
    for (const device of [devices.cpu, ...(devices.webgpu ? [devices.webgpu] : [])]) {
      const given = new GivenGradients(device, 'SGD', { sizes: [10_000, 10_000] });
      const [first, second] = given.parameters;
      await given.step();
      const live = () => device.memory().liveBytes;
      const without = live();
      const [bytes, momentum] = [40_000, 40_000];
      for (const over of ['gradient', 'halves'] as const) given.optimizer.watch(sums[over], given.parameters);
      expect(live()).toBe(without);
      const gradients = given.optimizer.watch(sums['gradient-before'], given.parameters);
      const weights = given.optimizer.watch(sums['weights-before'], [second]);
      expect(live() - without).toBe(3 * bytes);
      first.freeze();
      expect(live() - without).toBe(2 * bytes - momentum);
      first.thaw();
      expect(live() - without).toBe(3 * bytes - momentum);
      second.freeze();
      expect(live() - without).toBe(bytes - 2 * momentum);
      gradients.release();
      weights.release();
      expect(live() - without).toBe(-2 * momentum);
      releaseMade();
      expect(device.memory().liveBytes).toBe(0);
    }
  });

  test('rows of a watch that was released serve the next', async () => {
    for (const device of [devices.cpu, ...(devices.webgpu ? [devices.webgpu] : [])]) {
      const given = new GivenGradients(device, 'SGD', { sizes: [100, 100] });
      const live: number[] = [];
      for (let s = 1; s <= 6; s++) {
        const watches = (['gradient', 'weights-before'] as const).map((over) =>
          given.optimizer.watch(sums[over], given.parameters),
        );
        for (const watch of watches) watch.measureNext();
        const { report, recorded } = await given.step();
        for (const [parameter, now] of recorded) {
          expectNear(sumIn(report, watches[1], parameter), plain('weights-before', now, undefined));
        }
        for (const watch of watches) watch.release();
        live.push(device.memory().liveBytes);
      }
      expect(new Set(live.slice(1)).size).toBe(1);
      releaseMade();
      expect(device.memory().liveBytes).toBe(0);
    }
  });
});
