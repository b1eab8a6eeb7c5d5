// What every peer's training step is measured with: the cases one after the other, each from the initial weights.

import { LoadMeter } from '../../command/load-meter.ts';
import { send } from '../child-report.ts';
import { meterBuffers } from '../memory/buffer-meter.ts';
import { cases } from '../step/workload.ts';
import { startPeer } from './start.mjs';

/** The first of them compiles; the second still settles, and is not counted either. */
const STEPS = 12;

/**
 * @param prepare opens the device.
 * @param build from a case, gives the function that takes one training step and resolves to its loss.
 */
export function measurePeer({ prepare, build }) {
  return startPeer(prepare, async () => {
    const measured = [];
    const buffers = onWebGpu() ? meterBuffers() : null;
    for (const name of cases) {
      await send({ progress: name === 'none' ? 'compiling, then nothing frozen' : name });
      const { peak, ...one } = await measureCase(name, build(name), buffers);
      // What a case leaves behind would count for the next.
      measured.push(name === 'none' && peak !== null ? { ...one, peakBytes: peak } : one);
    }
    return measured;
  });
}

const onWebGpu = () => process.argv[2] === 'webgpu';

async function measureCase(name, step, buffers) {
  const times = [];
  const losses = [];
  let meter = new LoadMeter();
  for (let i = 0; i < STEPS; i++) {
    if (i === 2) {
      meter = new LoadMeter();
      if (buffers) buffers.peak = buffers.bytes;
    }
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
    peak: buffers?.peak ?? null,
  };
}
