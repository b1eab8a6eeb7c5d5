import { ours } from '../implementations.ts';
import { gigaflops } from '../operation-report.ts';
import { type Measurement, perform } from '../perform.ts';
import { isBusy, type Row, summarize } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';

export const lessonSuite: Suite = {
  title: 'the versions of the matrix product that docs/kernels.md tells of, 512 x 512 x 512',
  hasPeers: false,
  devices: ['webgpu'],
  format,
  async run(options) {
    const measurement: Measurement = {
      implementation: ours,
      device: 'webgpu',
      script: new URL('ours.ts', import.meta.url),
      arguments: ['webgpu', options.quick ? 'quick' : 'full'],
      secondsAllowed: 120,
    };
    const { measured, ...outcome } = await perform([measurement], options);
    const rows = measured.flatMap(({ report: { adapter, software, cases } }) =>
      cases.map(
        ({ case: name, milliseconds, othersShare, flops }): Row => ({
          ...{ suite: 'lesson', case: name, implementation: ours, device: 'webgpu', adapter, software, flops },
          ...{ unit: 'ms', ...summarize(milliseconds), othersShare, busy: isBusy(othersShare) },
        }),
      ),
    );
    return { rows, ...outcome };
  },
};

function format(rows: readonly Row[]): string {
  const cells = rows.map((row, i) => [
    row.case,
    row.median.toFixed(1),
    row.min.toFixed(1),
    gigaflops(row),
    i === 0 ? '' : (rows[0].median / row.median).toFixed(1),
  ]);
  return `${formatDevices(rows)}\n\n${textTable(['version', 'median ms', 'min', 'GF/s', 'times the first'], cells)}`;
}
