import { type Device, NoAdapterError, openDevice } from '../../src/index.ts';
import type { FragmentDataset } from './dataset.ts';
import type { DeviceChoice } from './options.ts';
import { warmUp } from './train.ts';

export interface ChosenDevice {
  device: Device;
  /** Which device runs, and why. */
  explanation: string;
}

/**
 * Opens the device and compiles what the run needs. `auto` takes graphics hardware where there is some; between a
 * software adapter and the `cpu` device it times a few steps of the model on each.
 *
 * @throws NoAdapterError where `webgpu` is asked for and there is no adapter.
 */
export async function chooseDevice(choice: DeviceChoice, dataset: FragmentDataset): Promise<ChosenDevice> {
  const asked = `as asked for with --device ${choice}`;
  if (choice !== 'auto') {
    const device = await openDevice(choice);
    await warmUp(device, dataset);
    return { device, explanation: `${describe(device)}, ${asked}` };
  }
  const cpu = await openDevice('cpu');
  const webgpu = await openWebGpu();
  if (!webgpu) return { device: cpu, explanation: `${describe(cpu)}, because this machine has no adapter for WebGPU` };
  const webgpuTime = await warmUp(webgpu, dataset);
  if (!webgpu.software)
    return { device: webgpu, explanation: `${describe(webgpu)}, the graphics hardware of this machine` };
  const cpuTime = await warmUp(cpu, dataset);
  const device = webgpuTime <= cpuTime ? webgpu : cpu;
  const times = `webgpu ${webgpuTime.toFixed(1)} ms, cpu ${cpuTime.toFixed(1)} ms`;
  return { device, explanation: `${describe(device)}, because its steps are faster here (${times})` };
}

async function openWebGpu(): Promise<Device | null> {
  try {
    return await openDevice('webgpu');
  } catch (error) {
    if (error instanceof NoAdapterError) return null;
    throw error;
  }
}

function describe({ kind, adapter, software }: Device): string {
  if (kind === 'cpu') return `cpu (${adapter})`;
  return software ? `webgpu on ${adapter} (a software adapter: a CPU, no GPU)` : `webgpu on ${adapter}`;
}
