import { expect, test } from 'vitest';
import { choiceOf, openVersion, versions } from '../../bench/lesson/versions.ts';
import { DeviceLimitError, matmul, step, zeros } from '../../src/index.ts';
import { dispatch } from '../../src/tensor/kernel.ts';
import { reference, webgpu } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';

const shapes = [
  [33, 20, 12],
  [5, 3, 7],
  [64, 64, 64],
];

test.skipIf(!webgpu)('every version of the lesson computes the product', async () => {
  for (const version of versions) {
    const device = await openVersion(version).catch((error) => {
      // Not every adapter has subgroups of one size.
      if (error instanceof DeviceLimitError && version.kernel === 'software-subgroups') return null;
      throw error;
    });
    if (!device) continue;
    for (const [m, k, n] of shapes) {
      await step(async () => {
        const make = (on: typeof device | typeof reference) => [
          random([m, k], { seed: 1, device: on }),
          random([k, n], { seed: 2, device: on }),
        ];
        const [a, b] = make(device);
        const c = zeros([m, n], { device });
        const strides = { aOffset: 0, aBatch: 0, aRow: k, aColumn: 1, bOffset: 0, bBatch: 0, bRow: n, bColumn: 1 };
        const scalars = { m, n, k, ...strides, useBias: 0, addToResult: 0 };
        const { kernel, tileM, tileN } = choiceOf(version, device, scalars);
        const workgroups = [Math.ceil(n / tileN), Math.ceil(m / tileM), 1] as const;
        dispatch(kernel, { operands: [a, b, a, c], scalars, workgroups, flops: 0 });
        const [left, right] = make(reference);
        await expectClose(c, matmul(left, right), { absolute: 1e-5, relative: 0 });
      });
    }
    device.trim();
    expect(device.memory().liveBytes).toBe(0);
  }
});
