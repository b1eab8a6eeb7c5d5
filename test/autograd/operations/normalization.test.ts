import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backward } from '../../../src/autograd/backward.ts';
import { gradcheck } from '../../../src/autograd/gradcheck.ts';
import { gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import { keptFor, OperationNode, requireGradient } from '../../../src/autograd/node.ts';
import { layerNorm, type NormOptions, rmsNorm } from '../../../src/autograd/operations/normalization.ts';
import { add, mul } from '../../../src/autograd/operations/pointwise/pointwise.ts';
import { sum } from '../../../src/autograd/operations/reduction/reduction.ts';
import { tensor } from '../../../src/tensor/create.ts';
import { snapshotWork, workSince } from '../../../src/tensor/device.ts';
import { ArgumentError, DeviceMismatchError, DTypeError, ShapeError } from '../../../src/tensor/errors.ts';
import { step } from '../../../src/tensor/scope.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { cpu, onEachDevice, reference, webgpu } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';
import { columnCounts, expectAgreement, leaf, rowCounts } from './agreement.ts';

/** The three forms under one signature. */
const operations: Record<string, (x: Tensor, gain: Tensor, bias: Tensor, options?: NormOptions) => Tensor> = {
  rmsNorm: (x, gain, _bias, options) => rmsNorm(x, gain, options),
  layerNorm,
  'layerNorm without bias': (x, gain, _bias, options) => layerNorm(x, gain, null, options),
};

const seeds = fc.nat({ max: 1000 });

describe('gradients agree with central differences in f64', () => {
  for (const [name, operation] of Object.entries(operations)) {
    test(name, async () => {
      const property = fc.asyncProperty(shapes({ minRank: 1 }), layout, seeds, async (shape, kind, seed) => {
        const f64 = { device: cpu, dtype: 'f64' } as const;
        const columns = shape.slice(-1);
        const x = random(baseShape(shape, kind), { seed, ...f64 });
        const inputs = [x, random(columns, { seed: seed + 1, ...f64 }), random(columns, { seed: seed + 2, ...f64 })];
        // A larger epsilon than the default keeps rows of one or two columns away from the kink at 0.
        const f = (base: Tensor, gain: Tensor, bias: Tensor) =>
          operation(inLayout(base, kind), gain, bias, { epsilon: 0.1 });
        await gradcheck(f, inputs, { elements: 6, seed });
      });
      await fc.assert(property, runs(20));
    });
  }
});

describe('kernels agree with the reference loops', () => {
  onEachDevice((each) => {
    for (const [name, operation] of Object.entries(operations)) {
      test(name, async () => {
        const property = fc.asyncProperty(rowCounts, columnCounts, layout, seeds, (rows, columns, kind, seed) =>
          expectAgreement(
            each,
            (device) => {
              const x = leaf(baseShape([rows, columns], kind), { seed, device });
              const gain = leaf(baseShape([columns], kind), { seed: seed + 1, device });
              const bias = leaf([columns], { seed: seed + 2, device });
              const output = operation(inLayout(x, kind), inLayout(gain, kind), bias, { epsilon: 0.01 });
              return { output, leaves: [x, gain, bias] };
            },
            { absolute: 1e-5 + 1e-7 * (rows + columns), relative: 1e-4 },
          ),
        );
        await fc.assert(property, runs(25));
      });

      test(`${name} of rows that take a whole workgroup, and of many rows`, async () => {
        for (const [rows, columns] of [
          [3, 2500],
          [3001, 5],
        ]) {
          await expectAgreement(
            each,
            (device) => {
              const x = leaf([rows, columns], { seed: 5, device });
              const gain = leaf([columns], { seed: 6, device });
              const bias = leaf([columns], { seed: 7, device });
              return { output: operation(x, gain, bias), leaves: [x, gain, bias] };
            },
            { absolute: 1e-5 + 1e-7 * (rows + columns), relative: 1e-4 },
          );
        }
      });
    }
  });
});

onEachDevice((device) => {
  test('beside a residual, the gradient is added to what is there', async () => {
    for (const columns of [1, 5, 8, 130]) {
      for (const norm of [rmsNorm, layerNorm]) {
        await step(async () => {
          const [expected, actual] = [reference, device].map((each) => {
            const x = requireGradient(random([7, columns], { seed: 1, device: each }));
            const inner = mul(x, 1);
            const normalized = norm(inner, random([columns], { seed: 2, device: each }));
            // The residual's gradient is nobody else's any more when that of the norm comes.
            const result = mul(add(inner, mul(normalized, 2)), 3);
            const before = snapshotWork(each);
            backward(result, random([7, columns], { seed: 3, device: each }));
            const { dispatches } = workSince(each, before);
            expect([dispatches.get('accumulate'), dispatches.get('add')]).toEqual([undefined, undefined]);
            return gradientOf(x);
          });
          if (!expected || !actual) expect.fail('no gradient');
          await expectClose(actual, expected, { absolute: 1e-4, relative: 1e-4 });
        });
      }
    }
  });

  test('by hand: rows of mean square 1, and of mean 0 and variance 1', async () => {
    await step(async () => {
      const x = tensor(
        [
          [1, 7],
          [-3, 3],
        ],
        { device },
      );
      const ones = tensor([1, 1], { device });
      const rms = rmsNorm(x, tensor([1, 2], { device }), { epsilon: 0 });
      await expectClose(rms, tensor([[0.2, 2.8], [-1, 2]], { device })); // biome-ignore format: a matrix
      const layer = layerNorm(x, ones, tensor([0, 10], { device }), { epsilon: 0 });
      await expectClose(layer, tensor([[-1, 11], [-1, 11]], { device })); // biome-ignore format: a matrix
    });
  });

  test('rows of zeros stay finite, forward and backward', async () => {
    await step(async () => {
      for (const operation of Object.values(operations)) {
        const x = requireGradient(tensor(new Float32Array(6), { device, shape: [2, 3] }));
        const gain = tensor([1, 1, 1], { device });
        const output = operation(x, gain, tensor([5, 5, 5], { device }));
        backward(sum(output));
        expect((await output.data()).every(Number.isFinite)).toBe(true);
        expect((await gradientOf(x)?.data())?.every(Number.isFinite)).toBe(true);
      }
    });
  });

  test('a mean that is large beside the deviation does not spoil the variance', async () => {
    await step(async () => {
      const small = random([3, 200], { seed: 4, device });
      const values = await small.data();
      const moved = tensor(
        Float32Array.from(values, (value) => Math.fround(value * 64) + 4096),
        { device, shape: [3, 200] },
      );
      const back = tensor(
        Float32Array.from(await moved.data(), (value) => value - 4096),
        { device, shape: [3, 200] },
      );
      const gain = tensor(new Float32Array(200).fill(1), { device });
      await expectClose(layerNorm(moved, gain, null), layerNorm(back, gain, null), { absolute: 1e-4 });
    });
  });

  test('tensors without an element have gradients of 0', async () => {
    await step(async () => {
      for (const operation of Object.values(operations)) {
        const gain = requireGradient(tensor([1, 2], { device }));
        const bias = tensor([1, 2], { device });
        const output = operation(tensor([], { device, shape: [0, 2] }), gain, bias);
        expect(output.shape).toEqual([0, 2]);
        backward(sum(output));
        expect(await gradientOf(gain)?.toArray()).toEqual([0, 0]);
      }
    });
  });

  test('what is frozen costs no kernel and keeps nothing', async () => {
    await step(async () => {
      const frozen = {
        x: random([4, 6], { seed: 1, device }),
        gain: random([6], { seed: 2, device }),
        bias: random([6], { seed: 3, device }),
      };
      const costOf = (live: keyof typeof frozen) => {
        const operands = { ...frozen };
        operands[live] = leaf(frozen[live].shape, { seed: 9, device });
        const { x, gain, bias } = operands;
        const output = layerNorm(x, gain, bias);
        const saved = output.node instanceof OperationNode ? output.node.rules.flatMap(keptFor) : [];
        const storages = saved.map((each) => each.storage);
        const keeps = Object.entries({ x, gain, bias }).flatMap(([name, each]) =>
          storages.includes(each.storage) ? [name] : [],
        );
        const before = snapshotWork(device);
        backward(output, random([4, 6], { seed: 8, device }));
        const kernels = [...workSince(device, before).dispatches.keys()].sort();
        return { keeps, saved: saved.length, kernels };
      };
      expect(costOf('x')).toEqual({ keeps: ['x', 'gain', 'bias'], saved: 4, kernels: ['normalize-gradient'] });
      expect(costOf('gain')).toEqual({ keeps: ['x'], saved: 2, kernels: ['normalize-gain-gradient', 'sum-columns'] });
      expect(costOf('bias')).toEqual({ keeps: [], saved: 0, kernels: ['sum-columns'] });
      expect(layerNorm(frozen.x, frozen.gain, frozen.bias).node).toBeUndefined();
    });
  });
});

describe('what does not fit is refused', () => {
  const x = random([2, 3], { seed: 1, device: cpu });
  const gain = random([3], { seed: 1, device: cpu });

  test('shapes', () => {
    expect(() => rmsNorm(tensor(1, { device: cpu }), gain)).toThrow(ShapeError);
    expect(() => rmsNorm(x, random([2], { seed: 1, device: cpu }))).toThrow(
      /rmsNorm: gain has shape \[2\].*\[2, 3\].*\[3\]/,
    );
    expect(() => rmsNorm(x, random([1, 3], { seed: 1, device: cpu }))).toThrow(ShapeError);
    expect(() => layerNorm(x, gain, random([4], { seed: 1, device: cpu }))).toThrow(/layerNorm: bias has shape \[4\]/);
  });

  test('dtypes and devices', () => {
    expect(() => rmsNorm(x, random([3], { seed: 1, device: cpu, dtype: 'f64' }))).toThrow(DTypeError);
    expect(() => layerNorm(x, gain, tensor(Int32Array.of(1, 2, 3), { device: cpu }))).toThrow(DTypeError);
    if (webgpu) {
      const elsewhere = random([3], { seed: 1, device: webgpu });
      expect(() => rmsNorm(x, elsewhere)).toThrow(DeviceMismatchError);
    }
  });

  test('epsilon', () => {
    for (const epsilon of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => rmsNorm(x, gain, { epsilon })).toThrow(ArgumentError);
      expect(() => layerNorm(x, gain, null, { epsilon })).toThrow(`layerNorm: epsilon is ${epsilon}`);
    }
  });
});
