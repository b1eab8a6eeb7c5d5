/** Tile sizes of the matrix product: those in use, and others. */

import { type MatmulTile, matmulTiles, matmulWithTile } from '../../src/autograd/operations/matmul/kernels.ts';
import type { Device, KernelSet } from '../../src/tensor/device.ts';
import { measureOperations } from '../measure-operations.ts';
import { type ProductShape, productOperation } from '../product.ts';
import { gigaflops, table, times } from '../report.ts';
import type { Row } from '../row.ts';
import { median } from '../statistics.ts';
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

/** What another tile must gain over the one in use, in the median over the shapes, before it is worth a change. */
const worthChanging = 1.1;
const where = 'src/autograd/operations/matmul/kernels.ts';
const inUse = ' (in use)';

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { tiles: { measure } },
  report,
};

function measure(device: Device, quick: boolean) {
  const cases = (quick ? shapes.slice(1, 2) : shapes).flatMap((shape) =>
    candidates[device.kernelSet].map((tile) => ({
      name: `${shape.join(' x ')} | ${nameOf(tile)}${isInUse(tile, device.kernelSet) ? inUse : ''}`,
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
  const measured = rows.map((row) => {
    const [shape, tile] = row.case.split(' | ');
    return { ...row, shape, tile };
  });
  const tables = [...new Set(measured.map(({ shape }) => shape))].map((shape) => {
    const group = measured.filter((row) => row.shape === shape).toSorted((a, b) => a.median - b.median);
    return table(group, { [shape]: ({ tile }) => tile, ...gigaflops, ...times });
  });
  const used = measured.filter(({ tile }) => tile.endsWith(inUse));
  const gains = [...new Set(measured.map(({ tile }) => tile))].map((tile) => {
    const ratios = measured.flatMap((row) => {
      const own = used.find(({ shape }) => shape === row.shape);
      return own && row.tile === tile ? [own.median / row.median] : [];
    });
    return { tile, gain: median(ratios) };
  });
  const best = gains.reduce((a, b) => (b.gain > a.gain ? b : a));
  const verdict =
    best.gain < worthChanging
      ? `The tile in ${where} stands: none is faster by more than ${((worthChanging - 1) * 100).toFixed(0)} % here.`
      : `${best.tile} is ${best.gain.toFixed(2)} times as fast as the tile in use here. For adapters of this kind, change ${where}.`;
  return [...tables, verdict];
}
