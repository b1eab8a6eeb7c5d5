/** The devices the suites run on, opened once for the whole run. */
import { describe, test } from 'vitest';
import { CpuDevice } from '../src/tensor/cpu/cpu-device.ts';
import { setDefaultDevice } from '../src/tensor/create.ts';
import type { Device } from '../src/tensor/device.ts';
import { NoAdapterError } from '../src/tensor/errors.ts';
import { WebGpuDevice } from '../src/tensor/webgpu/webgpu-device.ts';

export const cpu = new CpuDevice();
// Whatever devices the suites open, in whatever order.
setDefaultDevice(cpu);

/** The plain loops alone, which every faster form is held against. */
export const reference = new CpuDevice({ kernels: 'reference' });

/** Null on a machine without an adapter; under CI=true that is an error, and every suite fails with it. */
export const webgpu: WebGpuDevice | null = await openWebGpu();

async function openWebGpu(): Promise<WebGpuDevice | null> {
  try {
    return await WebGpuDevice.open();
  } catch (error) {
    if (process.env.CI === 'true' || !(error instanceof NoAdapterError)) throw error;
    console.warn(`SKIPPED: no test runs on webgpu here, because ${error.message}`);
    return null;
  }
}

export interface Devices {
  cpu: CpuDevice;
  webgpu: WebGpuDevice | null;
}

/** Devices of a suite's own, where it counts buffers or bytes: collected garbage of other suites would change them. */
export async function ownDevices(): Promise<Devices> {
  return { cpu: new CpuDevice(), webgpu: webgpu && (await WebGpuDevice.open()) };
}

/** The suite once on `cpu` and once on `webgpu`. */
export function onEachDevice(suite: (device: Device) => void, devices: Devices = { cpu, webgpu }): void {
  describe('cpu', () => suite(devices.cpu));
  onWebGpu(suite, devices.webgpu);
}

/** The suite on `webgpu`, or a skipped test that says why there is none. */
export function onWebGpu(suite: (device: WebGpuDevice) => void, device: WebGpuDevice | null = webgpu): void {
  if (device) describe('webgpu', () => suite(device));
  else test.skipIf(true)('webgpu: skipped, this machine has no adapter', () => {});
}
