/** Bytes of all WebGPU buffers during the step of the small GPT, and over many steps. */

import type { Device } from '../../src/index.ts';
import type { MeasuredCase } from '../child-report.ts';
import { ours } from '../peers.ts';
import { find, mebibytes, table, verdict, who } from '../report.ts';
import type { Row } from '../row.ts';
import { freeze, smallGpt } from '../step/small-gpt.ts';
import { cases } from '../step/workload.ts';
import type { Suite } from '../suite.ts';
import { timeEach } from '../timing.ts';
import { meterBuffers } from './buffer-meter.ts';

const warmSteps = 4;
const measuredSteps = 12;
const longRun = { full: 2000, quick: 40 };

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { memory: { measure } },
  peers: { suffix: '', onlyAsShipped: true },
  report,
};

async function measure(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  const meter = meterBuffers();
  for (const name of cases) {
    const gpt = smallGpt(device);
    await timeEach(warmSteps, () => gpt.step());
    freeze(gpt, name);
    device.trim();
    meter.peak = meter.bytes;
    const milliseconds = await timeEach(measuredSteps, () => gpt.step());
    const peakBytes = meter.peak;
    let figures: MeasuredCase['figures'];
    if (name === 'none') {
      const steps = quick ? longRun.quick : longRun.full;
      const before = meter.bytes;
      await timeEach(steps, () => gpt.step());
      figures = { longRunSteps: steps, bytesBefore: before, bytesAfter: meter.bytes };
    }
    measured.push({ case: name, milliseconds, othersShare: null, peakBytes, figures });
    gpt.release();
  }
  return measured;
}

function report(rows: readonly Row[]): string[] {
  const metered = rows.filter(({ peakBytes }) => peakBytes !== undefined);
  const peers = metered.filter(({ implementation }) => implementation !== ours);
  const least = Math.min(...peers.map(({ peakBytes = 0 }) => peakBytes));
  const own = find(rows, { case: 'none', device: 'webgpu' });
  const lines: string[] = [];
  if (own?.peakBytes && peers.length > 0) {
    const share = own.peakBytes / least;
    lines.push(`${ours} takes ${share.toFixed(2)} of the best peer's peak (${verdict(share <= 1, 'at most 1')}).`);
  }
  if (own) {
    const { longRunSteps: steps, bytesBefore: before, bytesAfter: after } = own.figures;
    lines.push(
      `After ${steps} more steps: ${after} bytes, before them ${before} (${verdict(after <= before, 'no more')}).`,
    );
  }
  return [
    table(metered, { frozen: who.case, by: who.by, 'peak MiB': ({ peakBytes }) => mebibytes(peakBytes) }, 2),
    lines.join('\n'),
    'Every buffer counts that JavaScript made and did not destroy, pools and read-back buffers too. Warm steps only.',
  ];
}
