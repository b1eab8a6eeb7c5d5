import { chooseMatmul, type MatmulChoice } from '../../src/autograd/operations/matmul/kernels.ts';
import type { MatmulScalars } from '../../src/autograd/operations/matmul/reference.ts';
import type { KernelSet } from '../../src/tensor/device.ts';
import { kernel as declare } from '../../src/tensor/kernel.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';

/** A version of the matrix product, as docs/kernels.md tells them. */
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

/** A device that has the kernel, and the kernel for such operands. */
export async function openVersion({ kernel }: Version): Promise<WebGpuDevice> {
  return WebGpuDevice.open(typeof kernel === 'string' ? { kernelSet: kernel } : { kernelSet: 'software' });
}

export function choiceOf({ kernel }: Version, device: WebGpuDevice, scalars: MatmulScalars): MatmulChoice {
  const own = chooseMatmul(device, scalars);
  if (typeof kernel === 'string') return own;
  const { file, tile } = kernel;
  return { kernel: declare({ ...own.kernel, wgsl: { file: `../bench/lesson/${file}` } }), tileM: tile, tileN: tile };
}
