import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  concatenate,
  type Device,
  forget,
  gradcheck,
  keep,
  max,
  mean,
  normal,
  Random,
  requireGradient,
  step,
  swiglu,
  type Tensor,
} from '../../src/index.ts';
import { cpu, onEachDevice, onWebGpu } from '../devices.ts';
import { expectClose, random, runs } from '../shapes.ts';

/** One operation of a random graph over 3 × 3 matrices: it takes earlier values, so most values are used many times. */
const steps = {
  add: (x, y) => x.add(y),
  sub: (x, y) => x.sub(y),
  mul: (x, y) => x.mul(y).mul(0.5),
  tanh: (x) => x.tanh(),
  sigmoid: (x) => x.sigmoid(),
  swiglu: (x, y) => swiglu(x.tanh(), y),
  matmul: (x, y) => x.matmul(y).mul(0.3),
  transposed: (x, y) => x.transpose().add(y),
  broadcast: (x, y) => x.sub(mean(y, { axes: 0 })),
  column: (x, y) => x.mul(y.slice([0, 1], [3, 2])),
  // Twice the same gradient buffer, and parts of one.
  twice: (x) => x.add(x),
  joined: (x, y) => concatenate([x, y]).slice([1], [4]),
  folded: (x, y) => concatenate([x, y.reshape([9]).reshape([3, 3])], 1).slice([0, 2], [3, 5]),
  largest: (x, y) => x.mul(max(y, { axes: 1, keepDims: true }).tanh()),
} satisfies Record<string, (x: Tensor, y: Tensor) => Tensor>;

type StepName = keyof typeof steps;
const names: StepName[] = [
  'add',
  'sub',
  'mul',
  'tanh',
  'sigmoid',
  'swiglu',
  'matmul',
  'transposed',
  'broadcast',
  'column',
  'twice',
  'joined',
  'folded',
  'largest',
];

interface Graph {
  operations: { name: StepName; left: number; right: number }[];
  seed: number;
}

const graphs: fc.Arbitrary<Graph> = fc.record({
  operations: fc.array(
    fc.record({ name: fc.constantFrom(...names), left: fc.nat({ max: 99 }), right: fc.nat({ max: 99 }) }),
    {
      minLength: 1,
      maxLength: 10,
    },
  ),
  seed: fc.nat({ max: 1000 }),
});

/** All values of the graph, summed up, so that none is without use. */
function evaluate({ operations }: Graph, leaves: readonly Tensor[]): Tensor {
  const values = [...leaves];
  for (const { name, left, right } of operations) {
    values.push(steps[name](values[left % values.length], values[right % values.length]));
  }
  return values.reduce((total, value) => total.add(value));
}

function leavesOf({ seed }: Graph, device: Device): Tensor[] {
  return [0, 1].map((i) => random([3, 3], { seed: seed + i, device, dtype: device === cpu ? 'f64' : 'f32' }));
}

test('every operation of the random graphs is among those drawn', () => {
  expect(names.toSorted()).toEqual(Object.keys(steps).toSorted());
});

test('random graphs with shared nodes agree with central differences in f64', async () => {
  const property = fc.asyncProperty(graphs, async (graph) => {
    await gradcheck((...leaves) => evaluate(graph, leaves), leavesOf(graph, cpu), {
      elements: 5,
      relativeTolerance: 1e-4,
      absoluteTolerance: 1e-6,
    });
  });
  await fc.assert(property, runs(60));
});

describe('the same on both devices', () => {
  onWebGpu((webgpu) => {
    test('random graphs give the gradients of the reference', async () => {
      const property = fc.asyncProperty(graphs, (graph) =>
        step(async () => {
          const [expected, actual] = [cpu, webgpu].map((device) => {
            const leaves = leavesOf(graph, device).map((leaf) => requireGradient(leaf));
            evaluate(graph, leaves).tanh().sum().backward();
            return leaves;
          });
          for (const [i, leaf] of expected.entries()) {
            const { gradient } = actual[i];
            if (!leaf.gradient || !gradient) expect.fail('no gradient');
            await expectClose(gradient, leaf.gradient, { absolute: 1e-4, relative: 1e-4 });
          }
        }),
      );
      await fc.assert(property, runs(20));
    });
  });
});

onEachDevice((device) => {
  test('x + x, a diamond, and a diamond of diamonds', async () => {
    const cases: [(x: Tensor) => Tensor, (x: number) => number][] = [
      [(x) => x.add(x), () => 2],
      [(x) => x.mul(2).add(x.mul(3)), () => 5],
      [
        (x) => {
          const a = x.mul(x);
          const b = a.mul(2).add(a.mul(3));
          return b.mul(b).add(b);
        },
        (x) => (10 * x * x + 1) * 10 * x,
      ],
    ];
    for (const [f, derivative] of cases) {
      await step(async () => {
        const x = requireGradient(random([5], { seed: 1, device }));
        f(x).sum().backward();
        const expected = Float32Array.from(await x.data(), derivative);
        const actual = await x.gradient?.data();
        for (const [i, value] of expected.entries()) expect(actual?.[i]).toBeCloseTo(value, 4);
      });
    }
  });

  test('training twice from one seed is the same to the last bit, and another seed is not', async () => {
    const train = async (seed: number) => {
      const source = new Random(seed);
      let weights = [
        [6, 8],
        [8, 3],
      ].map((shape) => normal(shape, { random: source, deviation: 0.5, device }));
      const history: unknown[] = [];
      for (let i = 0; i < 8; i++) {
        await step(async () => {
          for (const weight of weights) requireGradient(weight);
          const x = normal([16, 6], { random: source, device });
          const loss = x.matmul(weights[0]).tanh().matmul(weights[1]).sigmoid().mean();
          loss.backward();
          weights = weights.map((weight, n) => keep(`weight ${n}`, weight.sub(weight.gradient?.mul(0.5) ?? 0)));
          history.push(await loss.data(), ...(await Promise.all(weights.map((weight) => weight.data()))));
        });
      }
      return history;
    };
    const first = await train(7);
    expect(await train(7)).toEqual(first);
    expect(await train(8)).not.toEqual(first);
    for (const name of ['weight 0', 'weight 1']) forget(name);
  });
});
