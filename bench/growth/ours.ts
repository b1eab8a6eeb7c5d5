// Measures how the cost of a step grows in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import { AdamW, backward, crossEntropy, type Device, Random, step, Transformer, tensor } from '../../src/index.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { startOurs } from '../start-ours.ts';
import { nameOf, type Size, start, variations } from './workload.ts';

const vocabulary = 128;
const headSize = 32;
const warmSteps = 3;
const steps = { full: 8, quick: 2 };

await startOurs(async (device, quick) => {
  const measured: MeasuredCase[] = [];
  for (const size of Object.keys(variations).filter(isSize)) {
    for (const value of quick ? variations[size].slice(0, 2) : variations[size]) {
      await send({ progress: nameOf(size, value) });
      measured.push(await measure(device, size, value, quick ? steps.quick : steps.full));
    }
  }
  return measured;
});

async function measure(device: Device, size: Size, value: number, count: number): Promise<MeasuredCase> {
  const sizes: Record<Size, number> = { ...start };
  sizes[size] = value;
  const { batch, time, width, blocks } = sizes;
  const model = new Transformer(
    {
      ...{ vocabulary, width, heads: width / headSize, hidden: 4 * width, blocks, causal: true },
      ...{ head: 'language-model', normalization: 'layer', positions: { learned: time }, feedForward: 'relu' },
    },
    { device, random: new Random(1) },
  );
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
  const ids = (shift: number) => Int32Array.from({ length: batch * time }, (_, i) => (7 * i + shift) % vocabulary);
  const one = () =>
    step(async () => {
      const tokens = tensor(ids(0), { device, shape: [batch, time] });
      const targets = tensor(ids(7), { device, shape: [batch, time] });
      const loss = crossEntropy(model.call(tokens), targets);
      backward(loss);
      optimizer.step(loss);
      return (await optimizer.report()).loss;
    });
  device.trim();
  for (let i = 0; i < warmSteps; i++) await one();
  device.resetPeak();
  const meter = new LoadMeter();
  const milliseconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await one();
    milliseconds.push(performance.now() - started);
  }
  const measured = { case: nameOf(size, value), milliseconds, othersShare: meter.othersShare() };
  const peakBytes = device.memory().peakBytes;
  optimizer.release();
  for (const parameter of model.parameters()) parameter.release('its measurement was over');
  device.trim();
  return { ...measured, peakBytes };
}

function isSize(name: string): name is Size {
  return name in variations;
}
