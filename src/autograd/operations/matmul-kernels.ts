import type { Device, KernelSet } from '../../tensor/device.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import type { Kernel, SimdCall } from '../../tensor/kernel.ts';
import { type MatmulScalars, matmulReference } from './matmul-reference.ts';

/** A kernel and the part of the result that one of its workgroups computes. */
export interface MatmulChoice {
  kernel: Kernel<keyof MatmulScalars>;
  tileM: number;
  tileN: number;
}

/** How one of the two files divides a product: a workgroup's tile, and what one of its threads computes of it. */
export type MatmulTile =
  | { file: 'matmul'; m: number; n: number; k: number; threadM: number; threadN: number }
  | { file: 'matmul_subgroups'; m: number; n: number };

/**
 * Which tile computes a product, by kind of adapter. Static, so that a seed gives the same bits on every run, and
 * short, because each row is a pipeline that a software adapter takes half a second to compile. `npm run bench -- tune`
 * measures them anew, beside others, on the adapter at hand.
 */
export const matmulTiles: Readonly<Record<KernelSet, MatmulTile>> = {
  hardware: { file: 'matmul', m: 64, n: 64, k: 16, threadM: 4, threadN: 4 },
  software: { file: 'matmul', m: 32, n: 32, k: 16, threadM: 8, threadN: 8 },
  /** Where all lengths and strides are multiples of 4; other products take the tile for `software`. */
  'software-subgroups': { file: 'matmul_subgroups', m: 16, n: 32 },
};

const kernels = new Map<string, Kernel<keyof MatmulScalars>>();

export function chooseMatmul(device: Device, s: MatmulScalars): MatmulChoice {
  const { kernelSet } = device;
  return matmulWithTile(
    matmulTiles[kernelSet === 'software-subgroups' && !suitsSubgroups(s) ? 'software' : kernelSet],
    device,
    s,
  );
}

/** The kernel for one tile. A subgroup's tile is no smaller than what its lanes hold at once. */
export function matmulWithTile(tile: MatmulTile, device: Device, s: MatmulScalars): MatmulChoice {
  if (tile.file === 'matmul_subgroups') {
    const lanes = device.subgroupSize;
    const [tileM, tileN] = [Math.max(tile.m, lanes), Math.max(tile.n, 4 * lanes)];
    const constants = {
      LANES: `${lanes}u`,
      TILE_M: `${tileM}u`,
      TILE_N: `${tileN}u`,
      TRANSPOSED_A: `${s.aColumn !== 1}`,
      TRANSPOSED_B: `${s.bColumn !== 1}`,
    };
    return { kernel: kernelOf(tile.file, constants), tileM, tileN };
  }
  // Coalesced loads matter to graphics memory alone; elsewhere one pipeline serves all.
  const isHardware = device.kernelSet === 'hardware';
  const constants = {
    TILE_M: `${tile.m}u`,
    TILE_N: `${tile.n}u`,
    TILE_K: `${tile.k}u`,
    THREAD_M: `${tile.threadM}u`,
    THREAD_N: `${tile.threadN}u`,
    TRANSPOSED_A: `${isHardware && s.aRow === 1}`,
    TRANSPOSED_B: `${isHardware && s.bRow === 1}`,
  };
  return { kernel: kernelOf(tile.file, constants), tileM: tile.m, tileN: tile.n };
}

/** Workgroups that keep a graphics card busy, and the shortest part of a sum that is worth a workgroup. */
const enoughWorkgroups = 128;
const shortestPart = 128;

/**
 * In how many equal parts the inner axis of one m × k × n product is summed (split-K). The gradient of a weight has few
 * rows and columns and as many terms as the batch has positions: whole, it would give a graphics card a dozen workgroups.
 * A software adapter has enough with those. Reasoned, and tested for correctness; no graphics card has measured it yet.
 */
export function partsOfInner({ kernelSet }: Pick<Device, 'kernelSet'>, m: number, k: number, n: number): number {
  if (kernelSet !== 'hardware') return 1;
  const { m: tileM, n: tileN } = matmulTiles.hardware;
  const workgroups = Math.ceil(m / tileM) * Math.ceil(n / tileN);
  let parts = 1;
  while (k % (2 * parts) === 0 && k / (2 * parts) >= shortestPart && 2 * parts * workgroups <= enoughWorkgroups)
    parts *= 2;
  return parts;
}

/** Whether both operands can be read four floats at a time: one axis contiguous, everything else a multiple of four. */
function suitsSubgroups(s: MatmulScalars): boolean {
  const byFour = (...values: number[]) => values.every((value) => value % 4 === 0);
  const readsA = (s.aColumn === 1 && byFour(s.k, s.aRow)) || (s.aRow === 1 && byFour(s.m, s.aColumn));
  const readsB = (s.bColumn === 1 && byFour(s.bRow)) || (s.bRow === 1 && byFour(s.k, s.bColumn));
  return readsA && readsB && byFour(s.n, s.aOffset, s.aBatch, s.bOffset, s.bBatch);
}

function kernelOf(file: string, constants: Readonly<Record<string, string>>): Kernel<keyof MatmulScalars> {
  return getOrCreate(kernels, `${file} ${Object.values(constants).join(' ')}`, () => ({
    name: 'matmul',
    operands: ['strided', 'strided', 'read', 'read', 'update'],
    scalars: {
      m: 'u32',
      n: 'u32',
      k: 'u32',
      aOffset: 'u32',
      aBatch: 'u32',
      aRow: 'u32',
      aColumn: 'u32',
      bOffset: 'u32',
      bBatch: 'u32',
      bRow: 'u32',
      bColumn: 'u32',
      useBias: 'u32',
      addToResult: 'u32',
      useResidual: 'u32',
      rectify: 'u32',
    },
    wgsl: { file, constants, subgroups: file === 'matmul_subgroups' },
    reference: matmulReference,
    simd: matmulOnVectors,
  }));
}

/** As kernels/simd/matmul.ts has them: what one part is of a matrix of the result, and its panel, tile and bias. */
const vectors = { columnsOfPart: 16, scratchBytes: 4 * (1024 * 8 + 4 * 8 + 8) };

/** kernels/simd/matmul.ts, which adds to one thing at most: to a residual, or to what the result holds. */
function matmulOnVectors({ inParts, addresses, sizes, scalars: s }: SimdCall<keyof MatmulScalars>): boolean {
  if (s.addToResult + s.useResidual > 1) return false;
  const [a, b, bias, residual, c] = addresses;
  const batches = sizes[4] / (s.m * s.n);
  const before = s.addToResult ? c : s.useResidual ? residual : 0;
  const [aFirst, bFirst] = [a + 4 * s.aOffset, b + 4 * s.bOffset];
  const walks = [s.aBatch, s.aRow, s.aColumn, s.bBatch, s.bRow, s.bColumn];
  return inParts({
    name: 'matmul',
    values: [aFirst, bFirst, bias, before, c, s.m, s.n, s.k, ...walks, s.useBias, s.rectify],
    parts: batches * Math.ceil(s.n / vectors.columnsOfPart),
    scratchBytes: vectors.scratchBytes,
  });
}
