import { type Device, openDevice } from '../../src/index.ts';
import type { FragmentDataset } from '../data/fragments.ts';
import type { DeviceChoice } from './options.ts';
import { warmUp } from './train.ts';

export interface ChosenDevice {
  device: Device;
  /** Which device runs, and why. */
  explanation: string;
}

/**
 * Opens the device and compiles what the run needs. `auto` takes graphics hardware where there is some, else the cpu.
 *
 * @throws NoAdapterError where `webgpu` is asked for and there is no adapter.
 */
export async function chooseDevice(choice: DeviceChoice, dataset: FragmentDataset): Promise<ChosenDevice> {
  const device = await openDevice(choice);
  await warmUp(device, dataset);
  const found = device.kind === 'cpu' ? 'because this machine has no graphics hardware' : 'the graphics hardware found';
  const reason = choice === 'auto' ? found : `as asked for with --device ${choice}`;
  return { device, explanation: `${describe(device)}, ${reason}` };
}

function describe({ kind, adapter, software }: Device): string {
  if (kind === 'cpu') return `cpu (${adapter})`;
  return software ? `webgpu on ${adapter} (a software adapter: a CPU, no GPU)` : `webgpu on ${adapter}`;
}
