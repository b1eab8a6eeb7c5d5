/** Tile sizes of the matrix product, fastest first: those in use, which src/autograd/operations/matmul/kernels.ts names, and others. */

import { type MatmulTile, matmulTiles, matmulWithTile } from '../../src/autograd/operations/matmul/kernels.ts';
import type { Device, KernelSet } from '../../src/tensor/device.ts';
import { measureOperations } from '../measure-operations.ts';
import { type ProductShape, productOperation } from '../product.ts';
import { gigaflops, table, times } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';

/** A square product, a weight's gradient and the product of a layer of the small GPT. */
const shapes: readonly ProductShape[] = [
  [512, 512, 512],
  [128, 256, 512],
  [256, 128, 384],
];

const shared = (m: number, n: number, k: number, threadM: number, threadN: number): MatmulTile => ({
  ...{ file: 'matmul', m, n, k, threadM, threadN },
});
const subgroups = (m: number, n: number): MatmulTile => ({ file: 'matmul_subgroups', m, n });

const throughWorkgroupMemory = [
  shared(32, 32, 16, 4, 4),
  shared(32, 32, 16, 8, 8),
  shared(64, 64, 16, 4, 4),
  shared(64, 64, 16, 8, 8),
  shared(64, 64, 8, 4, 4),
  shared(128, 64, 16, 8, 8),
  shared(128, 128, 8, 8, 8),
];

/** What an adapter of such a kind may run; the tile in use is one of them. */
export const candidates: Readonly<Record<KernelSet, readonly MatmulTile[]>> = {
  hardware: throughWorkgroupMemory,
  software: throughWorkgroupMemory,
  'software-subgroups': [subgroups(8, 32), subgroups(16, 32), subgroups(32, 32), subgroups(8, 64), subgroups(16, 64)],
};

const separator = ' | ';

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { tiles: { measure } },
  report,
};

function measure(device: Device, quick: boolean) {
  const cases = (quick ? shapes.slice(1, 2) : shapes).flatMap((shape) =>
    candidates[device.kernelSet].map((tile) => ({
      name: `${shape.join(' x ')}${separator}${nameOf(tile)}${isInUse(tile, device.kernelSet) ? ' (in use)' : ''}`,
      flops: 2 * shape[0] * shape[1] * shape[2],
      build: () => productOperation(device, shape, (s) => matmulWithTile(tile, device, s)),
    })),
  );
  return measureOperations(cases, ({ build }) => build(), quick);
}

function nameOf(tile: MatmulTile): string {
  const { file, m, n } = tile;
  if (tile.file === 'matmul_subgroups') return `${file} ${m}x${n}`;
  return `${file} ${m}x${n}x${tile.k}, ${tile.threadM}x${tile.threadN} a thread`;
}

export function isInUse(tile: MatmulTile, kernelSet: KernelSet): boolean {
  return nameOf(matmulTiles[kernelSet]) === nameOf(tile);
}

function report(rows: readonly Row[]): string[] {
  return shapes.map((shape) => {
    const name = shape.join(' x ');
    const group = rows.filter((row) => row.case.startsWith(name)).toSorted((a, b) => a.median - b.median);
    return table(group, { [name]: (row) => row.case.slice(name.length + separator.length), ...gigaflops, ...times });
  });
}
