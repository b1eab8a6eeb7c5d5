// Measures the versions of the matrix product in a process of its own: ours.ts <webgpu> <full | quick>

import { step, type Tensor, tensor, zeros } from '../../src/index.ts';
import { DeviceLimitError } from '../../src/tensor/errors.ts';
import { dispatch } from '../../src/tensor/kernel.ts';
import { measureOperations, type Operation } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { choiceOf, openVersion, type Version, versions } from './versions.ts';

const side = 512;

await startOurs(async (_, quick) => {
  const measured = [];
  for (const version of versions) {
    const one = { name: version.name, flops: 2 * side ** 3 };
    try {
      const device = await openVersion(version);
      measured.push(...(await measureOperations([one], () => build(version, device), quick)));
    } catch (error) {
      // Not every adapter has subgroups of one size.
      if (!(error instanceof DeviceLimitError)) throw error;
    }
  }
  return measured;
});

function build(version: Version, device: Awaited<ReturnType<typeof openVersion>>): Operation {
  const matrix = () =>
    tensor(
      Float32Array.from({ length: side * side }, (_, i) => (i % 7) / 7),
      { device, shape: [side, side] },
    );
  const [a, b, c] = [matrix(), matrix(), zeros([side, side], { device })];
  const operands: readonly Tensor[] = [a, b, a, c];
  const strides = { aOffset: 0, aBatch: 0, aRow: side, aColumn: 1, bOffset: 0, bBatch: 0, bRow: side, bColumn: 1 };
  const scalars = { m: side, n: side, k: side, ...strides, useBias: 0, addToResult: 0 };
  const { kernel, tileM, tileN } = choiceOf(version, device, scalars);
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        await step(() =>
          dispatch(kernel, {
            operands,
            scalars,
            workgroups: [Math.ceil(side / tileN), Math.ceil(side / tileM), 1],
            flops: 2 * side ** 3,
          }),
        );
      }
      await device.synchronize();
    },
    release() {
      for (const each of [a, b, c]) each.release('its measurement was over');
      device.trim();
    },
  };
}
