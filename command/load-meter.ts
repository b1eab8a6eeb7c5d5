/** How busy other processes keep the machine while something is measured. */

import { cpus } from 'node:os';

/** Above this share of all cores, taken by other processes, a measurement counts as disturbed. */
export const busyShare = 0.05;

/**
 * How much of the machine other processes took since the meter was made: what all cores worked, less what this process
 * worked. The kernel's own pressure figure (/proc/pressure/cpu) would not do, as it counts what we measure too.
 */
export class LoadMeter {
  readonly #workBefore = coreTimes();
  readonly #ownBefore = process.cpuUsage();

  /** 0 … 1 of all cores; null where the system does not tell. */
  othersShare(): number | null {
    const { busy, total } = coreTimes();
    const elapsed = total - this.#workBefore.total;
    if (elapsed <= 0) return null;
    const { user, system } = process.cpuUsage(this.#ownBefore);
    const others = busy - this.#workBefore.busy - (user + system) / 1000;
    return Math.min(1, Math.max(0, others / elapsed));
  }
}

/** Milliseconds, over all cores. */
function coreTimes(): { busy: number; total: number } {
  let busy = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  return { busy, total: busy + idle };
}
