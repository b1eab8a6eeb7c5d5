// How every peer's script begins and ends: the adapter that is there, the wait it is to have, its report.

import { send } from '../child-report.ts';
import { adapterOf, waitPolitely } from './dawn.mjs';

/**
 * Called by a peer's script with the arguments <device> <shipped | polite>.
 *
 * @param prepare opens the device.
 * @param measure gives the measured cases.
 */
export async function startPeer(prepare, measure) {
  const [device, waiting] = process.argv.slice(2);
  const found = await adapterOf(device);
  if (!found) {
    await send({ unavailable: 'Dawn found no adapter' });
    process.exit();
  }
  if (waiting === 'polite') waitPolitely();
  await prepare(device);
  await send({ report: { ...found, cases: await measure() } });
  // Peers hold on to Dawn, and the process with them; nothing is pending any more.
  process.exit();
}
