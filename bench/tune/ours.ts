// Measures every candidate tile in a process of its own: ours.ts <webgpu> <full | quick>

import { type MatmulTile, matmulWithTile } from '../../src/autograd/operations/matmul-kernels.ts';
import { type Device, step, tensor, zeros } from '../../src/index.ts';
import { dispatch } from '../../src/tensor/kernel.ts';
import { measureOperations, type Operation } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { candidates, isChosen, nameOf, shapes } from './candidates.ts';

await startOurs((device, quick) => {
  const tiles = candidates[device.kernelSet];
  const cases = (quick ? shapes.slice(1, 2) : shapes).flatMap(([m, k, n]) =>
    tiles.map((tile) => ({
      name: `${m} x ${k} x ${n} | ${nameOf(tile)}${isChosen(tile, device.kernelSet) ? ' (in the table)' : ''}`,
      flops: 2 * m * k * n,
      ...{ tile, m, k, n },
    })),
  );
  return measureOperations(cases, (one) => build(device, one), quick);
});

function build(device: Device, { tile, m, k, n }: { tile: MatmulTile; m: number; k: number; n: number }): Operation {
  const matrix = (rows: number, columns: number) =>
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => (i % 7) / 7),
      { device, shape: [rows, columns] },
    );
  const [a, b, c] = [matrix(m, k), matrix(k, n), zeros([m, n], { device })];
  const strides = { aOffset: 0, aBatch: 0, aRow: k, aColumn: 1, bOffset: 0, bBatch: 0, bRow: n, bColumn: 1 };
  const scalars = { m, n, k, ...strides, useBias: 0, addToResult: 0 };
  const { kernel, tileM, tileN } = matmulWithTile(tile, device, scalars);
  const workgroups = [Math.ceil(n / tileN), Math.ceil(m / tileM), 1] as const;
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        await step(() => dispatch(kernel, { operands: [a, b, a, c], scalars, workgroups, flops: 2 * m * k * n }));
      }
      await device.synchronize();
    },
    release() {
      for (const each of [a, b, c]) each.release('its measurement was over');
      device.trim();
    },
  };
}
