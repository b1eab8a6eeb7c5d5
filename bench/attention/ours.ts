// Measures attention of frostgrad in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import type { MeasuredCase } from '../child-report.ts';
import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { attentionOperation } from './operation.ts';
import { cases } from './workload.ts';

await startOurs(async (device, quick) => {
  const peaks = new Map<string, number>();
  const measured = await measureOperations(
    quick ? cases.slice(0, 1) : cases,
    (one) => attentionOperation(device, one, (bytes) => peaks.set(one.name, bytes)),
    quick,
  );
  return measured.map((one): MeasuredCase => ({ ...one, peakBytes: peaks.get(one.case) }));
});
