import { expect, test } from 'vitest';
import { dispatchProduct } from '../../bench/dense-product.ts';
import { candidates, isChosen } from '../../bench/tune/candidates.ts';
import { matmulWithTile } from '../../src/autograd/operations/matmul-kernels.ts';
import { matmul, step, zeros } from '../../src/index.ts';
import { reference, webgpu } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';

test('the choice of the table is among the candidates', () => {
  for (const kernelSet of ['hardware', 'software', 'software-subgroups'] as const) {
    expect(candidates[kernelSet].filter((tile) => isChosen(tile, kernelSet))).toHaveLength(1);
  }
});

test.skipIf(!webgpu)('every candidate computes the product', async () => {
  const device = webgpu;
  if (!device) return;
  const [m, k, n] = [68, 20, 72];
  for (const tile of candidates[device.kernelSet]) {
    await step(async () => {
      const make = (on: typeof device | typeof reference) => [
        random([m, k], { seed: 1, device: on }),
        random([k, n], { seed: 2, device: on }),
      ];
      const [a, b] = make(device);
      const c = zeros([m, n], { device });
      dispatchProduct(a, b, c, (s) => matmulWithTile(tile, device, s));
      const [left, right] = make(reference);
      await expectClose(c, matmul(left, right), { absolute: 1e-5, relative: 0 });
    });
  }
});
