/** Holds what the kernels compute, forward and backward, against the reference loops. */
import fc from 'fast-check';
import { backward } from '../../../src/autograd/backward.ts';
import { gradientOf } from '../../../src/autograd/leaf-gradient.ts';
import { requireGradient } from '../../../src/autograd/node.ts';
import { tensor } from '../../../src/tensor/create.ts';
import type { Device } from '../../../src/tensor/device.ts';
import { step } from '../../../src/tensor/scope.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { reference } from '../../devices.ts';
import { expectClose, random } from '../../shapes.ts';

/** Rows and columns around the sizes at which the row kernels split their work another way. */
export const rowCounts: fc.Arbitrary<number> = fc.constantFrom(1, 2, 7, 31, 64, 65, 70);
export const columnCounts: fc.Arbitrary<number> = fc.constantFrom(1, 2, 5, 31, 63, 64, 67, 127, 128, 257, 300, 521);

/** What an operation computes from its leaves on one device. */
export interface Computation {
  output: Tensor;
  leaves: readonly Tensor[];
}

/** `compute` by the plain loops and on `device`: outputs agree, and the gradients that a random seed gradient gives the leaves. */
export function expectAgreement(
  device: Device,
  compute: (device: Device) => Computation,
  tolerance: { absolute: number; relative?: number },
): Promise<void> {
  return step(async () => {
    const [expected, actual] = [reference, device].map((each) => {
      const { output, leaves } = compute(each);
      if (output.node) backward(output, random(output.shape, { seed: 77, device: each }));
      return [output, ...leaves.map((leaf) => gradientOf(leaf) ?? tensor([], { device }))];
    });
    for (const [i, each] of actual.entries()) await expectClose(each, expected[i], tolerance);
  });
}

/** A leaf of random numbers in [-scale, scale). */
export function leaf(shape: readonly number[], options: { seed: number; device: Device; scale?: number }): Tensor {
  const { scale = 1, ...where } = options;
  return requireGradient(random(shape, { ...where, draw: (source) => scale * (2 * source.uniform() - 1) }));
}
