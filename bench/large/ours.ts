// Measures sizes that fill a graphics card: ours.ts <webgpu> <full | quick> <part>

import { type Device, DeviceLimitError, NoAdapterError, snapshotWork, workSince } from '../../src/index.ts';
import { attentionOperation } from '../attention/operation.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { matmulOperation } from '../matmul/operation.ts';
import { measureOperations } from '../measure-operations.ts';
import { SizedGpt } from '../sized-gpt.ts';
import { startOurs } from '../start-ours.ts';
import { attentions, gptSize, products } from './workload.ts';

const steps = { hardware: 10, software: 3 };

await startOurs(async (device, quick) => {
  const part = process.argv[4];
  if (part === 'operations') return measureLargeOperations(device, quick);
  const activations = part === 'GPT in f16' ? 'f16' : undefined;
  if (activations && !device.supports(activations)) throw new NoAdapterError(`${device.adapter} has no f16 in shaders`);
  return [await measureGpt(device, activations)];
});

async function measureLargeOperations(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const few = <Case>(cases: readonly Case[]) => (quick ? cases.slice(0, 1) : cases);
  const matmul = await measureOperations(few(products), (one) => matmulOperation(device, one), quick);
  const attention = await measureOperations(few(attentions), (one) => attentionOperation(device, one), quick);
  return [...matmul, ...attention.map((one) => ({ ...one, case: `attention, ${one.case}` }))];
}

async function measureGpt(device: Device, activations: 'f16' | undefined): Promise<MeasuredCase> {
  const { gpt, batch, time, firstMilliseconds } = await startGpt(device, activations);
  device.resetPeak();
  const before = snapshotWork(device);
  const meter = new LoadMeter();
  const milliseconds: number[] = [];
  const count = device.software ? steps.software : steps.hardware;
  for (let i = 1; i <= count; i++) {
    const start = performance.now();
    await gpt.step();
    milliseconds.push(performance.now() - start);
    await send({ progress: `step ${i} of ${count}, ${(milliseconds[i - 1] / 1000).toFixed(2)} s` });
  }
  const flops = workSince(device, before).flops / count;
  const peakBytes = device.memory().peakBytes;
  const millions = (gpt.parameterCount / 1e6).toFixed(0);
  const name = `GPT step, ${millions} M parameters, batch ${batch}, ${time} positions, ${activations ?? 'f32'}`;
  return { case: name, milliseconds, firstMilliseconds, flops, peakBytes, othersShare: meter.othersShare() };
}

/** The first step, of the largest batch whose logits the adapter binds. */
async function startGpt(device: Device, activations: 'f16' | undefined) {
  const size = gptSize(device.software);
  for (let { batch } = size; ; batch = Math.ceil(batch / 2)) {
    const gpt = new SizedGpt(device, { ...size, batch }, activations);
    await send({ progress: `${(gpt.parameterCount / 1e6).toFixed(0)} M parameters, batch ${batch}: first step` });
    const started = performance.now();
    try {
      await gpt.step();
      return { gpt, batch, time: size.time, firstMilliseconds: performance.now() - started };
    } catch (error) {
      if (!(error instanceof DeviceLimitError) || batch === 1) throw error;
      gpt.release();
    }
  }
}
