import { ours } from '../implementations.ts';
import { perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';
import { parts } from './workload.ts';

export const largeSuite: Suite = {
  title: 'products, attention and a GPT of sizes that fill a graphics card, on webgpu',
  hasPeers: false,
  format,
  async run(options) {
    const plan = (options.quick ? parts.slice(0, 1) : parts).map((part) => ({
      implementation: ours,
      device: 'webgpu',
      script: new URL('ours.ts', import.meta.url),
      arguments: ['webgpu', options.quick ? 'quick' : 'full', part],
      secondsAllowed: 900,
    }));
    const { measured, ...outcome } = await perform(plan, options);
    const flops = new Map(measured.flatMap(({ report }) => report.cases.map((one) => [one.case, one.flops] as const)));
    const rows = plainRows('large', measured).map((row) => ({ ...row, flops: flops.get(row.case) }));
    return { rows, ...outcome };
  },
};

function format(rows: readonly Row[]): string {
  const cells = rows.map(({ case: name, median, min, flops, peakBytes }) => [
    name,
    median.toFixed(1),
    min.toFixed(1),
    flops === undefined ? '' : (flops / median / 1e9).toPrecision(3),
    peakBytes === undefined ? '' : (peakBytes / 1024 / 1024).toFixed(0),
  ]);
  return [
    formatDevices(rows),
    textTable(['case', 'median ms', 'min', 'TFLOP/s', 'peak MiB'], cells, 1),
    'TFLOP/s at the median, f32: divide by what the card can do without its matrix units.',
  ].join('\n\n');
}
