import { ours } from '../implementations.ts';
import { type Measurement, perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import { pyTorchMeasurements } from '../pytorch.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';
import { parts, peakName } from './workload.ts';

const secondsAllowed = 900;

export const largeSuite: Suite = {
  title: 'products, attention and a GPT of sizes that fill a graphics card, on webgpu',
  hasPeers: false,
  devices: ['webgpu'],
  format,
  async run(options) {
    const { quick } = options;
    const [operations, gpt] = parts;
    const plan: Measurement[] = (quick ? [operations] : parts).map((part) => ({
      implementation: ours,
      device: 'webgpu',
      script: new URL('ours.ts', import.meta.url),
      arguments: ['webgpu', quick ? 'quick' : 'full', part],
      secondsAllowed,
    }));
    // PyTorch by its own devices, whichever it has: it is what a card's owner would use instead.
    if (!quick) {
      plan.push(...[operations, gpt].flatMap((part) => pyTorchMeasurements(['webgpu', 'cpu'], part, secondsAllowed)));
    }
    const { measured, ...outcome } = await perform(plan, options);
    const counted = measured.flatMap(({ report }) =>
      report.cases.flatMap(({ case: name, flops }) => (flops ? [[name, flops] as const] : [])),
    );
    const flops = new Map(counted);
    const rows = plainRows('large', measured).map((row) => ({ ...row, flops: flops.get(row.case) }));
    return { rows, ...outcome };
  },
};

function format(rows: readonly Row[]): string {
  const order = [...new Set(rows.map((row) => row.case))];
  const rate = ({ flops, median }: Row) => (flops === undefined ? undefined : flops / median / 1e9);
  const peaks = new Map(rows.flatMap((row) => (row.case === peakName ? [[row.device, rate(row)]] : [])));
  const cells = rows
    .toSorted((a, b) => order.indexOf(a.case) - order.indexOf(b.case) || a.median - b.median)
    .map((row) => {
      const [own, peak] = [rate(row), peaks.get(row.device)];
      return [
        row.case,
        row.implementation,
        row.device,
        row.median.toFixed(1),
        row.min.toFixed(1),
        own?.toPrecision(3) ?? '',
        own && peak ? `${((100 * own) / peak).toFixed(0)} %` : '',
        row.peakBytes === undefined ? '' : (row.peakBytes / 1024 / 1024).toFixed(0),
      ];
    });
  return [
    formatDevices(rows),
    textTable(['case', 'by', 'on', 'median ms', 'min', 'TFLOP/s', 'of peak', 'peak MiB'], cells, 3),
    `of peak: of the TFLOP/s of ${peakName}, which touch no memory. Operations as ours counts them, for everyone.`,
  ].join('\n\n');
}
