/** Causal attention and the gradients of queries, keys and values. */

import { attention, type Device, sum, type Tensor, tensor } from '../../src/index.ts';
import { computeGradients, libraryOperation } from '../library-operation.ts';
import { measureOperations, type Operation } from '../measure-operations.ts';
import { besidePeers, byCase, gigaflops, load, table, times, who } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { type AttentionCase, cases, shape, sizeOf, values } from './workload.ts';

/** What the project asks of itself on a software adapter: times as fast as the best peer. */
const asked = { polite: 2 };

export const suite: Suite = {
  parts: {
    attention: {
      measure: (device, quick) =>
        measureOperations(quick ? cases.slice(0, 1) : cases, (one) => attentionOperation(device, one), quick),
      again: true,
    },
  },
  peers: { suffix: '-attention', pyTorch: ['attention'] },
  report: (rows) => [
    table(byCase(rows), { ...who, ...gigaflops, ...times, 'peak KiB': peak, 'times q': timesQ, ...load }, 3),
    besidePeers(rows, asked),
    notes,
  ],
};

export function attentionOperation(device: Device, one: AttentionCase): Operation {
  const full = [shape.batch, one.time, shape.heads, shape.headSize];
  const inputs = values(one).map((each) => tensor(each, { device, shape: full }));
  const output = (q: Tensor, k: Tensor, v: Tensor) => sum(attention(q, k, v, { causal: true }));
  return libraryOperation(device, inputs, () => computeGradients(inputs, output));
}

function peak({ peakBytes }: Row): string {
  return peakBytes === undefined ? '' : (peakBytes / 1024).toFixed(0);
}

/** The peak as a multiple of q: memory is linear in the positions if that stays the same. */
function timesQ({ case: name, peakBytes }: Row): string {
  const one = cases.find((each) => each.name === name);
  return peakBytes === undefined || !one ? '' : (peakBytes / (4 * sizeOf(one))).toFixed(2);
}

const notes = `${shape.batch} rows, ${shape.heads} heads of ${shape.headSize}; forward, and the gradients of the sum of the output for q, k and v.
GFLOP/s count the half of all pairs that a causal mask leaves, for everyone. The peers in JavaScript compose attention from products
and a softmax over all pairs.
times q: the peak of live bytes as a multiple of q.`;
