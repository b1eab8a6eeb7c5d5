import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  AdamW,
  type AdamWOptions,
  ArgumentError,
  add,
  backward,
  type Device,
  DeviceMismatchError,
  type DType,
  gelu,
  gradientChange,
  gradientOf,
  Linear,
  matmul,
  max,
  mul,
  NonFiniteGradientError,
  noGrad,
  normal,
  type Optimizer,
  OutOfMemoryError,
  ones,
  Parameter,
  type ParameterSum,
  Random,
  relu,
  Sequential,
  SGD,
  type SGDOptions,
  ShapeError,
  scope,
  silu,
  softmax,
  splitHalf,
  step,
  sum,
  type Tensor,
  tensor,
  weightChange,
} from '../../src/index.ts';
import { copyInto } from '../../src/tensor/copy.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { platform } from '../../src/tensor/platform/platform.ts';
import { cpu, onEachDevice, webgpu } from '../devices.ts';
import { releaseLater, releaseMade, Training, valuesOf } from './tiny.ts';

afterEach(releaseMade);

const linear = new Linear(2, 2, { random: new Random(1), device: cpu });
const plainTensor = ones([1], { device: cpu });

/** Two parameters whose gradients are set: the loss is Σ parameter · gradient. */
class Bench {
  readonly device: Device;
  readonly dtype: DType;
  readonly parameters: readonly Parameter[];

  constructor(device: Device, dtype: DType, shapes: readonly (readonly number[])[] = [[3, 5], [7]]) {
    this.device = device;
    this.dtype = dtype;
    const random = new Random(11);
    this.parameters = shapes.map((shape, i) => {
      const size = shape.reduce((product, extent) => product * extent, 1);
      const values = Float64Array.from({ length: size }, () => random.normal());
      const parameter = releaseLater(new Parameter(tensor(values, { device, dtype, shape }), 'weight'));
      parameter.rename(`p${i}`);
      return parameter;
    });
  }

  /** Gradients of step s; larger ones in every third step. */
  gradients(s: number): number[][] {
    const random = new Random(s, 3);
    return this.parameters.map(({ size }) =>
      Array.from({ length: size }, () => (s % 3 === 0 ? 4 : 0.3) * random.normal()),
    );
  }

  /** The gradient of each parameter becomes its array; null leaves a parameter out of the loss. */
  loss(gradients: readonly (readonly number[] | null)[]): Tensor {
    const { device, dtype } = this;
    const terms = this.parameters.flatMap((parameter, i) => {
      const gradient = gradients[i];
      if (gradient === null) return [];
      return sum(mul(parameter, tensor(Float64Array.from(gradient), { device, dtype, shape: parameter.shape })));
    });
    return terms.reduce((total, term) => add(total, term));
  }

  async step(optimizer: Optimizer, gradients: readonly (readonly number[] | null)[]): Promise<void> {
    await step(() => {
      const loss = this.loss(gradients);
      backward(loss);
      optimizer.step(loss);
    });
  }

  values(): Promise<number[][]> {
    return valuesOf(...this.parameters);
  }
}

const magnitude: ParameterSum = { name: 'magnitude', over: 'gradient', wgsl: 'abs(x)', reference: Math.abs };
const normOf = (gradients: readonly (readonly number[])[]) => Math.sqrt(sumOf(gradients.flat().map((g) => g * g)));
const sumOf = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

interface PlainOptions {
  maxGradientNorm: number;
  decays: readonly number[];
}

const scaleOf = (gradients: readonly (readonly number[])[], { maxGradientNorm }: PlainOptions) =>
  maxGradientNorm > 0 ? Math.min(1, maxGradientNorm / normOf(gradients)) : 1;

/** AdamW as its paper writes it, over plain arrays. */
function plainAdamW(
  start: readonly (readonly number[])[],
  options: PlainOptions & { betas: readonly [number, number] },
) {
  const values = start.map((each) => [...each]);
  const first = start.map((each) => each.map(() => 0));
  const second = start.map((each) => each.map(() => 0));
  const [beta1, beta2] = options.betas;
  return (s: number, rate: number, gradients: readonly (readonly number[])[]): number[][] => {
    const scale = scaleOf(gradients, options);
    for (const [p, value] of values.entries()) {
      for (let i = 0; i < value.length; i++) {
        const g = scale * gradients[p][i];
        first[p][i] += (1 - beta1) * (g - first[p][i]);
        second[p][i] += (1 - beta2) * (g * g - second[p][i]);
        const mean = first[p][i] / (1 - beta1 ** s);
        const variance = second[p][i] / (1 - beta2 ** s);
        value[i] -= rate * options.decays[p] * value[i] + (rate * mean) / (Math.sqrt(variance) + 1e-8);
      }
    }
    return values;
  };
}

