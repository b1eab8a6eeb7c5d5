import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  AdamW,
  ArgumentError,
  type Device,
  Embedding,
  Linear,
  Module,
  mul,
  noGrad,
  PaperVersion3,
  Parameter,
  ParameterRegistry,
  Random,
  readCheckpoint,
  readSafetensors,
  Sequential,
  ShapeError,
  type StateDict,
  step,
  type Tensor,
  Training,
  tensor,
  writeCheckpoint,
  writeSafetensors,
} from '../../src/index.ts';
import { platform } from '../../src/tensor/platform/platform.ts';
import { cpu, onEachDevice, ownDevices } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { releaseMade, tinyBatch, tinyModel } from './tiny.ts';

afterEach(releaseMade);

class Scale extends Module {
  readonly factor: Parameter;

  constructor(factor: Parameter) {
    super();
    this.factor = factor;
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.factor);
  }
}

/** Sub-modules in properties, in arrays and in arrays of arrays, a parameter of its own, and one held twice. */
class Nested extends Module {
  readonly first: Linear;
  readonly absent: Linear | null = null;
  readonly label = 'no parameter';
  readonly layers: Module[];
  readonly grid: Module[][];
  readonly own: Parameter;
  readonly parametersInArray: Parameter[];

  constructor(device: Device) {
    super();
    const options = { device, random: new Random(3) };
    const make = (value: number) => new Parameter(tensor([value], { device }), 'weight');
    this.first = new Linear(2, 2, { ...options, bias: true });
    const shared = make(2);
    this.layers = [new Scale(shared), new Linear(2, 3, options), new Scale(shared)];
    this.grid = [[new Scale(make(3))], [new Scale(make(4))]];
    this.own = make(5);
    this.parametersInArray = [make(6)];
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => layer.call(value), this.first.call(x));
  }
}

function rootMeanSquare(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((total, value) => total + value * value, 0) / values.length);
}

// Of their own: what other tests leave to the garbage collector would change the numbers.
onEachDevice(
  (device) => {
    test('a call keeps its output and nothing else where no graph is recorded', async () => {
      const model = tinyModel(device);
      await step(() => {
        const { tokens } = tinyBatch(device, 1);
        // The table of rotary angles is made once for a device.
        noGrad(() => model.call(tokens)).release();
        const before = device.memory();
        const logits = noGrad(() => model.call(tokens));
        const after = device.memory();
        expect(after.liveBytes - before.liveBytes).toBe(logits.byteLength);
        expect(after.liveBuffers - before.liveBuffers).toBe(1);
      });
    });

    test('a call under gradients keeps what the graph saved, and the step gives it back', async () => {
      const model = tinyModel(device);
      await step(() => noGrad(() => model.call(tinyBatch(device, 1).tokens)));
      const before = device.memory();
      await step(() => {
        const logits = model.call(tinyBatch(device, 1).tokens);
        expect(device.memory().liveBytes - before.liveBytes).toBeGreaterThan(2 * logits.byteLength);
      });
      expect(device.memory().liveBytes).toBe(before.liveBytes);
      expect(device.memory().liveBuffers).toBe(before.liveBuffers);
    });
  },
  await ownDevices(),
);

