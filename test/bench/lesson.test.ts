import { expect, test } from 'vitest';
import { dispatchProduct } from '../../bench/dense-product.ts';
import { choiceOf, openVersion, versions } from '../../bench/lesson/versions.ts';
import { DeviceLimitError, matmul, step, zeros } from '../../src/index.ts';
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
        dispatchProduct(a, b, c, (s) => choiceOf(version, device, s));
        const [left, right] = make(reference);
        await expectClose(c, matmul(left, right), { absolute: 1e-5, relative: 0 });
      });
    }
    device.trim();
    expect(device.memory().liveBytes).toBe(0);
  }
});
