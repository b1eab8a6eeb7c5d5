// What every peer is measured with: the cases one after the other, each from the initial weights, and a report at the end.

import { send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { cases } from '../step/workload.ts';
import { adapterOf, waitPolitely } from './dawn.mjs';

/** The first of them compiles; the second still settles, and is not counted either. */
const STEPS = 12;

/**
 * Called by a peer's script with the arguments <device> <shipped | polite>.
 *
 * @param prepare opens the device.
 * @param build from a case, gives the function that takes one training step and resolves to its loss.
 */
export async function measurePeer({ prepare, build }) {
  const [device, waiting] = process.argv.slice(2);
  const found = await adapterOf(device);
  if (!found) {
    await send({ unavailable: 'Dawn found no adapter' });
    process.exit();
  }
  if (waiting === 'polite') waitPolitely();
  await prepare(device);
  const measured = [];
  for (const name of cases) {
    await send({ progress: name === 'none' ? 'compiling, then nothing frozen' : name });
    measured.push(await measureCase(name, build(name)));
  }
  await send({ report: { ...found, cases: measured } });
  // Peers hold on to Dawn, and the process with them; nothing is pending any more.
  process.exit();
}

async function measureCase(name, step) {
  const times = [];
  const losses = [];
  let meter = new LoadMeter();
  for (let i = 0; i < STEPS; i++) {
    if (i === 2) meter = new LoadMeter();
    const start = performance.now();
    losses.push(await step());
    times.push(performance.now() - start);
  }
  return {
    case: name,
    milliseconds: times.slice(2),
    firstMilliseconds: times[0],
    firstLoss: losses[0],
    othersShare: meter.othersShare(),
  };
}