function plainSGD(start: readonly (readonly number[])[], options: PlainOptions & { momentum: number }) {
  const values = start.map((each) => [...each]);
  const velocities = start.map((each) => each.map(() => 0));
  return (_s: number, rate: number, gradients: readonly (readonly number[])[]): number[][] => {
    const scale = scaleOf(gradients, options);
    for (const [p, value] of values.entries()) {
      for (let i = 0; i < value.length; i++) {
        velocities[p][i] = options.momentum * velocities[p][i] + scale * gradients[p][i];
        value[i] -= rate * options.decays[p] * value[i] + rate * velocities[p][i];
      }
    }
    return values;
  };
}

function expectNear(
  actual: readonly (readonly number[])[],
  expected: readonly (readonly number[])[],
  tolerance: number,
) {
  expect(actual.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  for (const [p, values] of expected.entries()) {
    for (const [i, value] of values.entries()) {
      const error = Math.abs(actual[p][i] - value) / Math.max(1, Math.abs(value));
      if (!(error <= tolerance)) expect.fail(`parameter ${p}, element ${i}: ${actual[p][i]} instead of ${value}`);
    }
  }
}

const settings: [string, DType, Device, number][] = [
  ['f64 on cpu', 'f64', cpu, 1e-12],
  ['f32 on cpu', 'f32', cpu, 1e-5],
  ...(webgpu ? [['f32 on webgpu', 'f32', webgpu, 1e-5] satisfies [string, DType, Device, number]] : []),
];

describe.each(settings)('%s', (_what, dtype, device, tolerance) => {
  const follow = async (
    optimizer: (bench: Bench) => Optimizer,
    plain: (start: number[][]) => (s: number, rate: number, gradients: number[][]) => number[][],
  ) => {
    const bench = new Bench(device, dtype);
    const made = releaseLater(optimizer(bench));
    const reference = plain(await bench.values());
    for (let s = 1; s <= 8; s++) {
      made.learningRate = 0.1 / s;
      const gradients = bench.gradients(s);
      await bench.step(made, gradients);
      expectNear(await bench.values(), reference(s, 0.1 / s, gradients), tolerance);
    }
    expect(made.steps).toBe(8);
  };

  const variants: [string, AdamWOptions & SGDOptions, readonly number[]][] = [
    ['bare', { learningRate: 0.1 }, [0, 0]],
    ['with decay of the matrix alone', { learningRate: 0.1, weightDecay: 0.2 }, [0.2, 0]],
    ['with a mask of its own', { learningRate: 0.1, weightDecay: 0.2, decays: ({ rank }) => rank === 1 }, [0, 0.2]],
    ['clipped', { learningRate: 0.1, maxGradientNorm: 2 }, [0, 0]],
    [
      'with everything at once',
      { learningRate: 0.1, maxGradientNorm: 2, weightDecay: 0.1, betas: [0.8, 0.95], momentum: 0.9 },
      [0.1, 0],
    ],
  ];

  test.each(variants)('AdamW %s follows the plain formulas', (_variant, { momentum: _, ...options }, decays) =>
    follow(
      ({ parameters }) => new AdamW(parameters, options),
      (start) =>
        plainAdamW(start, {
          maxGradientNorm: options.maxGradientNorm ?? 0,
          decays,
          betas: options.betas ?? [0.9, 0.999],
        }),
    ),
  );

  test.each(variants)('SGD %s follows the plain formulas', (_variant, { betas: _, ...options }, decays) =>
    follow(
      ({ parameters }) => new SGD(parameters, options),
      (start) =>
        plainSGD(start, { maxGradientNorm: options.maxGradientNorm ?? 0, decays, momentum: options.momentum ?? 0 }),
    ),
  );

  test('the report tells step, loss, norm before clipping, and the sums of every gradient', async () => {
    const bench = new Bench(device, dtype);
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.1, maxGradientNorm: 0.01 }));
    const watch = optimizer.watch(magnitude, bench.parameters);
    const near = (actual: number, expected: number) =>
      expect(Math.abs(actual - expected)).toBeLessThanOrEqual(10 * tolerance * Math.abs(expected));
    for (let s = 1; s <= 2; s++) {
      const before = await bench.values();
      const gradients = bench.gradients(s);
      watch.measureNext();
      await bench.step(optimizer, gradients);
      const report = await optimizer.report();
      expect(report.step).toBe(s);
      near(report.gradientNorm, normOf(gradients));
      near(report.loss, sumOf(before.flatMap((values, p) => values.map((value, i) => value * gradients[p][i]))));
      expect(report.squares.size).toBe(2);
      expect([...report.sums.keys()]).toEqual([watch]);
      for (const [p, parameter] of bench.parameters.entries()) {
        near(report.sums.get(watch)!.get(parameter)!, sumOf(gradients[p].map(Math.abs)));
        near(report.squares.get(parameter)!, sumOf(gradients[p].map((g) => g * g)));
      }
    }
  });

  test.each([1, 4095, 4096, 4097, 300_001])(
    'the norm of %i elements is whole, and gone with them when they freeze',
    async (size) => {
      const bench = new Bench(device, dtype, [[size], [3]]);
      const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0 }));
      const gradients = [Array.from({ length: size }, (_, i) => (i % 7) - 3), [1, 2, 3]];
      await bench.step(optimizer, gradients);
      const near = async (norm: number) =>
        expect(Math.abs((await optimizer.report()).gradientNorm / norm - 1)).toBeLessThanOrEqual(tolerance);
      await near(normOf(gradients));
      bench.parameters[0].freeze();
      await bench.step(optimizer, [null, gradients[1]]);
      await near(normOf([gradients[1]]));
    },
  );

  test('the norm of more parameters than a workgroup has threads is whole', async () => {
    const bench = new Bench(device, dtype, new Array<number[]>(70).fill([1]));
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 1, maxGradientNorm: 1 }));
    const before = await bench.values();
    const gradients = bench.parameters.map((_, i) => [i % 5]);
    await bench.step(optimizer, gradients);
    const norm = normOf(gradients);
    expect(Math.abs((await optimizer.report()).gradientNorm / norm - 1)).toBeLessThanOrEqual(tolerance);
    expectNear(
      await bench.values(),
      before.map(([value], i) => [value - gradients[i][0] / norm]),
      tolerance,
    );
  });
});

