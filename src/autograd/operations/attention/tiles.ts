/** How the attention kernels divide their work, by adapter. */
import type { Device } from '../../../tensor/device.ts';

/** How the attention kernels divide their work. */
export interface AttentionTile {
  /** Queries (or keys) of a workgroup, one a thread. */
  threads: number;
  /** Rows that a workgroup shares at a time. */
  keys: number;
  /** Rows whose scores a thread holds at a time. */
  group: number;
  /** Whether rows are shared by subgroup shuffles instead of workgroup memory. */
  shuffle: boolean;
}

/**
 * Which tile runs, by kind of adapter and head size. Shuffles pay on software adapters, where a read from workgroup
 * memory costs as much as twenty multiply-adds; there long heads get short groups, since a longer body takes seconds to
 * compile. Elsewhere tiles fill the 16 KiB that every adapter has.
 */
export function chooseAttentionTile(device: Device, headSize: number): AttentionTile {
  if (device.kernelSet === 'software-subgroups') {
    const lanes = device.subgroupSize;
    const group = headSize <= 16 ? 4 : 1;
    return { threads: lanes, keys: group, group, shuffle: true };
  }
  const paddedHead = 4 * Math.ceil(headSize / 4);
  const keys = Math.min(32, 4 * Math.floor(2048 / paddedHead / 4));
  return { threads: 64, keys, group: device.kernelSet === 'hardware' ? 4 : 1, shuffle: false };
}
