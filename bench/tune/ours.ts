// Measures every candidate tile in a process of its own: ours.ts <webgpu> <full | quick>

import { matmulWithTile } from '../../src/autograd/operations/matmul/kernels.ts';
import { productOperation } from '../dense-product.ts';
import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { candidates, isChosen, nameOf, shapes } from './candidates.ts';

await startOurs((device, quick) => {
  const tiles = candidates[device.kernelSet];
  const cases = (quick ? shapes.slice(1, 2) : shapes).flatMap((shape) =>
    tiles.map((tile) => ({
      name: `${shape.join(' x ')} | ${nameOf(tile)}${isChosen(tile, device.kernelSet) ? ' (in the table)' : ''}`,
      flops: 2 * shape[0] * shape[1] * shape[2],
      tile,
      shape,
    })),
  );
  return measureOperations(
    cases,
    ({ tile, shape }) => productOperation(device, shape, (s) => matmulWithTile(tile, device, s)),
    quick,
  );
});