onEachDevice((device) => {
  test('clipping reads nothing back', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new AdamW(bench.parameters, { learningRate: 0.1, maxGradientNorm: 0.1 }));
    const download = vi.spyOn(device, 'download');
    try {
      for (let s = 1; s <= 3; s++) await bench.step(optimizer, bench.gradients(s));
      expect(download).not.toHaveBeenCalled();
      await optimizer.report();
      expect(download).toHaveBeenCalledTimes(1);
    } finally {
      download.mockRestore();
    }
  });

  test('the report of a step is its own, also when it is read after later steps', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.1 }));
    await bench.step(optimizer, bench.gradients(1));
    const first = optimizer.report();
    await bench.step(optimizer, bench.gradients(3));
    const second = await optimizer.report();
    expect((await first).step).toBe(1);
    expect((await first).gradientNorm).toBeCloseTo(normOf(bench.gradients(1)), 4);
    expect(second.gradientNorm).toBeCloseTo(normOf(bench.gradients(3)), 4);
  });

  test('the loss is NaN where none was handed over, and one of several elements is refused', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.1 }));
    await step(() => {
      backward(bench.loss(bench.gradients(1)));
      optimizer.step();
    });
    expect((await optimizer.report()).loss).toBeNaN();
    const before = await bench.values();
    await step(() => {
      backward(bench.loss(bench.gradients(2)));
      expect(() => optimizer.step(bench.parameters[0])).toThrow(ShapeError);
    });
    expect(await bench.values()).toEqual(before);
    expect(optimizer.steps).toBe(1);
  });

  test('a parameter without a gradient in this step neither moves nor counts', async () => {
    const bench = new Bench(device, 'f32');
    const options = { learningRate: 0.1, weightDecay: 0.1, decays: () => true, maxGradientNorm: 0.1 };
    const optimizer = releaseLater(new AdamW(bench.parameters, options));
    const watch = optimizer.watch(magnitude, bench.parameters);
    await bench.step(optimizer, bench.gradients(3));
    const [, before] = await bench.values();
    const [gradient] = bench.gradients(1);
    watch.measureNext();
    await bench.step(optimizer, [gradient, null]);
    const { gradientNorm, squares, sums } = await optimizer.report();
    expect(gradientNorm).toBeCloseTo(normOf([gradient]), 4);
    expect([...squares.keys()]).toEqual([bench.parameters[0]]);
    expect([...sums.get(watch)!.keys()]).toEqual([bench.parameters[0]]);
    expect((await bench.values())[1]).toEqual(before);
  });

  test('gradients of micro-batches add up, and zeroGradients drops them', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 1 }));
    const before = await bench.values();
    const [a, b] = [bench.gradients(1), bench.gradients(2)];
    await step(() => {
      backward(bench.loss(bench.gradients(3)));
      optimizer.zeroGradients();
      expect(gradientOf(bench.parameters[0])).toBeNull();
      backward(bench.loss(a));
      backward(bench.loss(b));
      optimizer.step();
    });
    const expected = before.map((values, p) => values.map((value, i) => value - a[p][i] - b[p][i]));
    expectNear(await bench.values(), expected, 1e-5);
  });

  test('a parameter listed twice is stepped once', async () => {
    const bench = new Bench(device, 'f32', [[2]]);
    const [p] = bench.parameters;
    const optimizer = releaseLater(new SGD([p, p], { learningRate: 1 }));
    const [[x, y]] = await bench.values();
    await bench.step(optimizer, [[0.5, 0.25]]);
    expect(optimizer.parameters).toEqual([p]);
    expectNear(await bench.values(), [[x - 0.5, y - 0.25]], 1e-6);
  });

  describe.each([
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
  ])('a gradient that is %s', (_what, bad) => {
    const broken = (bench: Bench) => {
      const [first, second] = bench.gradients(2);
      return [first, second.with(3, bad)];
    };

    test.each([
      ['AdamW', (p: readonly Parameter[]) => new AdamW(p, { learningRate: 0.1, weightDecay: 0.1 })],
      ['SGD', (p: readonly Parameter[]) => new SGD(p, { learningRate: 0.1, momentum: 0.9, maxGradientNorm: 1 })],
    ])('stops %s for good, with an error that names parameter and step', async (_optimizer, make) => {
      const bench = new Bench(device, 'f32');
      const optimizer = releaseLater(make(bench.parameters));
      await bench.step(optimizer, bench.gradients(1));
      await optimizer.report();
      const before = await bench.values();
      await bench.step(optimizer, broken(bench));
      expect(await bench.values()).toEqual(before);
      await bench.step(optimizer, broken(bench));
      await bench.step(optimizer, bench.gradients(3));
      expect(await bench.values()).toEqual(before);
      const error: unknown = await optimizer.report().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(NonFiniteGradientError);
      expect(error).toMatchObject({ parameter: 'p1', step: 2, message: expect.stringMatching(/p1.*step 2/) });
    });
  });

  test('a loop that never asks for a report is told of a broken gradient too, and trains on from a state', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new AdamW(bench.parameters, { learningRate: 0.1 }));
    await bench.step(optimizer, bench.gradients(1));
    const state = await optimizer.stateDict();
    const [first, second] = bench.gradients(2);
    const train = async () => {
      for (let i = 2; i <= 18; i++) await bench.step(optimizer, [first, i === 3 ? second.with(0, Number.NaN) : second]);
    };
    await expect(train()).rejects.toMatchObject({ name: 'NonFiniteGradientError', parameter: 'p1', step: 3 });
    // A checkpoint of it would say that steps were made which were not.
    await expect(optimizer.stateDict()).rejects.toMatchObject({ parameter: 'p1', step: 3 });
    expect(optimizer.steps).toBeLessThanOrEqual(17);
    optimizer.loadStateDict(state);
    const before = await bench.values();
    await bench.step(optimizer, bench.gradients(3));
    expect(await bench.values()).not.toEqual(before);
  });

  test.each([
    ['clipped', 1, [0.3, -0.4]],
    ['as it is', 0, [1.5e30, -2e30]],
  ])('a finite gradient whose square no f32 holds is taken %s', async (_how, maxGradientNorm, moved) => {
    const bench = new Bench(device, 'f32', [[1], [1]]);
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.5, maxGradientNorm }));
    const before = (await bench.values()).flat();
    await bench.step(optimizer, [[3e30], [-4e30]]);
    const after = (await bench.values()).flat();
    for (const [i, value] of after.entries()) {
      expect(value).toBeCloseTo(before[i] - moved[i], maxGradientNorm === 0 ? -26 : 5);
    }
    const { gradientNorm, squares } = await optimizer.report();
    expect(gradientNorm / 5e30).toBeCloseTo(1, 5);
    expect([...squares.values()].map((square) => square / 1e60)).toEqual([expect.closeTo(9, 4), expect.closeTo(16, 4)]);
  });

  test('Adam takes a first gradient of any size for its sign', async () => {
    const bench = new Bench(device, 'f32', [[2]]);
    const optimizer = releaseLater(new AdamW(bench.parameters, { learningRate: 0.5 }));
    const [[x, y]] = await bench.values();
    await bench.step(optimizer, [[2e20, -3e38]]);
    expectNear(await bench.values(), [[x - 0.5, y + 0.5]], 1e-5);
  });

  test('of several broken gradients the earliest is named, also after its parameter froze', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.1 }));
    const [first, second] = bench.gradients(1);
    await bench.step(optimizer, [first, second.with(0, Number.NaN)]);
    bench.parameters[1].freeze();
    await bench.step(optimizer, [first.with(0, Number.NaN), null]);
    await expect(optimizer.report()).rejects.toMatchObject({ parameter: 'p1', step: 1 });
  });

  test('state is made with the first step, and release gives everything back', async () => {
    const bench = new Bench(device, 'f32');
    const before = device.memory();
    const optimizer = new AdamW(bench.parameters, { learningRate: 0.1 });
    expect(optimizer.stateBytes).toBe(0);
    await bench.step(optimizer, bench.gradients(1));
    expect(optimizer.stateBytes).toBe(2 * 4 * (15 + 7));
    optimizer.release();
    expect(optimizer.stateBytes).toBe(0);
    expect(device.memory().liveBytes).toBe(before.liveBytes);
    expect(device.memory().liveBuffers).toBe(before.liveBuffers);
  });

  test('parameters of an optimizer that was released still freeze and thaw', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = new AdamW(bench.parameters, { learningRate: 0.1 });
    await bench.step(optimizer, bench.gradients(1));
    optimizer.release();
    for (const parameter of bench.parameters) {
      parameter.freeze();
      parameter.thaw();
    }
    const next = releaseLater(new SGD(bench.parameters, { learningRate: 0.1 }));
    const before = await bench.values();
    await bench.step(next, bench.gradients(2));
    expect(await bench.values()).not.toEqual(before);
  });

  test.each<[string, RegExp, (parameters: readonly Parameter[]) => Optimizer]>([
    ['no parameters', /AdamW.*no parameters/, () => new AdamW([], { learningRate: 0.1 })],
    ['a negative rate', /AdamW.*learningRate -1/, (p) => new AdamW(p, { learningRate: -1 })],
    ['a rate of NaN', /SGD.*learningRate NaN/, (p) => new SGD(p, { learningRate: Number.NaN })],
    ['an infinite rate', /SGD.*learningRate Inf/, (p) => new SGD(p, { learningRate: Number.POSITIVE_INFINITY })],
    ['a negative norm', /maxGradientNorm -1/, (p) => new AdamW(p, { learningRate: 1, maxGradientNorm: -1 })],
    ['a negative decay', /weightDecay -0.1/, (p) => new AdamW(p, { learningRate: 1, weightDecay: -0.1 })],
    ['a decay above 1', /weightDecay 2/, (p) => new SGD(p, { learningRate: 1, weightDecay: 2 })],
    ['a first beta of 1', /betas\[0\] 1/, (p) => new AdamW(p, { learningRate: 1, betas: [1, 0.9] })],
    ['a second beta below 0', /betas\[1\] -0.1/, (p) => new AdamW(p, { learningRate: 1, betas: [0.9, -0.1] })],
    ['a module', /AdamW: the parameters are Linear \(allowed: a list/, () => Reflect.construct(AdamW, [linear, {}])],
    ['other tensors', /SGD: element 0 of the parameters is none/, () => Reflect.construct(SGD, [[plainTensor], {}])],
    ['an epsilon that no f32 holds', /epsilon 1e-50/, (p) => new AdamW(p, { learningRate: 1, epsilon: 1e-50 })],
    ['an epsilon of 0', /epsilon 0/, (p) => new AdamW(p, { learningRate: 1, epsilon: 0 })],
    ['a momentum of 1', /SGD.*momentum 1/, (p) => new SGD(p, { learningRate: 1, momentum: 1 })],
  ])('%s is refused by name, and leaves nothing behind', (_what, message, make) => {
    const bench = new Bench(device, 'f32');
    const before = device.memory().liveBuffers;
    expect(() => make(bench.parameters)).toThrow(ArgumentError);
    expect(() => make(bench.parameters)).toThrow(message);
    expect(device.memory().liveBuffers).toBe(before);
  });

  test('groups have a rate and a decay of their own, also beside a frozen parameter and after a resume', async () => {
    const bench = new Bench(device, 'f32', [[2], [2], [2, 2]]);
    const [bias, slow, matrix] = bench.parameters;
    const make = () =>
      releaseLater(
        new AdamW(
          [
            { parameters: [bias], weightDecay: 0.5 },
            { parameters: [slow, matrix], rateFactor: 0.1 },
          ],
          {
            learningRate: 0.2,
            weightDecay: 0.25,
          },
        ),
      );
    const optimizer = make();
    const before = await bench.values();
    const signs = [
      [1, -1],
      [1, -1],
      [1, -1, 1, -1],
    ];
    await bench.step(optimizer, signs);
    const moved = (rate: number, decay: number) => (value: number, i: number) =>
      value * (1 - rate * decay) - rate * (i % 2 === 0 ? 1 : -1);
    const [first, second, third] = before;
    expectNear(
      await bench.values(),
      [first.map(moved(0.2, 0.5)), second.map(moved(0.02, 0)), third.map(moved(0.02, 0.25))],
      1e-5,
    );
    slow.freeze();
    const frozen = (await bench.values())[1];
    await bench.step(optimizer, [[1, 1], null, [1, 1, 1, 1]]);
    const [state, kept] = [await optimizer.stateDict(), await bench.values()];
    expect(kept[1]).toEqual(frozen);
    await bench.step(optimizer, [[1, 1], null, [1, 1, 1, 1]]);
    const undisturbed = await bench.values();
    bench.parameters.forEach((parameter, i) => {
      scope('reset', () =>
        copyInto(
          tensor(kept[i], { device, shape: parameter.shape.length === 2 ? [4] : [2] }).reshape(parameter.shape),
          parameter,
          parameter.strides,
        ),
      );
    });
    const resumed = make();
    resumed.loadStateDict(state);
    await bench.step(resumed, [[1, 1], null, [1, 1, 1, 1]]);
    expect(await bench.values()).toEqual(undisturbed);
  });

  test('groups that overlap, or say what no group has, are refused by name', () => {
    const [p] = new Bench(device, 'f32').parameters;
    const made = (groups: unknown) => () => Reflect.construct(AdamW, [groups, { learningRate: 1 }]);
    expect(made([{ parameters: [p] }, { parameters: [p] }])).toThrow(/AdamW: p0 is in two groups/);
    expect(made([{ parameters: [p], lr: 1 }])).toThrow(
      /AdamW: a group: there is no option 'lr' \(allowed: parameters, rateFactor, weightDecay\)/,
    );
    expect(made([{ parameters: [p], rateFactor: -1 }])).toThrow(/rateFactor -1/);
    expect(made([{ parameters: [] }])).toThrow(/no parameters/);
    expect(made([p, { parameters: [p] }])).toThrow(/element 1 of the parameters is none/);
  });

  test('a rate set later is checked, and the old one stays', () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 0.5 }));
    expect(() => {
      optimizer.learningRate = -1;
    }).toThrow(ArgumentError);
    expect(optimizer.learningRate).toBe(0.5);
  });

  test('parameters of two devices are refused', () => {
    const here = new Bench(device, 'f32', [[1]]).parameters;
    const there = new Bench(new CpuDevice(), 'f32', [[1]]).parameters;
    expect(() => new SGD([...here, ...there], { learningRate: 1 })).toThrow(DeviceMismatchError);
  });

  test('a step without any gradient is an error, and counts as none', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 1, weightDecay: 0.5 }));
    const before = await bench.values();
    await expect(
      step(() =>
        noGrad(() => {
          optimizer.step(bench.loss(bench.gradients(1)));
        }),
      ),
    ).rejects.toThrow(/none of the \d+ parameters that train has a gradient/);
    expect(await bench.values()).toEqual(before);
    expect(optimizer.steps).toBe(0);
  });

  test('outside of step(), gradients that an optimizer has used are not added to', async () => {
    const bench = new Bench(device, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 1 }));
    backward(bench.loss(bench.gradients(1)));
    backward(bench.loss(bench.gradients(2)));
    optimizer.step();
    expect(() => backward(bench.loss(bench.gradients(3)))).toThrow(
      /used by an optimizer already.*step\(\).*zeroGradients/,
    );
    optimizer.zeroGradients();
    backward(bench.loss(bench.gradients(3)));
    optimizer.step();
    expect((await optimizer.report()).step).toBe(2);
    optimizer.zeroGradients();
  });
});

