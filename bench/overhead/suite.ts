/** What one step of the small GPT costs in JavaScript, on webgpu. */

import { LoadMeter } from '../../command/load-meter.ts';
import { type Device, snapshotWork, workSince } from '../../src/index.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import type { MeasuredCase } from '../child-report.ts';
import { milliseconds, table, verdict } from '../report.ts';
import type { Row } from '../row.ts';
import { smallGpt } from '../step/small-gpt.ts';
import type { Suite } from '../suite.ts';
import { timeEach } from '../timing.ts';

/** What the project allows itself, on the main thread. */
const mostMilliseconds = 3;

const warmSteps = 10;
const steps = { full: 150, quick: 5 };

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { overhead: { measure } },
  report: (rows) => rows.flatMap(reportRow),
};

async function measure(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  if (!(device instanceof WebGpuDevice)) return [];
  const count = quick ? steps.quick : steps.full;
  const taken = { forward: [] as number[], backward: [] as number[], update: [] as number[], submit: [] as number[] };
  let phaseBegan = 0;
  const gpt = smallGpt(device, {
    onPhase(phase) {
      const now = performance.now();
      taken[phase].push(now - phaseBegan);
      phaseBegan = now;
    },
  });
  const { queue } = device.gpu;
  const submit = queue.submit.bind(queue);
  let submitting = 0;
  queue.submit = (commands) => {
    const began = performance.now();
    submit(commands);
    submitting += performance.now() - began;
  };
  const step = async () => {
    submitting = 0;
    phaseBegan = performance.now();
    await gpt.step();
    taken.submit.push(submitting);
  };
  await timeEach(warmSteps, step);
  for (const times of Object.values(taken)) times.length = 0;
  const before = { ...device.made, pipelines: device.pipelineCount, work: snapshotWork(device) };
  const meter = new LoadMeter();
  const whole = await timeEach(count, step);
  return [
    {
      case: 'JavaScript of one step',
      milliseconds: whole.map((_, i) => Object.values(taken).reduce((sum, times) => sum + times[i], 0)),
      othersShare: meter.othersShare(),
      series: { ...taken, whole },
      figures: {
        steps: count,
        buffersMade: device.made.buffers - before.buffers,
        bindGroupsMade: device.made.bindGroups - before.bindGroups,
        pipelinesMade: device.pipelineCount - before.pipelines,
        submissionsOfStep: (device.made.submissions - before.submissions) / count,
        dispatchesOfStep: workSince(device, before.work).totalDispatches / count,
      },
    },
  ];
}

function reportRow({ median, min, max, series, figures }: Row): string[] {
  const parts = ['forward', 'backward', 'update', 'submit'].map((name) => [name, milliseconds(series[name].median)]);
  parts.push(['all of it', `${milliseconds(median)} (${milliseconds(min)} to ${milliseconds(max)})`]);
  const isMet = verdict(median < mostMilliseconds, `under ${mostMilliseconds} ms`);
  return [
    table(parts, { 'recording and encoding': ([name]) => name, 'median ms of the main thread': ([, time]) => time }),
    `${milliseconds(median)} ms of JavaScript in a step of ${milliseconds(series.whole.median)} ms (${isMet}).`,
    `In ${figures.steps} steady steps: ${figures.buffersMade} buffers, ${figures.bindGroupsMade} bind groups and ` +
      `${figures.pipelinesMade} pipelines made. Per step: dispatches ${figures.dispatchesOfStep}, submissions ${figures.submissionsOfStep}.`,
  ];
}
