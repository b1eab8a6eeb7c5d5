import { expect, test } from 'vitest';
import { candidates, isInUse } from '../../bench/tune/suite.ts';
import { matmulWithTile } from '../../src/autograd/operations/matmul/kernels.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { webgpu } from '../devices.ts';
import { expectProduct } from './expect-product.ts';

test('the tile in use is among the candidates', () => {
  for (const kernelSet of ['hardware', 'software', 'software-subgroups'] as const) {
    expect(candidates[kernelSet].filter((tile) => isInUse(tile, kernelSet))).toHaveLength(1);
  }
});

test.skipIf(!webgpu)('every candidate computes the product', async () => {
  for (const device of [webgpu, await WebGpuDevice.open({ kernelSet: 'hardware' })]) {
    if (!device) continue;
    for (const tile of candidates[device.kernelSet]) {
      await expectProduct(device, [132, 20, 72], (s) => matmulWithTile(tile, device, s));
    }
  }
});
