// Measures how the cost of a step grows in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import type { Device } from '../../src/index.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { SizedGpt } from '../sized-gpt.ts';
import { startOurs } from '../start-ours.ts';
import { nameOf, type Size, start, variations } from './workload.ts';

const warmSteps = 3;
const steps = { full: 8, quick: 2 };

await startOurs(async (device, quick) => {
  const measured: MeasuredCase[] = [];
  for (const size of Object.keys(variations).filter(isSize)) {
    for (const value of quick ? variations[size].slice(0, 2) : variations[size]) {
      await send({ progress: nameOf(size, value) });
      measured.push(await measure(device, size, value, quick ? steps.quick : steps.full));
    }
  }
  return measured;
});

async function measure(device: Device, size: Size, value: number, count: number): Promise<MeasuredCase> {
  const sizes: Record<Size, number> = { ...start };
  sizes[size] = value;
  const gpt = new SizedGpt(device, sizes);
  device.trim();
  for (let i = 0; i < warmSteps; i++) await gpt.step();
  device.resetPeak();
  const meter = new LoadMeter();
  const milliseconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await gpt.step();
    milliseconds.push(performance.now() - started);
  }
  const measured = { case: nameOf(size, value), milliseconds, othersShare: meter.othersShare() };
  const peakBytes = device.memory().peakBytes;
  gpt.release();
  return { ...measured, peakBytes };
}

function isSize(name: string): name is Size {
  return name in variations;
}
