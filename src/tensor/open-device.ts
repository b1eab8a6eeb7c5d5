/** The choice of a device. */
import { CpuDevice, type CpuOptions } from './cpu/cpu-device.ts';
import { offerDefaultDevice } from './create.ts';
import { debugged } from './debug.ts';
import type { Device } from './device.ts';
import { ArgumentError, NoAdapterError } from './errors.ts';
import { checkOptions } from './options.ts';
import { findAdapter } from './webgpu/adapter.ts';
import { WebGpuDevice, type WebGpuOptions } from './webgpu/webgpu-device.ts';

export const deviceKinds = ['auto', 'webgpu', 'cpu'] as const;
export type DeviceKind = (typeof deviceKinds)[number];

export type OpenDeviceOptions = WebGpuOptions & Pick<CpuOptions, 'threads' | 'form'>;

/**
 * Opens a device: `webgpu`, `cpu`, or with `auto` WebGPU on graphics hardware and `cpu` where there is none (a software adapter
 * computes on the same cores, and mostly more slowly). The options bound its memory, choose the kernels of `webgpu`, and for
 * `cpu` the number of threads and the form of the vector loops. `openDevice({ gpu })` takes a GPUDevice that the caller has. The
 * first device opened is where tensors are made that name none.
 *
 * @throws NoAdapterError for `webgpu` on a machine without an adapter; ArgumentError for another kind, an unknown option, `gpu`
 *   with `cpu`, and where it opens `cpu` for another number of threads than 1 to 64, or in a form that cannot run.
 */
export async function openDevice(
  kind: DeviceKind | OpenDeviceOptions = 'auto',
  options: OpenDeviceOptions = {},
): Promise<Device> {
  if (typeof kind === 'object') return openDevice('auto', kind);
  if (!deviceKinds.includes(kind)) {
    throw new ArgumentError(`openDevice: '${kind}' is no kind of device (allowed: ${deviceKinds.join(', ')})`);
  }
  checkOptions('openDevice', options, ['memoryBudget', 'kernelSet', 'gpu', 'threads', 'form'], null);
  if (kind === 'cpu' && options.gpu) throw new ArgumentError("openDevice: a device 'cpu' takes no gpu");
  const takesCpu = kind === 'cpu' || (kind === 'auto' && !options.gpu && !(await hasGraphicsHardware()));
  return offerDefaultDevice(debugged(takesCpu ? new CpuDevice(options) : await WebGpuDevice.open(options)));
}

async function hasGraphicsHardware(): Promise<boolean> {
  try {
    return !(await findAdapter()).software;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  }
}
