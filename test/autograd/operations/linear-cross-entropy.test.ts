import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backward } from '../../../src/autograd/backward.ts';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { dropGradient, gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import { LeafNode } from '../../../src/autograd/node.ts';
import { type CrossEntropyOptions, crossEntropy } from '../../../src/autograd/operations/cross-entropy.ts';
import {
  type LinearCrossEntropyOptions,
  linearCrossEntropy,
  rowsOfChunk,
} from '../../../src/autograd/operations/linear-cross-entropy.ts';
import { matmul } from '../../../src/autograd/operations/matmul/matmul.ts';
import { add, mul } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { transpose } from '../../../src/autograd/operations/views.ts';
import { noGrad } from '../../../src/autograd/record.ts';
import { tensor } from '../../../src/tensor/create.ts';
import { type Device, snapshotWork, workSince } from '../../../src/tensor/device.ts';
import { ArgumentError, BackwardError, ShapeError } from '../../../src/tensor/errors.ts';
import { Random } from '../../../src/tensor/random.ts';
import { step } from '../../../src/tensor/scope.ts';
import { copy, type Tensor } from '../../../src/tensor/tensor.ts';
import { cpu, onEachDevice, ownDevices, reference } from '../../devices.ts';
import { expectClose, inLayout, random, runs } from '../../shapes.ts';
import { leaf } from './agreement.ts';

/** What a head is, and how it is asked for its loss. */
interface Case {
  batch: number;
  time: number;
  width: number;
  classes: number;
  isTransposed: boolean;
  hasBias: boolean;
  rank: number;
  settings: Required<CrossEntropyOptions>;
  chunkRows: number;
  /** How many of four targets do not count. */
  ignored: number;
  onHost: boolean;
  isPermuted: boolean;
  seed: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  batch: fc.constantFrom(1, 2, 3),
  time: fc.constantFrom(1, 3, 5),
  width: fc.constantFrom(1, 4, 7),
  classes: fc.constantFrom(1, 2, 5, 68),
  isTransposed: fc.boolean(),
  hasBias: fc.boolean(),
  rank: fc.constantFrom(0, 2),
  settings: fc.record({
    ignoreIndex: fc.constantFrom(-100, 0),
    reduction: fc.constantFrom('mean', 'sum', 'none'),
    labelSmoothing: fc.constantFrom(0, 0.1),
  }),
  chunkRows: fc.constantFrom(1, 2, 4, 64),
  ignored: fc.constantFrom(0, 1, 3, 4),
  onHost: fc.boolean(),
  isPermuted: fc.boolean(),
  seed: fc.nat({ max: 1000 }),
});

function targetsOf({ batch, time, classes, settings, ignored, onHost, seed }: Case, device: Device): Tensor {
  const source = new Random(seed);
  const draw = () => (source.uniform() < ignored / 4 ? settings.ignoreIndex : source.integer(classes));
  const made = tensor(Int32Array.from({ length: batch * time }, draw), { device, shape: [batch, time] });
  return onHost ? made : copy(made);
}

/** The operands of a case, as leaves that need gradients. */
function leavesOf(
  { batch, time, width, classes, isTransposed, hasBias, rank, isPermuted, seed }: Case,
  device: Device,
) {
  const of = (shape: number[], number: number) => leaf(shape, { seed: seed + number, device });
  return {
    x: of(isPermuted ? [width, time, batch] : [batch, time, width], 1),
    weight: of(isTransposed ? [classes, width] : [width, classes], 2),
    bias: hasBias ? of([classes], 3) : null,
    lowRank: rank > 0 ? ([of([batch, time, rank], 4), of([rank, classes], 5)] as const) : null,
  };
}

type Operands = ReturnType<typeof leavesOf>;
const list = ({ x, weight, bias, lowRank }: Operands) =>
  [x, weight, bias, ...(lowRank ?? [])].filter((each) => each !== null);

function fusedLoss(
  { isTransposed, settings, chunkRows, isPermuted }: Case,
  operands: Operands,
  targets: Tensor,
): Tensor {
  const { x, weight, bias, lowRank } = operands;
  const seen = isPermuted ? inLayout(x, 'permuted') : x;
  return linearCrossEntropy(seen, weight, targets, { ...settings, bias, lowRank, isTransposed, chunkRows });
}

function plainLoss({ isTransposed, settings, isPermuted }: Case, operands: Operands, targets: Tensor): Tensor {
  const { x, weight, bias, lowRank } = operands;
  const seen = isPermuted ? inLayout(x, 'permuted') : x;
  const logits = matmul(seen, isTransposed ? transpose(weight) : weight, bias);
  return crossEntropy(lowRank ? add(logits, matmul(...lowRank)) : logits, targets, settings);
}

