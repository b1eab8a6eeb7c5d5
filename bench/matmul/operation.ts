import {
  backward,
  type Device,
  detach,
  gradientOf,
  matmul,
  requireGradient,
  scope,
  step,
  tensor,
} from '../../src/index.ts';
import type { Operation } from '../measure-operations.ts';
import { type MatmulCase, operands } from './workload.ts';

/** A product of the library's, with its operands on `device`. */
export function matmulOperation(device: Device, one: MatmulCase): Operation {
  const { m, k, n, withGradients } = one;
  const values = operands(one);
  const a = tensor(values.a, { device, shape: [m, k] });
  const b = tensor(values.b, { device, shape: [k, n] });
  const g = tensor(values.g, { device, shape: [m, n] });
  return {
    async run(times) {
      // One step of many: like the peers, it waits once, for the last.
      await step(() => {
        for (let i = 0; i < times; i++) {
          scope('repetition', () => {
            if (!withGradients) return void matmul(a, b);
            const leaves = [a, b].map((each) => requireGradient(detach(each)));
            backward(matmul(leaves[0], leaves[1]), g);
            for (const leaf of leaves) gradientOf(leaf)?.release('its measurement was over');
          });
        }
      });
      await device.synchronize();
    },
    release() {
      for (const operand of [a, b, g]) operand.release('its measurement was over');
      device.trim();
    },
  };
}
