// Measures attention of frostgrad in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import { attention, backward, detach, gradientOf, requireGradient, scope, step, sum, tensor } from '../../src/index.ts';
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
        // One step of many: like the peers, it waits once, for the last.
        await step(() => {
          for (let i = 0; i < times; i++) {
            scope('repetition', () => {
              const leaves = inputs.map((each) => requireGradient(detach(each)));
              backward(sum(attention(leaves[0], leaves[1], leaves[2], { causal: true })));
              for (const leaf of leaves) gradientOf(leaf)?.release('its measurement was over');
            });
          }
        });
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
