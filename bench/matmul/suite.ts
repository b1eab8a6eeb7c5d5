/** Products of f32 matrices, forward and with gradients. */

import { type Device, matmul, tensor } from '../../src/index.ts';
import { computeGradients, libraryOperation } from '../library-operation.ts';
import { measureOperations, type Operation } from '../measure-operations.ts';
import { ours } from '../peers.ts';
import { besidePeers, byCase, find, gigaflops, load, table, times, who } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { cases, forwardOf, type MatmulCase, operands } from './workload.ts';

/** What the project asks of itself on a software adapter: times as fast as the best peer, and of the forward product's rate. */
const asked = { shipped: 3, polite: 1.6, ofForward: 0.9 };

export const suite: Suite = {
  parts: {
    products: {
      measure: (device, quick) =>
        measureOperations(quick ? cases.slice(0, 2) : cases, (one) => matmulOperation(device, one), quick),
      again: true,
    },
  },
  peers: { suffix: '-matmul', pyTorch: ['matmul'] },
  report: (rows) => [
    table(byCase(rows), { ...who, ...gigaflops, ...times, ...load }, 3),
    gradients(rows),
    besidePeers(rows, asked),
    'with gradients: the product and the gradients of both operands for a given gradient of it, three products in all.',
  ],
};

export function matmulOperation(device: Device, one: MatmulCase): Operation {
  const { m, k, n, withGradients } = one;
  const values = operands(one);
  const a = tensor(values.a, { device, shape: [m, k] });
  const b = tensor(values.b, { device, shape: [k, n] });
  const g = tensor(values.g, { device, shape: [m, n] });
  return libraryOperation(device, [a, b, g], () => {
    if (withGradients) computeGradients([a, b], (left, right) => matmul(left, right), g);
    else matmul(a, b);
  });
}

/** What the gradients alone reach: two products, their time being what is left when the forward product is taken off. */
function gradients(rows: readonly Row[]): string {
  const pairs = cases.flatMap((one) =>
    rows.flatMap((row) => {
      if (!one.withGradients || row.case !== one.name || row.implementation !== ours) return [];
      const forward = find(rows, { ...row, case: forwardOf(one) });
      if (!forward?.flops || !row.flops) return [];
      const [ahead, back] = [
        forward.flops / forward.median,
        (row.flops - forward.flops) / (row.median - forward.median),
      ];
      return [{ ...one, ...row, ahead, back }];
    }),
  );
  return `The gradients by themselves (${ours}):\n${table(
    pairs,
    {
      'rows x inner x columns': ({ m, k, n }) => `${m} x ${k} x ${n}`,
      on: who.on,
      'forward GFLOP/s': ({ ahead }) => (ahead / 1e6).toFixed(1),
      'gradients GFLOP/s': ({ back }) => (back / 1e6).toFixed(1),
      'of forward': ({ ahead, back }) => (back / ahead).toFixed(2),
      [`at least ${asked.ofForward} on webgpu`]: ({ ahead, back, device }) =>
        device !== 'webgpu' ? '' : back / ahead >= asked.ofForward ? 'met' : 'NOT MET',
    },
    2,
  )}`;
}
