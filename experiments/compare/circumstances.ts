/** The device of every run, and what results say of where they were made. */

import { availableParallelism, cpus } from 'node:os';
import { type Device, type DeviceKind, openDevice } from '../../src/index.ts';
import type { Circumstances } from '../report/sections.ts';
import { training } from './protocol.ts';

/** The device of every run. On the cpu they have one thread each: runs go side by side, and their times are to be comparable. */
export function openForRuns(choice: DeviceKind): Promise<Device> {
  return openDevice(choice, { threads: 1 });
}

export function circumstances(device: Device, isQuick: boolean): Circumstances {
  return {
    kind: isQuick ? 'smoke' : 'full',
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.version}`,
    device: { kind: device.kind, adapter: device.adapter },
    model: `two blocks, width 32, 2 heads, hidden 88, 32 tokens; batch ${training.batch}; AdamW; warm-up and half a cosine`,
  };
}
