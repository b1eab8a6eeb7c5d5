import { ours, peerMeasurements, peersAreInstalled, shipped } from '../implementations.ts';
import { type Measurement, perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';

export const memorySuite: Suite = {
  title: 'bytes of all buffers on webgpu during one step of a small GPT, and over many steps',
  hasPeers: true,
  devices: ['webgpu'],
  format,
  async run(options) {
    const own: Measurement = {
      implementation: ours,
      device: 'webgpu',
      script: new URL('ours.ts', import.meta.url),
      arguments: ['webgpu', options.quick ? 'quick' : 'full'],
      secondsAllowed: 400,
    };
    const withPeers = !options.quick && peersAreInstalled();
    const peers = withPeers ? peerMeasurements('webgpu', '', 150).filter(isShipped) : [];
    const { measured, ...outcome } = await perform([own, ...peers], options);
    return { rows: plainRows('memory', measured).filter(({ peakBytes }) => peakBytes !== undefined), ...outcome };
  },
};

function isShipped({ implementation }: Measurement): boolean {
  return implementation.endsWith(shipped);
}

function format(rows: readonly Row[]): string {
  const cells = rows.map(({ case: name, implementation, peakBytes = 0 }) => [
    name,
    implementation,
    (peakBytes / 1024 / 1024).toFixed(2),
  ]);
  const own = rows.find(({ implementation, case: name }) => implementation === ours && name === 'none');
  const others = rows.filter(({ implementation }) => implementation !== ours);
  const least = Math.min(...others.map(({ peakBytes = 0 }) => peakBytes));
  const lines: string[] = [];
  if (own?.peakBytes && others.length > 0) {
    const verdict = own.peakBytes <= least ? 'met' : 'NOT MET';
    lines.push(`${ours} takes ${(own.peakBytes / least).toFixed(2)} of the best peer's peak (${verdict}: at most 1)`);
  }
  const { 'steps of the long run': steps, 'bytes before it': before, 'bytes after it': after } = own?.figures ?? {};
  if (steps !== undefined && before !== undefined && after !== undefined) {
    lines.push(
      `After ${steps} steps more, ${after} bytes where there were ${before} (${after <= before ? 'met' : 'NOT MET'}: no more)`,
    );
  }
  return [
    formatDevices(rows),
    textTable(['frozen', 'by', 'peak MiB'], cells, 2),
    lines.join('\n'),
    'Every buffer that JavaScript made and did not destroy counts, pools and read-back buffers among them; once warm.',
  ].join('\n\n');
}
