// Measures a training step with the values between layers in f32 and in f16: ours.ts <webgpu> <full | quick>

import { NoAdapterError } from '../../src/index.ts';
import type { MeasuredCase } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { SizedGpt } from '../sized-gpt.ts';
import { startOurs } from '../start-ours.ts';
import { nameOf, precisions, sizes } from './workload.ts';

const warmSteps = 4;
const rounds = { full: 10, quick: 2 };
const stepsPerRound = 4;

await startOurs(async (device, quick) => {
  if (!device.supports('f16')) throw new NoAdapterError(`${device.adapter} has no f16 in shaders`);
  const measured: MeasuredCase[] = [];
  for (const size of quick ? sizes.slice(0, 1) : sizes) {
    const both = precisions.map((precision) => ({
      precision,
      gpt: new SizedGpt(device, size, precision === 'f16' ? 'f16' : undefined),
      milliseconds: [] as number[],
      stepBytes: 0,
      loss: Number.NaN,
    }));
    const meter = new LoadMeter();
    for (const each of both) for (let i = 0; i < warmSteps; i++) await each.gpt.step();
    // In turns, so that a slow phase of the machine meets both.
    for (let round = 0; round < (quick ? rounds.quick : rounds.full); round++) {
      for (const each of both) {
        const before = device.memory().liveBytes;
        device.resetPeak();
        for (let i = 0; i < stepsPerRound; i++) {
          const started = performance.now();
          each.loss = await each.gpt.step();
          each.milliseconds.push(performance.now() - started);
        }
        each.stepBytes = device.memory().peakBytes - before;
      }
    }
    const othersShare = meter.othersShare();
    for (const { precision, gpt, milliseconds, stepBytes, loss } of both) {
      const figures = { loss, 'steps trained': warmSteps + milliseconds.length };
      measured.push({
        ...{ case: `${nameOf(size)}, ${precision}`, milliseconds, othersShare, peakBytes: stepBytes, figures },
      });
      gpt.release();
    }
  }
  return measured;
});
