import type { Device } from '../../tensor/device.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import type { Kernel, SimdCall } from '../../tensor/kernel.ts';
import { type MatmulScalars, matmulReference } from './matmul-reference.ts';

/** A kernel and the part of the result that one of its workgroups computes. */
export interface MatmulChoice {
  kernel: Kernel<keyof MatmulScalars>;
  tileM: number;
  tileN: number;
}

interface Tile {
  m: number;
  n: number;
  k: number;
  threadM: number;
  threadN: number;
}

/**
 * Which kernel computes a product, by kind of adapter. Static, so that a seed gives the same bits on every run, and
 * short, because each row is a pipeline that a software adapter takes half a second to compile.
 */
const tiles = {
  /** matmul_subgroups.wgsl, where a software adapter has subgroups and all lengths and strides are multiples of 4. */
  softwareSubgroups: { m: 16, n: 32 },
  software: { m: 32, n: 32, k: 16, threadM: 8, threadN: 8 },
  hardware: { m: 64, n: 64, k: 16, threadM: 4, threadN: 4 },
} as const satisfies Record<string, Pick<Tile, 'm' | 'n'> | Tile>;

const kernels = new Map<string, Kernel<keyof MatmulScalars>>();

export function chooseMatmul(device: Device, s: MatmulScalars): MatmulChoice {
  if (device.kernelSet === 'software-subgroups' && suitsSubgroups(s)) {
    const { m, n } = tiles.softwareSubgroups;
    const lanes = device.subgroupSize;
    const tileN = Math.max(n, 4 * lanes);
    const constants = {
      LANES: `${lanes}u`,
      TILE_M: `${Math.max(m, lanes)}u`,
      TILE_N: `${tileN}u`,
      TRANSPOSED_A: `${s.aColumn !== 1}`,
      TRANSPOSED_B: `${s.bColumn !== 1}`,
    };
    return { kernel: kernelOf('matmul_subgroups', constants), tileM: Math.max(m, lanes), tileN };
  }
  const isHardware = device.kernelSet === 'hardware';
  const tile: Tile = isHardware ? tiles.hardware : tiles.software;
  const constants = {
    TILE_M: `${tile.m}u`,
    TILE_N: `${tile.n}u`,
    TILE_K: `${tile.k}u`,
    THREAD_M: `${tile.threadM}u`,
    THREAD_N: `${tile.threadN}u`,
    // Coalesced loads matter to graphics memory alone; elsewhere one pipeline serves all.
    TRANSPOSED_A: `${isHardware && s.aRow === 1}`,
    TRANSPOSED_B: `${isHardware && s.bRow === 1}`,
  };
  return { kernel: kernelOf('matmul', constants), tileM: tile.m, tileN: tile.n };
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
    operands: ['strided', 'strided', 'read', 'update'],
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
    },
    wgsl: { file, constants, subgroups: file === 'matmul_subgroups' },
    reference: matmulReference,
    simd: matmulOnVectors,
  }));
}

/** kernels/simd/matmul.ts */
function matmulOnVectors({ functions, addresses, sizes, scalars: s }: SimdCall<keyof MatmulScalars>): boolean {
  const [a, b, bias, c] = addresses;
  const batches = sizes[3] / (s.m * s.n);
  const [aFirst, bFirst] = [a + 4 * s.aOffset, b + 4 * s.bOffset];
  const walks = [s.aBatch, s.aRow, s.aColumn, s.bBatch, s.bRow, s.bColumn];
  functions.matmul(aFirst, bFirst, bias, c, batches, s.m, s.n, s.k, ...walks, s.useBias, s.addToResult);
  return true;
}
