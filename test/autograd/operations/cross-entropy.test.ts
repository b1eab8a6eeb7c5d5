import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backward } from '../../../src/autograd/backward.ts';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import { keptFor, OperationNode, requireGradient } from '../../../src/autograd/node.ts';
import { type CrossEntropyOptions, crossEntropy } from '../../../src/autograd/operations/cross-entropy.ts';
import { add, mul } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { logSoftmax } from '../../../src/autograd/operations/softmax.ts';
import { tensor } from '../../../src/tensor/create.ts';
import type { Device } from '../../../src/tensor/device.ts';
import { ArgumentError, DeviceMismatchError, DTypeError, ShapeError } from '../../../src/tensor/errors.ts';
import { Random } from '../../../src/tensor/random.ts';
import { step } from '../../../src/tensor/scope.ts';
import { type Shape, sizeOf } from '../../../src/tensor/shape.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { copy } from '../../../src/tensor/tensor.ts';
import { cpu, onEachDevice, webgpu } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';
import { columnCounts, expectAgreement, leaf, rowCounts } from './agreement.ts';

/** Classes below `classes`, one in four of them `ignoreIndex`. */
function someTargets(
  shape: Shape,
  classes: number,
  { seed, device, ignoreIndex = -100 }: { seed: number; device: Device; ignoreIndex?: number },
): Tensor {
  const source = new Random(seed);
  const draw = () => (source.uniform() < 0.25 ? ignoreIndex : source.integer(classes));
  return tensor(Int32Array.from({ length: sizeOf(shape) }, draw), { device, shape });
}

const options = fc.record({
  ignoreIndex: fc.constantFrom(-100, -1, 0),
  reduction: fc.constantFrom('mean', 'sum', 'none'),
  labelSmoothing: fc.constantFrom(0, 0.1, 1),
}) satisfies fc.Arbitrary<CrossEntropyOptions>;
/** Whether the host still knows the targets, so that it can count them. */
const onHost = fc.boolean();
const seeds = fc.nat({ max: 1000 });

test('the gradient agrees with central differences in f64', async () => {
  const property = fc.asyncProperty(
    shapes({ minRank: 1 }),
    layout,
    options,
    onHost,
    seeds,
    async (shape, kind, { ignoreIndex, reduction, labelSmoothing }, known, seed) => {
      const made = someTargets(shape.slice(0, -1), shape[shape.length - 1], { seed, device: cpu, ignoreIndex });
      const targets = known ? made : copy(made);
      const logits = random(baseShape(shape, kind), { seed, device: cpu, dtype: 'f64' });
      const f = (base: Tensor) =>
        crossEntropy(inLayout(base, kind), targets, { ignoreIndex, reduction, labelSmoothing });
      await gradcheck(f, [logits], { elements: 6, seed });
    },
  );
  await fc.assert(property, runs(40));
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((faster) => {
    test('crossEntropy', async () => {
      const property = fc.asyncProperty(
        rowCounts,
        columnCounts,
        layout,
        options,
        onHost,
        seeds,
        (rows, classes, kind, { ignoreIndex, reduction, labelSmoothing }, known, seed) =>
          expectAgreement(
            faster,
            (device) => {
              const made = someTargets(baseShape([rows], kind), classes, { seed, device, ignoreIndex });
              const targets = inLayout(known ? made : copy(made), kind);
              const base = leaf(baseShape([rows, classes], kind), { seed, device, scale: 6 });
              return {
                output: crossEntropy(inLayout(base, kind), targets, { ignoreIndex, reduction, labelSmoothing }),
                leaves: [base],
              };
            },
            { absolute: 1e-5 + 1e-7 * classes, relative: 1e-5 },
          ),
      );
      await fc.assert(property, runs(40));
    });

    test('rows that take a whole workgroup, and many rows', async () => {
      for (const [rows, classes] of [
        [3, 5000],
        [3001, 7],
      ]) {
        for (const known of [true, false]) {
          await expectAgreement(
            faster,
            (device) => {
              const targets = someTargets([rows], classes, { seed: 1, device });
              const logits = leaf([rows, classes], { seed: 2, device });
              return { output: crossEntropy(logits, known ? targets : copy(targets)), leaves: [logits] };
            },
            { absolute: 1e-5, relative: 1e-5 },
          );
        }
      }
    });
  });
});

