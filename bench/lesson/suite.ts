/** The versions of the matrix product that docs/kernels.md tells of. */

import { chooseMatmul, type MatmulChoice } from '../../src/autograd/operations/matmul/kernels.ts';
import type { MatmulScalars } from '../../src/autograd/operations/matmul/reference.ts';
import { DeviceLimitError } from '../../src/index.ts';
import type { KernelSet } from '../../src/tensor/device.ts';
import { kernel as declare } from '../../src/tensor/kernel.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import type { MeasuredCase } from '../child-report.ts';
import { measureOperations } from '../measure-operations.ts';
import { productOperation } from '../product.ts';
import { gigaflops, table, times } from '../report.ts';
import type { Suite } from '../suite.ts';

export interface Version {
  readonly name: string;
  /** The library's own kernel for such adapters, or a file of this folder with the side of its tiles. */
  readonly kernel: KernelSet | { file: string; tile: number };
}

export const versions: readonly Version[] = [
  { name: '1 naive', kernel: { file: 'naive', tile: 8 } },
  { name: '2 tiles in workgroup memory', kernel: { file: 'tiled', tile: 16 } },
  { name: '3 and registers: the tile for graphics hardware', kernel: 'hardware' },
  { name: '4 and registers: the tile for software adapters', kernel: 'software' },
  { name: '5 subgroups that share by shuffles', kernel: 'software-subgroups' },
];

const side = 512;

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { lesson: { measure: (_, quick) => measure(quick) } },
  report: (rows) => [
    table(rows, {
      [`version, ${side} x ${side} x ${side}`]: (row) => row.case,
      ...times,
      ...gigaflops,
      'times the first': ({ median }) => (rows[0].median / median).toFixed(1),
    }),
  ],
};

async function measure(quick: boolean): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const version of versions) {
    const device = await openVersion(version);
    if (!device) continue;
    const one = { name: version.name, flops: 2 * side ** 3 };
    const build = () => productOperation(device, [side, side, side], (s) => choiceOf(version, device, s));
    measured.push(...(await measureOperations([one], build, quick)));
  }
  return measured;
}

/** A device that has the kernel; null for the last version where the adapter has no subgroups of one size. */
export async function openVersion({ kernel }: Version): Promise<WebGpuDevice | null> {
  const kernelSet = typeof kernel === 'string' ? kernel : 'software';
  try {
    return await WebGpuDevice.open({ kernelSet });
  } catch (error) {
    if (error instanceof DeviceLimitError && kernelSet === 'software-subgroups') return null;
    throw error;
  }
}

/** The kernel of a version for such operands. */
export function choiceOf({ kernel }: Version, device: WebGpuDevice, scalars: MatmulScalars): MatmulChoice {
  const own = chooseMatmul(device, scalars);
  if (typeof kernel === 'string') return own;
  const { file, tile } = kernel;
  return { kernel: declare({ ...own.kernel, wgsl: { file: `../bench/lesson/${file}` } }), tileM: tile, tileN: tile };
}
