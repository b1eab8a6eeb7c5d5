/** Tensors that no step owns, once nothing refers to them any more. */
import type { Device } from './device.ts';
import { platform } from './platform/platform.ts';

/** Bytes by which live memory grows before garbage is looked for. */
const growth = 2 ** 28;
/** Finalizers run in one of the next turns of the event loop, if there is anything to finalize. */
const mostTurns = 10;
/** Live bytes when it was last looked for. */
const liveBefore = new WeakMap<Device, number>();

/**
 * Has the engine collect, where the tensors of a device have grown much since the last time. It does not know how much a tensor
 * holds on a device, and so sees no reason of its own. Finalizers need turns of the event loop, so this can be awaited only
 * where a value is read.
 */
export async function collectGarbage(device: Device): Promise<void> {
  const { liveBytes } = device.memory();
  const before = Math.min(liveBefore.get(device) ?? 0, liveBytes);
  liveBefore.set(device, before);
  if (liveBytes - before < growth) return;
  platform.collectGarbage();
  for (let turn = 0; turn < mostTurns && device.memory().liveBytes === liveBytes; turn++)
    await platform.eventLoopTurn();
  liveBefore.set(device, device.memory().liveBytes);
}