onEachDevice((device) => {
  test('a step is read back once, however often its report is asked for', async () => {
    const training = new Training(device);
    const download = vi.spyOn(device, 'download');
    await training.step(1);
    const reports = await Promise.all([training.optimizer.report(), training.optimizer.report()]);
    expect(download).toHaveBeenCalledTimes(1);
    expect(reports[0]).toBe(reports[1]);
    await training.step(2);
    expect((await training.optimizer.report()).step).toBe(2);
    expect(download).toHaveBeenCalledTimes(2);
    download.mockRestore();
  });
});

onEachDevice((device) => {
  test('a NaN among the weights is told, whatever the layers are', async () => {
    const random = new Random(1);
    for (const layer of [relu, gelu, (x: Tensor) => max(x, { axes: -1, keepDims: true }), softmax, silu]) {
      const model = new Sequential(new Linear(4, 4, { device, random }), layer);
      const state = await model.stateDict();
      state['layers.0.weight'].data[5] = Number.NaN;
      model.loadStateDict(state);
      const optimizer = releaseLater(new SGD(model.parameters().map(releaseLater), { learningRate: 1 }));
      await step(async () => {
        const output = model.call(ones([2, 4], { device }));
        const loss = sum(mul(output, output));
        expect(await loss.item()).toBeNaN();
        backward(loss);
        optimizer.step(loss);
      });
      await expect(optimizer.report()).rejects.toThrow(NonFiniteGradientError);
    }
  });
});

