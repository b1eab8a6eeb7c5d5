/** An operation of the library as something to be measured. */

import { backward, type Device, detach, gradientOf, requireGradient, scope, step, type Tensor } from '../src/index.ts';
import type { Operation } from './measure-operations.ts';

/**
 * Repeats `compute` within one step: like the peers, it waits once, for the last.
 *
 * @param tensors what it reads and writes; released at the end.
 */
export function libraryOperation(device: Device, tensors: readonly Tensor[], compute: () => void): Operation {
  device.trim();
  device.resetPeak();
  return {
    async run(times) {
      await step(() => {
        for (let i = 0; i < times; i++) scope('repetition', compute);
      });
      await device.synchronize();
    },
    peakBytes: () => device.memory().peakBytes,
    release() {
      for (const each of tensors) each.release('its measurement was over');
      device.trim();
    },
  };
}

/** Computes a result of `inputs` and the gradients of all of them, for a given gradient of the result or of its one element. */
export function computeGradients(
  inputs: readonly Tensor[],
  compute: (...leaves: Tensor[]) => Tensor,
  gradient?: Tensor,
): void {
  const leaves = inputs.map((each) => requireGradient(detach(each)));
  backward(compute(...leaves), gradient);
  for (const leaf of leaves) gradientOf(leaf)?.release('its measurement was over');
}
