// Measures the versions of the matrix product in a process of its own: ours.ts <webgpu> <full | quick>

import { DeviceLimitError } from '../../src/tensor/errors.ts';
import { productOperation } from '../dense-product.ts';
import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { choiceOf, openVersion, versions } from './versions.ts';

const side = 512;

await startOurs(async (_, quick) => {
  const measured = [];
  for (const version of versions) {
    const one = { name: version.name, flops: 2 * side ** 3 };
    try {
      const device = await openVersion(version);
      measured.push(
        ...(await measureOperations(
          [one],
          () => productOperation(device, [side, side, side], (s) => choiceOf(version, device, s)),
          quick,
        )),
      );
    } catch (error) {
      // Not every adapter has subgroups of one size.
      if (!(error instanceof DeviceLimitError)) throw error;
    }
  }
  return measured;
});
