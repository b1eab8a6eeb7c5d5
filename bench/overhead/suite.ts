import { ours } from '../implementations.ts';
import { type Measurement, perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';

/** What the project asks of itself, on the main thread. */
const mostMilliseconds = 3;

export const overheadSuite: Suite = {
  title: 'what one step of a small GPT costs in JavaScript, on webgpu',
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
    return { rows: plainRows('overhead', measured), ...outcome };
  },
};

function format(rows: readonly Row[]): string {
  const tables = rows.map(({ median, min, max, figures = {} }) => {
    const cells = ['forward', 'backward', 'update', 'submit'].map((phase) => [
      phase,
      (figures[`${phase} ms`] ?? 0).toFixed(2),
    ]);
    cells.push(['all of it', `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`]);
    const verdict = median < mostMilliseconds ? 'met' : 'NOT MET';
    return [
      textTable(['recording and encoding', 'median ms of the main thread'], cells),
      `${median.toFixed(2)} ms of JavaScript in a step of ${figures['whole step ms']?.toFixed(1)} ms (${verdict}: under ${mostMilliseconds} ms)`,
      `In ${figures.steps} steady steps ${figures['buffers made']} buffers, ${figures['bind groups made']} bind groups and ` +
        `${figures['pipelines made']} pipelines were made. A step makes ${figures['dispatches a step']} dispatches in ` +
        `${figures['submissions a step']} submissions (one for the values that are read back), and waits once.`,
    ].join('\n\n');
  });
  return [formatDevices(rows), ...tables].join('\n\n');
}