onEachDevice((device) => {
  test('parameters are named by the path to them, and a shared one is listed once', () => {
    const model = new Nested(device);
    const parameters = model.namedParameters();
    expect([...parameters.keys()]).toEqual([
      'first.weight',
      'first.bias',
      'layers.0.factor',
      'layers.1.weight',
      'grid.0.0.factor',
      'grid.1.0.factor',
      'own',
      'parametersInArray.0',
    ]);
    for (const [name, parameter] of parameters) expect(parameter.name).toBe(name);
    expect(model.parameters()).toEqual([...parameters.values()]);
    for (const parameter of parameters.values()) parameter.release();
  });

  test('train and eval reach the modules in properties and arrays', () => {
    const model = new Nested(device);
    const parts = [model, model.first, ...model.layers, ...model.grid.flat()];
    expect(parts.every(({ training }) => training)).toBe(true);
    expect(model.eval()).toBe(model);
    expect(parts.some(({ training }) => training)).toBe(false);
    expect(model.train()).toBe(model);
    expect(parts.every(({ training }) => training)).toBe(true);
    for (const parameter of model.parameters()) parameter.release();
  });

  describe('the state dict', () => {
    const load = (model: Module, change: (state: StateDict) => void) => async () => {
      const state = await model.stateDict();
      for (const entry of Object.values(state)) entry.data.fill(9);
      change(state);
      model.loadStateDict(state);
    };

    test('a round trip gives the same model, bit for bit, frozen parameters too', async () => {
      const source = tinyModel(device, { seed: 1, normalization: 'layer', positions: { learned: 6 } });
      const target = tinyModel(device, { seed: 2, normalization: 'layer', positions: { learned: 6 } });
      target.tokens.table.freeze();
      const state = await source.stateDict();
      expect(state['blocks.1.feedForward.down.weight'].shape).toEqual([12, 8]);
      expect(await target.stateDict()).not.toEqual(state);
      target.loadStateDict(state);
      expect(await target.stateDict()).toEqual(state);
      expect(target.tokens.table.isFrozen).toBe(true);
      await step(async () => {
        const { tokens } = tinyBatch(device, 1);
        expect(await target.call(tokens).toArray()).toEqual(await source.call(tokens).toArray());
      });
    });

    test('a state survives JSON and goes to another device and dtype', async () => {
      const source = tinyModel(device);
      const target = tinyModel(cpu, { seed: 2, dtype: 'f64' });
      const state = await source.stateDict();
      target.loadStateDict(state);
      const copied = await target.stateDict();
      for (const [name, { data }] of Object.entries(state)) {
        expect(Array.from(copied[name].data)).toEqual(Array.from(data));
      }
    });

    test.each([
      [
        'a missing name',
        ArgumentError,
        /missing: first\.bias/,
        (state: StateDict) => Reflect.deleteProperty(state, 'first.bias'),
      ],
      [
        'an unknown name',
        ArgumentError,
        /unknown: second/,
        (state: StateDict) => Object.assign(state, { second: state['first.bias'] }),
      ],
      [
        'another shape',
        ShapeError,
        /layers\.1\.weight.*\[2, 3\].*\[3, 2\]/,
        (state: StateDict) => Object.assign(state['layers.1.weight'], { shape: [3, 2] }),
      ],
      [
        'too few values',
        ShapeError,
        /layers\.1\.weight/,
        (state: StateDict) => Object.assign(state['layers.1.weight'], { data: new Float32Array(5) }),
      ],
    ])('%s is a named error and changes nothing', async (_what, kind, message, change) => {
      const model = new Nested(device);
      const before = await model.stateDict();
      const attempt = load(model, change);
      await expect(attempt()).rejects.toThrow(kind);
      await expect(attempt()).rejects.toThrow(message);
      expect(await model.stateDict()).toEqual(before);
      for (const parameter of model.parameters()) parameter.release();
    });
  });

  test('the initial values have the deviation asked for and depend on the seed alone', async () => {
    const make = (seed: number) => new Linear(100, 60, { device, random: new Random(seed), bias: true });
    const [a, b, other] = [make(1), make(1), make(2)];
    const data = await a.weight.data();
    expect(rootMeanSquare(data)).toBeCloseTo(0.1, 2);
    expect(await b.weight.data()).toEqual(data);
    expect(await other.weight.data()).not.toEqual(data);
    expect(Array.from((await a.bias?.data()) ?? [])).toEqual(new Array(60).fill(0));
    const table = new Embedding(60, 100, { device, random: new Random(1), deviation: 0.02 });
    expect(rootMeanSquare(await table.table.data())).toBeCloseTo(0.02, 3);
    for (const module of [a, b, other, table]) for (const parameter of module.parameters()) parameter.release();
  });
});

