// Measures what a step costs in JavaScript in a process of its own: ours.ts <webgpu> <full | quick>

import { snapshotWork, workSince } from '../../src/index.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { LoadMeter } from '../load-meter.ts';
import { startOurs } from '../start-ours.ts';
import { median } from '../statistics.ts';
import { Gpt } from '../step/gpt.ts';

const warmSteps = 10;
const steps = { full: 150, quick: 5 };

await startOurs(async (device, quick) => {
  if (!(device instanceof WebGpuDevice)) return [];
  const gpt = new Gpt(device);
  for (let i = 0; i < warmSteps; i++) await gpt.step();
  let submitting = 0;
  const { queue } = device.gpu;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    const start = performance.now();
    submit(commands);
    submitting += performance.now() - start;
  };
  const count = quick ? steps.quick : steps.full;
  const phases = { forward: [] as number[], backward: [] as number[], update: [] as number[], submit: [] as number[] };
  const totals: number[] = [];
  const whole: number[] = [];
  const before = { ...device.made, pipelines: device.pipelineCount, work: snapshotWork(device) };
  const meter = new LoadMeter();
  for (let i = 0; i < count; i++) {
    submitting = 0;
    const { started, forward, backward, update } = await gpt.stepInPhases();
    whole.push(performance.now() - started);
    phases.forward.push(forward - started);
    phases.backward.push(backward - forward);
    phases.update.push(update - backward);
    phases.submit.push(submitting);
    totals.push(update - started + submitting);
  }
  const made = {
    buffers: device.made.buffers - before.buffers,
    bindGroups: device.made.bindGroups - before.bindGroups,
    pipelines: device.pipelineCount - before.pipelines,
    submissions: (device.made.submissions - before.submissions) / count,
    dispatches: workSince(device, before.work).totalDispatches / count,
  };
  return [
    {
      case: 'JavaScript of one step',
      milliseconds: totals,
      othersShare: meter.othersShare(),
      figures: {
        ...Object.fromEntries(Object.entries(phases).map(([phase, times]) => [`${phase} ms`, median(times)])),
        'whole step ms': median(whole),
        'buffers made': made.buffers,
        'bind groups made': made.bindGroups,
        'pipelines made': made.pipelines,
        'submissions a step': made.submissions,
        'dispatches a step': made.dispatches,
        steps: count,
      },
    },
  ];
});