onEachDevice((device) => {
  const targets = tensor(Int32Array.of(2, -100, 0, 1), { device, shape: [2, 2] });
  const onehot = tensor([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], { device }); // biome-ignore format: a matrix

  test('is -logSoftmax at the target: by row, summed, and averaged over the rows that count', async () => {
    await step(async () => {
      const logits = random([2, 2, 3], { seed: 1, device });
      const picked = mul(logSoftmax(logits), onehot.view({ shape: [2, 2, 3] }, 'onehot'));
      const rows = mul(sum(picked, { axes: -1 }), -1);
      await expectClose(crossEntropy(logits, targets, { reduction: 'none' }), rows);
      await expectClose(crossEntropy(logits, targets, { reduction: 'sum' }), sum(rows));
      const mean = mul(sum(rows), 1 / 3);
      await expectClose(crossEntropy(logits, targets), mean);
      await expectClose(crossEntropy(logits, copy(targets)), mean);
    });
  });

  test('label smoothing mixes the loss with the mean over all classes', async () => {
    await step(async () => {
      const logits = random([2, 2, 3], { seed: 1, device });
      const labelSmoothing = 0.2;
      const plain = crossEntropy(logits, targets, { reduction: 'sum' });
      const counts = tensor([[1, 0], [1, 1]], { device }); // biome-ignore format: a matrix
      const spread = mul(sum(mul(sum(logSoftmax(logits), { axes: -1 }), counts)), -1 / 3);
      await expectClose(
        crossEntropy(logits, targets, { reduction: 'sum', labelSmoothing }),
        add(mul(plain, 1 - labelSmoothing), mul(spread, labelSmoothing)),
      );
    });
  });

  test('without label smoothing a masked class costs nothing', async () => {
    await step(async () => {
      const logits = tensor([[0, Number.NEGATIVE_INFINITY, 0]], { device });
      expect(await crossEntropy(logits, tensor(Int32Array.of(0), { device })).item()).toBeCloseTo(Math.log(2), 6);
    });
  });

  test('equal logits cost log(classes)', async () => {
    await step(async () => {
      const logits = tensor(new Float32Array(20), { device, shape: [2, 10] });
      const loss = await crossEntropy(logits, tensor(Int32Array.of(3, 9), { device })).item();
      expect(loss).toBeCloseTo(Math.log(10), 6);
    });
  });

  test('where nothing counts, loss and gradient are 0', async () => {
    await step(async () => {
      const ignored = tensor(Int32Array.of(-100, -100), { device });
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        for (const each of [ignored, copy(ignored)]) {
          const logits = leaf([2, 3], { seed: 1, device });
          const loss = crossEntropy(logits, each, { reduction });
          backward(sum(loss));
          expect((await loss.data()).every((value) => value === 0)).toBe(true);
          expect((await gradientOf(logits)?.data())?.every((value) => value === 0)).toBe(true);
        }
      }
      const none = tensor(new Int32Array(0), { device });
      expect(await crossEntropy(tensor([], { device, shape: [0, 3] }), none).item()).toBe(0);
    });
  });

  test('large logits neither overflow nor lose the loss', async () => {
    await step(async () => {
      const logits = requireGradient(tensor([[1e4, 0], [0, 1e4], [3e38, -3e38]], { device })); // biome-ignore format: a matrix
      const loss = crossEntropy(logits, tensor(Int32Array.of(0, 0, 0), { device }), { reduction: 'none' });
      expect(await loss.toArray()).toEqual([0, 1e4, 0]);
      backward(sum(loss));
      expect(await gradientOf(logits)?.toArray()).toEqual([
        [0, 0],
        [-1, 1],
        [0, 0],
      ]);
    });
  });

  test('targets that never were on the host give NaN where they are no class', async () => {
    await step(async () => {
      const logits = leaf([3, 2], { seed: 1, device });
      const wrong = copy(tensor(Int32Array.of(-1, 2, 1), { device }));
      const loss = crossEntropy(logits, wrong, { reduction: 'none' });
      backward(sum(loss));
      expect([...(await loss.data())].map(Number.isNaN)).toEqual([true, true, false]);
      const gradient = await gradientOf(logits)?.data();
      expect(gradient && [...gradient].map(Number.isNaN)).toEqual([true, true, true, true, false, false]);
    });
  });

  test('a target that is no class is refused', () => {
    const logits = random([2, 3], { seed: 1, device });
    for (const target of [-1, 3]) {
      const wrong = tensor(Int32Array.of(0, target), { device });
      expect(() => crossEntropy(logits, wrong)).toThrow(ArgumentError);
      expect(() => crossEntropy(logits, wrong)).toThrow(`index ${target} is out of range (allowed: 0 … 2, or -100`);
    }
  });

  test('keeps one number a row beside its operands', () => {
    const logits = leaf([2, 2, 3], { seed: 1, device });
    const { node } = crossEntropy(logits, targets);
    const saved = node instanceof OperationNode ? node.rules.flatMap(keptFor) : [];
    const own = saved.filter(({ storage }) => storage !== logits.storage && storage !== targets.storage);
    expect(own.map((each) => each.size).toSorted()).toEqual([1, 4]);
    expect(crossEntropy(random([2, 2, 3], { seed: 1, device }), targets).node).toBeUndefined();
  });
});

test('what does not fit is refused', () => {
  const logits = random([2, 3], { seed: 1, device: cpu });
  const targets = tensor(Int32Array.of(0, 1), { device: cpu });
  const refused = (options: CrossEntropyOptions) => () => crossEntropy(logits, targets, options);
  expect(() => crossEntropy(logits, tensor(Int32Array.of(0), { device: cpu }))).toThrow(
    /logits \[2, 3\] with targets \[1\]/,
  );
  expect(() => crossEntropy(tensor(1, { device: cpu }), targets)).toThrow(ShapeError);
  expect(() => crossEntropy(tensor([], { device: cpu, shape: [2, 0] }), targets)).toThrow(ShapeError);
  expect(() => crossEntropy(logits, tensor([0, 1], { device: cpu }))).toThrow(DTypeError);
  expect(() => crossEntropy(tensor(new Int32Array(6), { device: cpu, shape: [2, 3] }), targets)).toThrow(DTypeError);
  // @ts-expect-error: what a caller without types may pass
  expect(refused({ reduction: 'median' })).toThrow(/reduction is 'median' \(allowed: mean, sum, none\)/);
  for (const labelSmoothing of [-0.1, 1.1, Number.NaN]) expect(refused({ labelSmoothing })).toThrow(ArgumentError);
  for (const ignoreIndex of [0.5, Number.NaN, 2 ** 31]) expect(refused({ ignoreIndex })).toThrow(ArgumentError);
  if (webgpu) {
    const elsewhere = tensor(Int32Array.of(0, 1), { device: webgpu });
    expect(() => crossEntropy(logits, elsewhere)).toThrow(DeviceMismatchError);
  }
});