test('the gradient agrees with central differences in f64', async () => {
  const property = fc.asyncProperty(cases, async (each) => {
    const targets = targetsOf(each, cpu);
    const { x, weight, bias, lowRank } = leavesOf(each, cpu);
    const inputs = [x, weight, bias, ...(lowRank ?? [])].filter((each) => each !== null);
    const doubles = inputs.map(({ shape }, i) => random(shape, { seed: each.seed + i, device: cpu, dtype: 'f64' }));
    const f = (...given: Tensor[]) => {
      const [x, weight, ...others] = given;
      const bias = each.hasBias ? others[0] : null;
      const [u, b] = others.slice(each.hasBias ? 1 : 0);
      const loss = fusedLoss(each, { x, weight, bias, lowRank: lowRank ? [u, b] : null }, targets);
      return each.settings.reduction === 'none' ? loss : mul(loss, 3);
    };
    await gradcheck(f, doubles, { elements: 5, seed: each.seed });
  });
  await fc.assert(property, runs(25));
});

onEachDevice((device) => {
  test('loss and gradients are those of the plain path', async () => {
    const property = fc.asyncProperty(cases, (each) =>
      step(async () => {
        const [expected, actual] = [reference, device].map((at, i) => {
          const operands = leavesOf(each, at);
          const loss = (i === 0 ? plainLoss : fusedLoss)(each, operands, targetsOf(each, at));
          backward(loss, random(loss.shape, { seed: 9, device: at }));
          return [loss, ...list(operands).map((input) => gradientOf(input) ?? tensor([], { device: at }))];
        });
        for (const [i, each] of actual.entries()) await expectClose(each, expected[i], { absolute: 1e-5 });
      }),
    );
    await fc.assert(property, runs(25));
  });

  test('past the sizes where the default divides, some frozen', async () => {
    const each: Case = {
      ...{ batch: 3, time: 100, width: 8, classes: 300, isTransposed: true, hasBias: false, rank: 2 },
      ...{ settings: { ignoreIndex: -100, reduction: 'mean', labelSmoothing: 0 }, chunkRows: 128, ignored: 1 },
      ...{ onHost: true, isPermuted: false, seed: 1 },
    };
    for (const frozen of [[], ['weight'], ['x', 'lowRank']] as const) {
      await step(async () => {
        const [expected, actual] = [plainLoss, fusedLoss].map((loss) => {
          const operands = leavesOf(each, device);
          for (const name of frozen) {
            for (const { node } of [operands[name] ?? []].flat()) if (node instanceof LeafNode) node.live = false;
          }
          const result = loss(each, operands, targetsOf(each, device));
          backward(result);
          return [result, ...list(operands).map(gradientOf)];
        });
        for (const [i, found] of actual.entries()) {
          const other = expected[i];
          expect(found === null).toBe(other === null);
          if (found && other) await expectClose(found, other, { absolute: 1e-6 });
        }
      });
    }
  });

  test('gradients come in halves of the batch, whatever of it counts', async () => {
    for (const batch of [2, 3]) {
      const targets = tensor(
        Array.from({ length: batch }, (_, b) => [b, -100, 2]),
        { device, dtype: 'i32' },
      );
      const halves = async (loss: (x: Tensor, weight: Tensor) => Tensor) => {
        const [x, weight] = [leaf([batch, 3, 4], { seed: 1, device }), leaf([4, 5], { seed: 2, device })];
        const { node } = weight;
        if (node instanceof LeafNode) node.requestHalves();
        backward(loss(x, weight));
        const found = node instanceof LeafNode ? node.halves : null;
        return found ?? tensor([], { device });
      };
      await step(async () => {
        const expected = await halves((x, weight) => crossEntropy(matmul(x, weight), targets));
        for (const chunkRows of [1, 2, 100]) {
          await expectClose(
            await halves((x, weight) => linearCrossEntropy(x, weight, targets, { chunkRows })),
            expected,
          );
        }
      });
    }
    const [x, weight] = [random([1, 3, 4], { seed: 1, device }), leaf([4, 5], { seed: 2, device })];
    if (weight.node instanceof LeafNode) weight.node.requestHalves();
    expect(() => linearCrossEntropy(x, weight, tensor([[0, 1, 2]], { device, dtype: 'i32' }))).toThrow(BackwardError);
  });
});

test('it counts what it does: the operations of the plain path for the rows that count', async () => {
  const [rows, width, classes] = [8, 4, 40];
  const targets = tensor(
    Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? i : -100)),
    { device: cpu },
  );
  const flops = (isLive: boolean) =>
    step(() => {
      const x = leaf([2 * rows, width], { seed: 1, device: cpu });
      const weight = isLive
        ? leaf([width, classes], { seed: 2, device: cpu })
        : random([width, classes], { seed: 2, device: cpu });
      const before = snapshotWork(cpu);
      backward(linearCrossEntropy(x, weight, targets, { chunkRows: 4 }));
      return workSince(cpu, before).flops;
    });
  const product = 2 * rows * width * classes;
  const others = 8 * rows * classes + rows + rows * width + rows * width;
  expect(await flops(false)).toBe(2 * product + others);
  // Two chunks are added to the gradient, which is multiplied once.
  expect(await flops(true)).toBe(3 * product + others + 3 * width * classes);
});

