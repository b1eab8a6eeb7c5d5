import { ours } from '../implementations.ts';
import { perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';
import { nameOf, precisions, sizes } from './workload.ts';

export const precisionSuite: Suite = {
  title: 'one training step of a GPT with the values between its layers stored in f32 and in f16, on webgpu',
  hasPeers: false,
  devices: ['webgpu'],
  format,
  async run(options) {
    const measurement = {
      implementation: ours,
      device: 'webgpu',
      script: new URL('ours.ts', import.meta.url),
      arguments: ['webgpu', options.quick ? 'quick' : 'full'],
      secondsAllowed: 400,
    } as const;
    const { measured, ...outcome } = await perform([measurement], options);
    return { rows: plainRows('precision', measured), ...outcome };
  },
};

function format(rows: readonly Row[]): string {
  const cells = sizes.flatMap((size) => {
    const [whole, half] = precisions.map((each) => rows.find((row) => row.case === `${nameOf(size)}, ${each}`));
    if (!whole || !half) return [];
    return [whole, half].map((row) => [
      row.case,
      `${row.median.toFixed(1)} (${row.min.toFixed(1)})`,
      ((row.peakBytes ?? 0) / 1024 / 1024).toFixed(2),
      (row.figures?.loss ?? Number.NaN).toPrecision(5),
      row === whole
        ? ''
        : `${(row.median / whole.median).toFixed(2)} / ${((row.peakBytes ?? 0) / (whole.peakBytes ?? 1)).toFixed(2)}`,
    ]);
  });
  const count = rows[0]?.figures?.['steps trained'] ?? 0;
  return [
    formatDevices(rows),
    textTable(['GPT of width 128', 'ms (min)', 'MiB of a step', `loss at ${count}`, 'f16 / f32: ms / MiB'], cells, 1),
    'MiB of a step: the most it holds beside parameters and moments. Gradients and everything summed are f32 in both.',
  ].join('\n\n');
}
