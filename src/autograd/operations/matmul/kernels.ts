/** The kernels of the matrix product, and which of them runs. */
import type { Device, KernelSet } from '../../../tensor/device.ts';
import { getOrCreate } from '../../../tensor/get-or-create.ts';
import { type Kernel, kernel } from '../../../tensor/kernel.ts';
import { type MatmulOperand, type MatmulScalars, matmulReference, matmulScalars } from './reference.ts';

type MatmulKernel = Kernel<MatmulOperand, keyof MatmulScalars>;

/** A kernel and the part of the result that one of its workgroups computes. */
export interface MatmulChoice {
  kernel: MatmulKernel;
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

/** Made once for each file and its constants: every kernel is a pipeline. */
const kernels = new Map<string, MatmulKernel>();

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
 * A software adapter has enough with those. Other products stay whole: a row's bits must not depend on the number of rows. Reasoned, and tested for correctness; no graphics card has measured it yet.
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

/** As kernels/simd/matmul.ts has them, in elements: a tile and two rows of one, then rows of a. */
const vectorScratch = { steps: 1024, fixed: 8 * 16 + 64 * 1024 };

/**
 * What one part is of a matrix of the result: large, because what it reads is packed for each part, and one of sixteen or more where
 * the product is large enough, so that threads finish together.
 */
export function partOfProduct(m: number, n: number, batches: number): { rows: number; columns: number; parts: number } {
  let down = Math.ceil(m / 512);
  let across = Math.ceil(n / 128);
  while (batches * down * across < 16) {
    const [rows, columns] = [m / down, n / across];
    if (Math.max(rows, columns) <= 64) break;
    if (rows > columns) down *= 2;
    else across *= 2;
  }
  const rows = 4 * Math.ceil(m / down / 4);
  const columns = 16 * Math.ceil(n / across / 16);
  return { rows, columns, parts: batches * Math.ceil(m / rows) * Math.ceil(n / columns) };
}

function kernelOf(file: string, constants: Readonly<Record<string, string>>): MatmulKernel {
  return getOrCreate(kernels, `${file} ${Object.values(constants).join(' ')}`, () =>
    kernel({
      name: 'matmul',
      operands: { a: 'strided', b: 'strided', bias: 'read', residual: 'read', c: 'update' },
      scalars: matmulScalars,
      wgsl: { file, constants, subgroups: file === 'matmul_subgroups' },
      widens: { b: file === 'matmul_subgroups' ? 4 : 1 },
      reference: matmulReference,
      /** Adds to one thing at most: to a residual, or to what the result holds. */
      simd(call) {
        const { m, n, k, addToResult, useResidual } = call.scalars;
        if (addToResult + useResidual > 1) return false;
        const { rows: rowsOfPart, columns: columnsOfPart, parts } = partOfProduct(m, n, call.size('c') / (m * n));
        const scratchBytes = 4 * (vectorScratch.fixed + columnsOfPart * Math.min(k, vectorScratch.steps));
        return call.run('matmul', { rowsOfPart, columnsOfPart, bBytes: call.bytes('b') }, { parts, scratchBytes });
      },
    }),
  );
}
