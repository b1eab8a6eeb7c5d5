// Measures matrix products of frostgrad in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import { backward, detach, gradientOf, matmul, requireGradient, scope, step, tensor } from '../../src/index.ts';
import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { cases, operands } from './workload.ts';

await startOurs((device, quick) =>
  measureOperations(
    quick ? cases.slice(0, 2) : cases,
    (one) => {
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
    },
    quick,
  ),
);
