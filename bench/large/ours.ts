// Measures sizes that fill a graphics card: ours.ts <webgpu> <full | quick> <part>

import { type Device, DeviceLimitError, snapshotWork, workSince } from '../../src/index.ts';
import { attentionOperation } from '../attention/operation.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { matmulOperation } from '../matmul/operation.ts';
import { measureOperations } from '../measure-operations.ts';
import { SizedGpt } from '../sized-gpt.ts';
import { startOurs } from '../start-ours.ts';
import { multiplyAddsCase, multiplyAddsOperation } from './multiply-adds.ts';
import { attentionName, attentions, gptName, gptSize, gptSteps, products } from './workload.ts';

await startOurs(async (device, quick) => {
  const part = process.argv[4];
  if (part === 'operations') return measureLargeOperations(device, quick);
  const activations = part === 'GPT in f16' ? 'f16' : undefined;
  if (activations && !device.supports(activations)) {
    await send({ progress: `${device.adapter} has no f16 in shaders` });
    return [];
  }
  return [await measureGpt(device, activations)];
});

async function measureLargeOperations(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const few = <Case>(cases: readonly Case[]) => (quick ? cases.slice(0, 1) : cases);
  const peak = await measureOperations([multiplyAddsCase(device)], () => multiplyAddsOperation(device), quick);
  const matmul = await measureOperations(few(products), (one) => matmulOperation(device, one), quick);
  const attention = await measureOperations(
    few(attentions).map((one) => ({ ...one, name: attentionName(one) })),
    (one) => attentionOperation(device, one),
    quick,
  );
  return [...peak, ...matmul, ...attention];
}

async function measureGpt(device: Device, activations: 'f16' | undefined): Promise<MeasuredCase> {
  const { gpt, size, firstMilliseconds } = await startGpt(device, activations);
  device.resetPeak();
  const before = snapshotWork(device);
  const meter = new LoadMeter();
  const milliseconds: number[] = [];
  const count = gptSteps(device.software);
  for (let i = 1; i <= count; i++) {
    const start = performance.now();
    await gpt.step();
    milliseconds.push(performance.now() - start);
    await send({ progress: `step ${i} of ${count}, ${(milliseconds[i - 1] / 1000).toFixed(2)} s` });
  }
  const flops = workSince(device, before).flops / count;
  const peakBytes = device.memory().peakBytes;
  const name = gptName(size, activations);
  return { case: name, milliseconds, firstMilliseconds, flops, peakBytes, othersShare: meter.othersShare() };
}

/** The first step, of the largest batch whose logits the adapter binds. */
async function startGpt(device: Device, activations: 'f16' | undefined) {
  for (let size = gptSize(device.software); ; size = { ...size, batch: size.batch / 2 }) {
    const gpt = new SizedGpt(device, size, activations);
    await send({ progress: `${gptName(size, activations)}: the first` });
    const started = performance.now();
    try {
      await gpt.step();
      return { gpt, size, firstMilliseconds: performance.now() - started };
    } catch (error) {
      if (!(error instanceof DeviceLimitError) || size.batch === 1) throw error;
      gpt.release();
    }
  }
}
