// Measures the buffers of the GPT step in a process of its own: ours.ts <webgpu> <full | quick>

import { startOurs } from '../start-ours.ts';
import { Gpt } from '../step/gpt.ts';
import { cases } from '../step/workload.ts';
import { meterBuffers } from './buffer-meter.ts';

const steps = 12;
const longRun = { full: 2000, quick: 40 };

await startOurs(async (device, quick) => {
  const measured = [];
  const meter = meterBuffers();
  for (const name of cases) {
    const gpt = new Gpt(device);
    const times: number[] = [];
    const one = async () => {
      const start = performance.now();
      await gpt.step();
      times.push(performance.now() - start);
    };
    for (let i = 0; i < 4; i++) await one();
    gpt.freeze(name);
    device.trim();
    meter.peak = meter.bytes;
    for (let i = 0; i < steps; i++) await one();
    const peak = meter.peak;
    let flat = {};
    if (name === 'none') {
      const count = quick ? longRun.quick : longRun.full;
      const early = meter.bytes;
      for (let i = 0; i < count; i++) await gpt.step();
      flat = { 'steps of the long run': count, 'bytes before it': early, 'bytes after it': meter.bytes };
    }
    measured.push({ case: name, milliseconds: times, othersShare: null, peakBytes: peak, figures: flat });
    gpt.release();
    device.trim();
  }
  return measured;
});