describe('where parameters are found and what they are called', () => {
  const factor = () => new Parameter(tensor([2], { device: cpu }), 'weight');

  class Nested extends Module {
    readonly parts = { first: new Scale(factor()), others: [new Scale(factor())] };
    self: Module = this;

    forward(x: Tensor): Tensor {
      return this.parts.first.call(x);
    }
  }

  test('in plain objects and arrays, and not for ever in circles', () => {
    const model = new Nested();
    expect([...model.namedParameters().keys()]).toEqual(['parts.first.factor', 'parts.others.0.factor']);
    expect(model.eval().parts.others[0].training).toBe(false);
  });

  test('in maps and sets; a field written #field hides what it holds, and that is told where it is called', () => {
    class Hiding extends Module {
      readonly byName = new Map<string | number, Module>([
        ['first', new Scale(factor())],
        [2, new Scale(factor())],
      ]);
      readonly several = new Set([new Scale(factor())]);
      readonly #hidden = new Scale(factor());
      readonly #frozen = new Scale(factor());

      constructor() {
        super();
        this.#frozen.factor.freeze();
      }

      forward(x: Tensor): Tensor {
        const layers = [...this.byName.values(), ...this.several, this.#hidden, this.#frozen];
        return layers.reduce((value, layer) => layer.call(value), x);
      }
    }
    const warn = vi.spyOn(platform, 'warn').mockImplementation(() => {});
    const model = new Hiding();
    expect([...model.namedParameters().keys()]).toEqual(['byName.first.factor', 'byName.2.factor', 'several.0.factor']);
    const x = tensor([1], { device: cpu });
    noGrad(() => model.call(x));
    expect(warn).not.toHaveBeenCalled();
    for (let i = 0; i < 3; i++) new Sequential(model).call(x);
    model.call(x);
    expect(warn.mock.calls.map(([text]) => text.slice(0, 40))).toEqual([
      'Sequential: it calls a Scale that it doe',
      'Sequential: it calls a Scale that it doe',
      'Sequential: it calls a Scale that it doe',
      'Hiding: it calls a Scale that it does no',
    ]);
    warn.mockRestore();
  });

  test.each([
    [
      'keys that are one text',
      () =>
        new Map<unknown, Module>([
          [1, new Scale(factor())],
          ['1', new Scale(factor())],
        ]),
    ],
    [
      'keys that are objects',
      () =>
        new Map<unknown, Module>([
          [{}, new Scale(factor())],
          [{}, new Scale(factor())],
        ]),
    ],
    ['a key that looks like a path', () => ({ 'a.factor': factor(), a: new Scale(factor()) })],
    [
      'modules without parameters',
      () =>
        new Map<unknown, Module>([
          [1, new Sequential()],
          ['1', new Sequential()],
        ]),
    ],
  ])('two with one path are refused, as one of them would be lost: %s', (_, parts) => {
    class Holder extends Scale {
      readonly parts = parts();
    }
    const model = new Holder(factor());
    const list = () => [model.namedParameters(), model.namedModules()];
    expect(list).toThrow(ArgumentError);
    expect(list).toThrow(/two of one model have the path 'parts\./);
  });

  test('a constant is not called as a parameter is', async () => {
    class Constant extends Scale {
      override constants() {
        return { factor: 1 };
      }
    }
    await expect(new Constant(factor()).stateDict()).rejects.toThrow("constants: 'factor' is a parameter too");
  });

  test('names that objects have of themselves are names like others', async () => {
    const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'length', ''];
    class Odd extends Module {
      override namedParameters() {
        return this.own;
      }
      readonly own = new Map(
        names.map((name) => {
          const parameter = factor();
          parameter.rename(name);
          return [name, parameter];
        }),
      );

      forward(x: Tensor): Tensor {
        return [...this.own.values()].reduce((value, each) => mul(value, each), x);
      }
    }
    const path = join(temporaryFolder(), 'odd.safetensors');
    const build = () => {
      const model = new Odd();
      const optimizer = new AdamW(model.parameters(), { learningRate: 0.1 });
      const registry = new ParameterRegistry(model);
      const policies = [new PaperVersion3(registry, optimizer, { steps: 3, threshold: 1e-9, watch: () => true })];
      const loss = () => model.call(tensor([1], { device: cpu })).sum();
      return { model, registry, training: new Training({ model, optimizer, steps: 3, registry, policies, loss }) };
    };
    const [first, second] = [build(), build()];
    await first.training.advance();
    first.registry.freeze(first.registry.get('__proto__'), { step: 1, reason: 'it is asked for' });
    await writeCheckpoint(path, await first.training.save());
    await second.training.restore(await readCheckpoint(path));
    expect(second.registry.active().map(({ name }) => name)).toEqual(names.filter((name) => name !== '__proto__'));
    for (const { training } of [first, second]) await training.run();
    const [one, other] = [await first.model.stateDict(), await second.model.stateDict()];
    expect(Object.keys(one).sort()).toEqual([...names].sort());
    expect(Object.entries(other)).toEqual(Object.entries(one));
    const { state } = readSafetensors(writeSafetensors(one));
    expect(Object.keys(state).sort()).toEqual([...names].sort());
    expect(() => second.model.loadStateDict({})).toThrow(/missing: constructor, __proto__, toString/);
  });

  test('a part that lists its own parameters does not rename them', () => {
    const model = new Nested();
    const [parameter] = model.parameters();
    model.parts.first.parameters();
    expect(parameter.name).toBe('parts.first.factor');
  });

  test('a parameter is not made from another', () => {
    const parameter = factor();
    expect(() => new Parameter(parameter, 'weight')).toThrow(/is one already/);
    expect(parameter.isReleased).toBe(false);
  });
});

test('a module as text is its parameters', () => {
  const random = new Random(1);
  const model = new Sequential(
    new Linear(2, 3, { random, device: cpu, bias: true }),
    new Scale(new Parameter(tensor([2], { device: cpu }), 'norm')),
  );
  model.parameters()[0].freeze();
  const text = `Sequential of 10 numbers
  layers.0.weight: f32 [2, 3], frozen
  layers.0.bias: f32 [3]
  layers.1.factor: f32 [1]`;
  expect(String(model)).toBe(text);
  expect(inspect(model)).toBe(text);
});