const own = await ownDevices();
onEachDevice((device) => {
  test('memory: two chunks of logits, and the gradients of what is live', async () => {
    const [rows, width, classes, chunkRows] = [512, 16, 2000, 64];
    for (const isLive of [false, true]) {
      const peak = await step(() => {
        const x = leaf([rows, width], { seed: 1, device });
        const weight = random([width, classes], { seed: 2, device });
        if (isLive) weight.node = new LeafNode(weight);
        const targets = tensor(
          Int32Array.from({ length: rows }, (_, i) => (i % 4 === 0 ? i : -100)),
          { device },
        );
        const before = device.memory().liveBytes;
        device.resetPeak();
        backward(linearCrossEntropy(x, weight, targets, { chunkRows }));
        return device.memory().peakBytes - before;
      });
      const counted = rows / 4;
      const chunks = 2 * chunkRows * classes + chunkRows * width;
      // Rows that count and their gradient; the gradient of all rows; of the weight.
      const kept = 2 * counted * width + rows * width + (isLive ? width * classes : 0);
      expect(peak).toBeLessThan(4 * (chunks + kept + 12 * counted) + 4096);
    }
  });
}, own);

describe('what does not fit is refused', () => {
  const x = random([2, 3], { seed: 1, device: cpu });
  const weight = random([3, 5], { seed: 2, device: cpu });
  const targets = tensor(Int32Array.of(0, 1), { device: cpu });
  const refused = (options: LinearCrossEntropyOptions, error: new (message: string) => Error) =>
    expect(() => linearCrossEntropy(x, weight, targets, options)).toThrow(error);

  test('by name', () => {
    refused({ isTransposed: true }, ShapeError);
    refused({ bias: random([3], { seed: 1, device: cpu }) }, ShapeError);
    refused(
      { lowRank: [random([2, 1], { seed: 1, device: cpu }), random([1, 4], { seed: 1, device: cpu })] },
      ShapeError,
    );
    refused({ chunkRows: 0 }, ArgumentError);
    refused({ labelSmoothing: 2 }, ArgumentError);
    expect(() => linearCrossEntropy(x, weight, tensor(Int32Array.of(0), { device: cpu }))).toThrow(/targets \[1\]/);
    expect(() => linearCrossEntropy(x, weight, tensor(Int32Array.of(0, 5), { device: cpu }))).toThrow(ArgumentError);
    // @ts-expect-error: what a caller without types may pass
    refused({ chunks: 1 }, ArgumentError);
  });
});

test('without a graph nothing but the losses is computed', async () => {
  await step(async () => {
    const x = leaf([2, 3], { seed: 1, device: cpu });
    const weight = leaf([3, 5], { seed: 2, device: cpu });
    const targets = tensor(Int32Array.of(0, 1), { device: cpu });
    const before = snapshotWork(cpu);
    const loss = noGrad(() => linearCrossEntropy(x, weight, targets));
    expect(workSince(cpu, before).dispatches.get('cross-entropy-gradient')).toBeUndefined();
    expect(loss.node).toBeUndefined();
    expect(await sum(loss).item()).toBeCloseTo(await crossEntropy(matmul(x, weight), targets).item(), 6);
  });
});

test('a graph that is kept can be walked again', async () => {
  await step(async () => {
    const [x, weight] = [leaf([2, 3], { seed: 1, device: cpu }), leaf([3, 5], { seed: 2, device: cpu })];
    const loss = mul(linearCrossEntropy(x, weight, tensor(Int32Array.of(0, 1), { device: cpu })), 3);
    const walk = async (retainGraph: boolean) => {
      backward(loss, null, { retainGraph });
      const found = [...((await gradientOf(weight)?.data()) ?? [])];
      for (const { node } of [x, weight]) if (node instanceof LeafNode) dropGradient(node, 'for the next walk');
      return found;
    };
    const first = await walk(true);
    expect(await walk(true)).toEqual(first);
    expect(await walk(false)).toEqual(first);
  });
});

test('rows of a chunk', () => {
  // SmolLM2-135M and Qwen3-0.6B.
  expect(rowsOfChunk(512, 576, 49152)).toBe(128);
  expect(rowsOfChunk(65536, 1024, 151936)).toBe(512);
  expect(rowsOfChunk(7, 576, 49152)).toBe(7);
});
