import { type MatmulTile, matmulTiles } from '../../src/autograd/operations/matmul/kernels.ts';
import type { KernelSet } from '../../src/tensor/device.ts';

/** Rows, inner and columns: a square product, and a weight's gradient and the product of a layer of the small GPT. */
export const shapes = [
  [512, 512, 512],
  [128, 256, 512],
  [256, 128, 384],
] as const;

const shared = (m: number, n: number, k: number, threadM: number, threadN: number): MatmulTile => ({
  ...{ file: 'matmul', m, n, k, threadM, threadN },
});

const throughWorkgroupMemory: readonly MatmulTile[] = [
  shared(32, 32, 16, 4, 4),
  shared(32, 32, 16, 8, 8),
  shared(64, 64, 16, 4, 4),
  shared(64, 64, 16, 8, 8),
  shared(64, 64, 8, 4, 4),
  shared(128, 64, 16, 8, 8),
  shared(128, 128, 8, 8, 8),
];

const bySubgroups: readonly MatmulTile[] = [
  [8, 32],
  [16, 32],
  [32, 32],
  [8, 64],
  [16, 64],
].map(([m, n]) => ({ file: 'matmul_subgroups', m, n }));

/** What an adapter of such a kind may run; the table's own choice is one of them. */
export const candidates: Readonly<Record<KernelSet, readonly MatmulTile[]>> = {
  hardware: throughWorkgroupMemory,
  software: throughWorkgroupMemory,
  'software-subgroups': bySubgroups,
};

export function nameOf(tile: MatmulTile): string {
  const { file, m, n } = tile;
  return tile.file === 'matmul'
    ? `${file} ${m}x${n}x${tile.k}, ${tile.threadM}x${tile.threadN} a thread`
    : `${file} ${m}x${n}`;
}

export function isChosen(tile: MatmulTile, kernelSet: KernelSet): boolean {
  return nameOf(matmulTiles[kernelSet]) === nameOf(tile);
}
