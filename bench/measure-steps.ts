/** How steps of models of several sizes are measured. */

import { LoadMeter } from '../command/load-meter.ts';
import { type Device, snapshotWork, workSince } from '../src/index.ts';
import { type MeasuredCase, send } from './child-report.ts';
import type { Gpt } from './gpt.ts';
import { timeEach } from './timing.ts';

/** Steps that are not measured, then rounds of so many that are. */
export interface StepPlan {
  readonly warmSteps: number;
  readonly rounds: number;
  readonly stepsOfRound: number;
}

/**
 * Measures the steps of models, by name, and releases them. Several take turns, so that a slow phase of the machine meets all.
 *
 * Figures: `stepBytes`, the most that a step holds beside what lives between two steps; `steps` made; `loss` of the last one.
 */
export async function measureSteps(
  device: Device,
  gpts: Readonly<Record<string, Gpt>>,
  { warmSteps, rounds, stepsOfRound }: StepPlan,
): Promise<MeasuredCase[]> {
  const all = Object.entries(gpts).map(([name, gpt]) => ({
    ...{ name, gpt, milliseconds: [] as number[], flops: 0, peakBytes: 0, stepBytes: 0, loss: Number.NaN },
  }));
  await send({ progress: all.map(({ name }) => name).join(' and ') });
  const meter = new LoadMeter();
  for (const { gpt } of all) await timeEach(warmSteps, () => gpt.step());
  for (let round = 0; round < rounds; round++) {
    for (const each of all) {
      const [work, { liveBytes }] = [snapshotWork(device), device.memory()];
      device.resetPeak();
      const step = async () => {
        each.loss = await each.gpt.step();
      };
      each.milliseconds.push(...(await timeEach(stepsOfRound, step)));
      each.flops = workSince(device, work).flops / stepsOfRound;
      each.peakBytes = Math.max(each.peakBytes, device.memory().peakBytes);
      each.stepBytes = Math.max(each.stepBytes, device.memory().peakBytes - liveBytes);
    }
  }
  const othersShare = meter.othersShare();
  for (const { gpt } of all) gpt.release();
  return all.map(({ name, gpt, milliseconds, flops, peakBytes, stepBytes, loss }) => ({
    ...{
      case: name,
      milliseconds,
      flops,
      peakBytes,
      othersShare,
      figures: { stepBytes, steps: gpt.training.step, loss },
    },
  }));
}
