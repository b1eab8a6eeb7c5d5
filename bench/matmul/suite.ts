import { ours, patched, shipped } from '../implementations.ts';
import { formatOperations, ratioLine } from '../operation-report.ts';
import { operationSuite } from '../operation-suite.ts';
import type { Row } from '../row.ts';
import { textTable } from '../text-table.ts';
import { cases, forwardOf } from './workload.ts';

/** What the project asks of itself on a software adapter, against the best peer. */
const timesAsShipped = 3;
const timesAsPatched = 1.6;
const leastOfForward = 0.9;

export const matmulSuite = operationSuite({
  name: 'matmul',
  title: 'products of f32 matrices',
  format: (rows) => [formatOperations(rows), backward(rows), verdicts(rows), notes].join('\n\n'),
});

/** What the gradients alone reach: two products, their time being what is left when the forward product is taken off. */
function backward(rows: readonly Row[]): string {
  const cells = cases.flatMap((one) =>
    rows.flatMap((whole) => {
      if (!one.withGradients || whole.case !== one.name || whole.implementation !== ours) return [];
      const forward = rows.find(
        (row) => row.case === forwardOf(one) && row.implementation === ours && row.device === whole.device,
      );
      if (!forward?.flops || !whole.flops) return [];
      const [ahead, back] = [
        forward.flops / forward.median,
        (whole.flops - forward.flops) / (whole.median - forward.median),
      ].map((rate) => rate / 1e6);
      const share = back / ahead;
      const verdict = whole.device === 'webgpu' ? (share >= leastOfForward ? 'met' : 'NOT MET') : '';
      return [
        [`${one.m} x ${one.k} x ${one.n}`, whole.device, ahead.toFixed(1), back.toFixed(1), share.toFixed(2), verdict],
      ];
    }),
  );
  if (cells.length === 0) return '';
  const titles = [
    'rows x inner x columns',
    'on',
    'forward GF/s',
    'gradients GF/s',
    'of forward',
    `asked: ${leastOfForward}`,
  ];
  return `The gradients by themselves (${ours}):\n${textTable(titles, cells, 2)}`;
}

function verdicts(rows: readonly Row[]): string {
  return [
    ...ratioLine(rows, 'webgpu', { device: 'webgpu', waiting: shipped }, timesAsShipped),
    ...ratioLine(rows, 'webgpu', { device: 'webgpu', waiting: patched }, timesAsPatched),
    ...ratioLine(rows, 'webgpu', { device: 'wasm', waiting: null }),
    ...ratioLine(rows, 'cpu', { device: 'wasm', waiting: null }),
    ...ratioLine(rows, 'webgpu', { device: 'cuda', waiting: null }),
    ...ratioLine(rows, 'cpu', { device: 'cpu', waiting: null }),
  ].join('\n');
}

const notes =
  'with gradients: the product c, and the gradients of both operands for a given gradient of c: three products in all.';
