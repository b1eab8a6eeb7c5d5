/** The devices the suites run on, opened once for the whole run. */
import { describe, test } from 'vitest';
import { CpuDevice } from '../src/tensor/cpu/cpu-device.ts';
import type { Device } from '../src/tensor/device.ts';
import { NoAdapterError } from '../src/tensor/errors.ts';
import { WebGpuDevice } from '../src/tensor/webgpu/webgpu-device.ts';

export const cpu = new CpuDevice();

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

/** The suite once on `cpu` and once on `webgpu`. */
export function onEachDevice(suite: (device: Device) => void): void {
  describe('cpu', () => suite(cpu));
  onWebGpu(suite);
}

/** The suite on `webgpu`, or a skipped test that says why there is none. */
export function onWebGpu(suite: (device: WebGpuDevice) => void): void {
  const device = webgpu;
  if (device) describe('webgpu', () => suite(device));
  else test.skip('webgpu: skipped, this machine has no adapter', () => {});
}
