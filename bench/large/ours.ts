// Measures sizes that fill a graphics card: ours.ts <webgpu> <full | quick>

import { snapshotWork, workSince } from '../../src/index.ts';
import { attentionOperation } from '../attention/operation.ts';
import type { MeasuredCase } from '../child-report.ts';
import { send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { matmulOperation } from '../matmul/operation.ts';
import { measureOperations } from '../measure-operations.ts';
import { SizedGpt } from '../sized-gpt.ts';
import { startOurs } from '../start-ours.ts';
import { attentions, gptSize, products } from './workload.ts';

const steps = { hardware: 10, software: 1 };

await startOurs(async (device, quick) => {
  const few = <Case>(cases: readonly Case[]) => (quick ? cases.slice(0, 1) : cases);
  const matmul = await measureOperations(few(products), (one) => matmulOperation(device, one), quick);
  const attention = await measureOperations(few(attentions), (one) => attentionOperation(device, one), quick);
  const measured: MeasuredCase[] = [...matmul, ...attention.map((one) => ({ ...one, case: `attention, ${one.case}` }))];
  if (quick) return measured;
  for (const activations of device.supports('f16') ? ([undefined, 'f16'] as const) : [undefined]) {
    const size = gptSize(device.software);
    const gpt = new SizedGpt(device, size, activations);
    const name = `GPT step, ${(gpt.parameterCount / 1e6).toFixed(0)} M parameters, batch ${size.batch}, ${activations ?? 'f32'}`;
    await send({ progress: name });
    const started = performance.now();
    await gpt.step();
    const firstMilliseconds = performance.now() - started;
    device.resetPeak();
    const before = snapshotWork(device);
    const meter = new LoadMeter();
    const milliseconds: number[] = [];
    for (let i = 0; i < (device.software ? steps.software : steps.hardware); i++) {
      const start = performance.now();
      await gpt.step();
      milliseconds.push(performance.now() - start);
    }
    const flops = workSince(device, before).flops / milliseconds.length;
    const peakBytes = device.memory().peakBytes;
    measured.push({ case: name, milliseconds, firstMilliseconds, flops, peakBytes, othersShare: meter.othersShare() });
    gpt.release();
  }
  return measured;
});
