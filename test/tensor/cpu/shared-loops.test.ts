import { describe, expect, test } from 'vitest';
import { backward } from '../../../src/autograd/backward.ts';
import { gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import {
  AdamW,
  crossEntropy,
  dropout,
  embedding,
  gelu,
  layerNorm,
  logSoftmax,
  max,
  mul,
  Parameter,
  rmsNorm,
  rotary,
  SGD,
  softmax,
  sum,
} from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { tensor } from '../../../src/tensor/create.ts';
import type { Device } from '../../../src/tensor/device.ts';
import { step } from '../../../src/tensor/scope.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { copy } from '../../../src/tensor/tensor.ts';
import { leaf } from '../../autograd/operations/agreement.ts';
import { reference } from '../../devices.ts';
import { expectClose, random } from '../../shapes.ts';

const [alone, three] = [new CpuDevice({ threads: 1 }), new CpuDevice({ threads: 3 })];

const indices = (count: number, below: number, device: Device) =>
  tensor(
    Int32Array.from({ length: count }, (_, i) => (i * 7919) % below),
    { device },
  );
const grid = (shape: readonly number[], device: Device) => leaf(shape, { seed: 1, device, scale: 4 });
const whole = (x: Tensor) => ({ leaf: x, result: x });

/** Each past the size from which a loop is shared, with an end that divides nothing. */
const loops: Record<string, (device: Device) => { leaf: Tensor; result: Tensor }> = {
  crossEntropy(device) {
    const leaf = grid([37, 20_011], device);
    return { leaf, result: crossEntropy(leaf, indices(37, 20_011, device), { reduction: 'none' }) };
  },
  softmax(device) {
    const leaf = grid([701, 1001], device);
    return { leaf, result: softmax(leaf) };
  },
  logSoftmax(device) {
    const leaf = grid([701, 1001], device);
    return { leaf, result: logSoftmax(leaf) };
  },
  rotary(device) {
    const leaf = grid([3, 301, 9, 70], device);
    return { leaf, result: rotary(leaf) };
  },
  embedding(device) {
    const leaf = grid([501, 333], device);
    return { leaf, result: embedding(indices(2003, 501, device), leaf) };
  },
  gelu(device) {
    const leaf = grid([700_003], device);
    return { leaf, result: gelu(leaf) };
  },
  'a product with one number'(device) {
    const leaf = grid([700_003], device);
    return { leaf, result: mul(leaf, 1.7) };
  },
  dropout(device) {
    const leaf = grid([700_003], device);
    return { leaf, result: dropout(leaf, 0.3, 5) };
  },
  rmsNorm(device) {
    const leaf = grid([701, 1004], device);
    return { leaf, result: rmsNorm(leaf, random([1004], { seed: 3, device })) };
  },
  'gain of layerNorm'(device) {
    const leaf = grid([1004], device);
    return { leaf, result: layerNorm(random([701, 1004], { seed: 3, device }), leaf) };
  },
  'sum over rows': (device) => whole(sum(random([5003, 131], { seed: 1, device }), { axes: 1 })),
  'sum over columns': (device) => whole(sum(random([257, 3001], { seed: 1, device }), { axes: 0 })),
  'sum over a long axis': (device) => whole(sum(random([700_001], { seed: 1, device }))),
  'maximum over rows': (device) => whole(max(random([5003, 131], { seed: 1, device }), { axes: 1 })),
  'maximum over columns': (device) => whole(max(random([257, 3001], { seed: 1, device }), { axes: 0 })),
  transpose: (device) => whole(copy(random([811, 733], { seed: 1, device }).transpose())),
  'swapped middle axes': (device) => whole(copy(random([5, 67, 31, 66], { seed: 1, device }).permute([0, 2, 1, 3]))),
  'reversed axes': (device) => whole(copy(random([5, 67, 31, 66], { seed: 1, device }).permute([3, 2, 1, 0]))),
};

describe('a loop on several threads gives the bits of one thread, and agrees with the plain loop', () => {
  for (const [name, loop] of Object.entries(loops)) {
    test(name, () =>
      step(async () => {
        const [expected, one, several] = [reference, alone, three].map((device) => {
          const { leaf, result } = loop(device);
          if (leaf === result) return [result];
          backward(result, random(result.shape, { seed: 2, device }));
          const gradient = gradientOf(leaf);
          return gradient ? [result, gradient] : [];
        });
        expect(expected.length).toBeGreaterThan(0);
        for (const [i, each] of expected.entries()) {
          expect(Buffer.compare(bytesOf(await several[i].data()), bytesOf(await one[i].data()))).toBe(0);
          // The gain's gradient sums 701 rows in f32.
          await expectClose(one[i], each, { absolute: 1e-5, relative: 1e-5 });
        }
      }),
    );
  }
});

describe('an optimizer on several threads gives the bits of one', () => {
  const optimizers = {
    AdamW: (parameter: Parameter) => new AdamW([parameter], { learningRate: 0.1, maxGradientNorm: 1 }),
    SGD: (parameter: Parameter) => new SGD([parameter], { learningRate: 0.1, momentum: 0.5, maxGradientNorm: 1 }),
  };
  for (const [name, make] of Object.entries(optimizers)) {
    test(name, async () => {
      const train = async (device: Device) => {
        const parameter = new Parameter(random([700_003], { seed: 1, device }), 'weight');
        const optimizer = make(parameter);
        for (const seed of [2, 3, 4]) {
          await step(async () => {
            backward(sum(mul(parameter, random([700_003], { seed, device }))));
            optimizer.step();
          });
        }
        return { weights: Array.from(await parameter.data()), norm: (await optimizer.report()).gradientNorm };
      };
      const [expected, one, several] = [await train(reference), await train(alone), await train(three)];
      expect(several.norm).toBe(one.norm);
      expect(several.weights.every((weight, i) => weight === one.weights[i])).toBe(true);
      expect(one.norm / expected.norm).toBeCloseTo(1, 6);
      const furthest = one.weights.reduce((most, x, i) => Math.max(most, Math.abs(x - expected.weights[i])), 0);
      expect(furthest).toBeLessThan(5e-6);
    });
  }
});

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
