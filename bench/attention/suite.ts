import { ours, patched, shipped } from '../implementations.ts';
import { formatOperations, ratioLine } from '../operation-report.ts';
import { operationSuite } from '../operation-suite.ts';
import type { Row } from '../row.ts';
import { cases, shape, sizeOf } from './workload.ts';

/** What the project asks of itself on a software adapter, against the best peer with a polite wait. */
const timesAsPatched = 2;

export const attentionSuite = operationSuite({
  name: 'attention',
  title: `causal attention with gradients, ${shape.batch} rows, ${shape.heads} heads of ${shape.headSize}`,
  format: (rows) =>
    [formatOperations(rows), verdicts(rows), memory(rows), notes].filter((part) => part !== '').join('\n\n'),
});

function verdicts(rows: readonly Row[]): string {
  return [
    ...ratioLine(rows, 'webgpu', { device: 'webgpu', waiting: shipped }),
    ...ratioLine(rows, 'webgpu', { device: 'webgpu', waiting: patched }, timesAsPatched),
    ...ratioLine(rows, 'cpu', { device: 'wasm', waiting: null }),
    ...ratioLine(rows, 'webgpu', { device: 'cuda', waiting: null }),
    ...ratioLine(rows, 'cpu', { device: 'cpu', waiting: null }),
  ].join('\n');
}

/** Most bytes on the device, as multiples of q: linear in the positions if that stays the same. */
function memory(rows: readonly Row[]): string {
  return cases
    .flatMap((one) =>
      rows.flatMap(({ case: name, implementation, device, peakBytes }) =>
        name === one.name && implementation === ours && peakBytes !== undefined
          ? [
              `${name} on ${device}: at most ${(peakBytes / 1024).toFixed(0)} KiB, ${(peakBytes / (4 * sizeOf(one))).toFixed(2)} times the size of q`,
            ]
          : [],
      ),
    )
    .join('\n');
}

const notes =
  'Forward, and the gradients of the sum of the output for q, k and v. The peers compose it from products and a softmax over all\n' +
  'pairs; GF/s count the half of the pairs that a causal mask leaves, for everyone.';
