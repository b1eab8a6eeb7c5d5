import { availableParallelism, cpus } from 'node:os';
import { type Device, NoAdapterError, openDevice } from '../../src/index.ts';
import { training } from './protocol.ts';

/** The cpu device of every run: on one thread, because runs go side by side, and so that all their times can be compared. */
export const openCpu = () => openDevice('cpu', { threads: 1 });

/** Graphics hardware where there is some; a software adapter is slower here than the cpu device. */
export async function chooseDevice(choice: 'auto' | 'webgpu' | 'cpu'): Promise<Device> {
  if (choice === 'webgpu') return openDevice(choice);
  if (choice === 'cpu') return openCpu();
  try {
    const device = await openDevice('webgpu');
    if (!device.software) return device;
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
  }
  return openCpu();
}

/** What stands in results: where they were made, and with what. */
export function circumstances(device: Device) {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.version}`,
    device: { kind: device.kind, adapter: device.adapter },
    model: `two blocks, width 32, 2 heads, hidden 88, 32 tokens; batch ${training.batch}; AdamW; warm-up and half a cosine`,
  };
}