onEachDevice((device) => {
  /** Makes two steps; allocation `failing` in `optimizer.step` of step `inStep` fails once, and that step is made again. */
  async function run(kind: 'AdamW' | 'SGD', inStep: number, failing: number) {
    const random = new Random(1);
    const model = new Sequential(new Linear(6, 5, { device, random }), relu, new Linear(5, 3, { device, random }));
    const parameters = model.parameters().map(releaseLater);
    const options = { learningRate: 0.1, maxGradientNorm: 0.5, weightDecay: 0.1 };
    const optimizer = releaseLater(
      kind === 'AdamW' ? new AdamW(parameters, options) : new SGD(parameters, { ...options, momentum: 0.9 }),
    );
    const watches = [splitHalf, gradientChange, weightChange].map((sum) => optimizer.watch(sum, parameters));
    const held = async () => ({
      values: await valuesOf(...parameters),
      state: optimizer.steps > 0 ? await optimizer.stateDict() : null,
      steps: optimizer.steps,
      bytes: optimizer.stateBytes,
    });
    const { allocate } = device;
    let failed = false;
    const advance = async (fails: boolean) => {
      const before = await held();
      await step(async () => {
        for (const watch of watches) watch.measureNext();
        const loss = model
          .call(normal([4, 6], { device, random: new Random(3) }))
          .pow(2)
          .mean();
        // One gradient is a view of strides 0.
        backward(add(loss, mul(sum(parameters[1]), 0.01)));
        let count = 0;
        device.allocate = (bytes, operation) => {
          count++;
          if (fails && count === failing) throw new OutOfMemoryError(`${operation}: no more`);
          return allocate.call(device, bytes, operation);
        };
        try {
          optimizer.step(loss);
        } catch (error) {
          if (!(error instanceof OutOfMemoryError)) throw error;
          failed = true;
        } finally {
          device.allocate = allocate;
        }
      });
      if (failed && fails) {
        expect(await held()).toEqual(before);
        await advance(false);
      }
    };
    for (const s of [1, 2]) await advance(s === inStep);
    const { step: at, loss, gradientNorm, sums } = await optimizer.report();
    const report = { at, loss, gradientNorm, sums: [...sums.values()].map((each) => [...each.values()]) };
    return { failed, end: { ...(await held()), report } };
  }

  test.each(['AdamW', 'SGD'] as const)('%s: what runs out of memory is no step at all', async (kind) => {
    const undisturbed = await run(kind, 0, 0);
    for (const inStep of [1, 2]) {
      for (let failing = 1, failed = true; failed; failing++) {
        const found = await run(kind, inStep, failing);
        failed = found.failed;
        expect(found.end).toEqual(undisturbed.end);
        if (inStep === 1) expect(failed || failing > 4).toBe(true);
      }
    }
  });
});

