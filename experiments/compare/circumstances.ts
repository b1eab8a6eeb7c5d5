import { availableParallelism, cpus } from 'node:os';
import { type Device, type DeviceKind, openDevice } from '../../src/index.ts';
import { training } from './protocol.ts';

/** The device of every run. On the cpu they have one thread each: runs go side by side, and their times are to be comparable. */
export function openForRuns(choice: DeviceKind): Promise<Device> {
  return openDevice(choice, { threads: 1 });
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
