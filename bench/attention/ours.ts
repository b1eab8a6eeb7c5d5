// Measures attention of frostgrad in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import { attention, backward, detach, requireGradient, step, sum, tensor } from '../../src/index.ts';
import type { MeasuredCase } from '../child-report.ts';
import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { type AttentionCase, cases, shape, values } from './workload.ts';

await startOurs(async (device, quick) => {
  const peaks = new Map<string, number>();
  const build = (one: AttentionCase) => {
    const full = [shape.batch, one.time, shape.heads, shape.headSize];
    const inputs = values(one).map((each) => tensor(each, { device, shape: full }));
    device.trim();
    device.resetPeak();
    return {
      async run(times: number) {
        for (let i = 0; i < times; i++) {
          await step(() => {
            const [q, k, v] = inputs.map((each) => requireGradient(detach(each)));
            backward(sum(attention(q, k, v, { causal: true })));
          });
        }
        await device.synchronize();
      },
      release() {
        peaks.set(one.name, device.memory().peakBytes);
        for (const input of inputs) input.release('its measurement was over');
        device.trim();
      },
    };
  };
  const measured = await measureOperations(quick ? cases.slice(0, 1) : cases, build, quick);
  return measured.map((one): MeasuredCase => ({ ...one, peakBytes: peaks.get(one.case) }));
});
