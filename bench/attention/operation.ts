import {
  attention,
  backward,
  type Device,
  detach,
  gradientOf,
  requireGradient,
  scope,
  step,
  sum,
  tensor,
} from '../../src/index.ts';
import type { Operation } from '../measure-operations.ts';
import { type AttentionCase, shape, values } from './workload.ts';

/** The library's attention and its gradients, with q, k and v on `device`; `done` is told the peak of live bytes. */
export function attentionOperation(
  device: Device,
  one: AttentionCase,
  done: (peakBytes: number) => void = () => {},
): Operation {
  const full = [shape.batch, one.time, shape.heads, shape.headSize];
  const inputs = values(one).map((each) => tensor(each, { device, shape: full }));
  device.trim();
  device.resetPeak();
  return {
    async run(times) {
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
      done(device.memory().peakBytes);
      for (const input of inputs) input.release('its measurement was over');
      device.trim();
    },
  };
}