onEachDevice((device) => {
  test('a backward pass that failed half-way leaves no half of a gradient, also where others had gone well', async () => {
    const parameters = ['a', 'b'].map((name) => {
      const parameter = releaseLater(new Parameter(ones([2, 2], { device }), 'weight'));
      parameter.rename(name);
      return parameter;
    });
    const [a, b] = parameters;
    const optimizer = releaseLater(new SGD(parameters, { learningRate: 0.5 }));
    // In halves, which a batch of one does not have: its pass reaches b and fails at a.
    const end = a.leaf.requestHalves();
    const pass = (batch: number) =>
      backward(add(sum(b), sum(matmul(matmul(ones([batch, 2], { device }), a), ones([2, 2], { device })))));
    const onA = () => backward(sum(matmul(ones([1, 2], { device }), a)));
    const odd = 'a was asked for in two halves';
    await step(() => {
      expect(() => pass(1)).toThrow(odd);
      expect(parameters.map(gradientOf)).toEqual([null, null]);
      expect(() => optimizer.step()).toThrow('none of the 2 parameters');
    });
    for (const again of [false, true]) {
      await step(() => {
        pass(2);
        expect(onA).toThrow(odd);
        if (again) pass(2);
        expect(() => optimizer.step()).toThrow(/a backward pass of this step failed.* left for a\./);
      });
    }
    expect(optimizer.steps).toBe(0);
    expect(await valuesOf(a, b)).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ]);
    const right = [
      [-1, -1, -1, -1],
      [0.5, 0.5, 0.5, 0.5],
    ];
    await step(async () => {
      expect(() => pass(1)).toThrow(odd);
      pass(2);
      optimizer.step();
      expect(await valuesOf(a, b)).toEqual(right);
    });
    await step(async () => {
      pass(2);
      expect(onA).toThrow(odd);
      optimizer.zeroGradients();
      pass(2);
      optimizer.step();
      expect((await valuesOf(b))[0]).toEqual([0, 0, 0, 0]);
    });
    end();
  });
});

test('gradients that ended with their step, unused, are told once', async () => {
  const warn = vi.spyOn(platform, 'warn').mockImplementation(() => {});
  try {
    const bench = new Bench(cpu, 'f32');
    const optimizer = releaseLater(new SGD(bench.parameters, { learningRate: 1 }));
    const passes = (count: number) =>
      step(() => Array.from({ length: count }, () => backward(bench.loss(bench.gradients(1)))));
    const use = () => bench.step(optimizer, bench.gradients(2));
    await use();
    await use();
    await passes(2);
    optimizer.zeroGradients();
    await use();
    expect(warn).not.toHaveBeenCalled();
    await passes(1);
    await use();
    await passes(1);
    await use();
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0][0]).toMatch(
      /^optimizer.step: gradients of backward passes in earlier steps were dropped/,
    );
  } finally {
    warn.mockRestore();
  }
});
