import { afterEach, expect, test } from 'vitest';
import { type Device, GradES, isFrozen, noGrad, step } from '../../src/index.ts';
import { onEachDevice, webgpu } from '../devices.ts';
import { collectGarbage, releaseMade, Training } from '../nn/tiny.ts';

afterEach(releaseMade);

const STEPS = 2000;
const config = { vocabulary: 5, width: 4, heads: 1, hidden: 4, blocks: 1 } as const;

/** A script's loop: steps and evaluations, no call that disposes of anything. */
async function run(device: Device, afterFreeze: (() => void) | null) {
  await collectGarbage();
  const training = new Training(device, { model: config, optimizer: { learningRate: 0.003 } });
  const rule = { steps: STEPS, threshold: 0.9, interval: 20, freezeLeftovers: true };
  const policy = afterFreeze ? new GradES(training.registry, training.optimizer, rule) : undefined;
  const { events } = training.registry;
  const train = async (from: number, to: number) => {
    for (let s = from; s <= to; s++) {
      const before = events.length;
      await training.step(s, { policy, batch: 2 });
      if (s % 20 === 7) await step(() => noGrad(async () => await training.loss(STEPS + s, 2).item()));
      if (events.length > before) afterFreeze?.();
    }
  };
  await train(1, 10);
  await device.synchronize();
  const early = device.memory();
  const made = device === webgpu ? webgpu.made.buffers : 0;
  await train(11, STEPS);
  await device.synchronize();
  const late = device.memory();
  const madeLater = device === webgpu ? webgpu.made.buffers - made : 0;
  await policy?.end();
  return { training, early, late, madeLater, train };
}

onEachDevice((device) => {
  test('2,000 training steps with evaluations leave memory where it was after step 10', async () => {
    const { early, late, madeLater, training } = await run(device, null);
    expect({ ...late, peakBytes: 0 }).toEqual({ ...early, peakBytes: 0 });
    expect(madeLater).toBe(0);
    expect((await training.optimizer.report()).loss).toBeLessThan(1);
  });

  test('2,000 training steps with GradES give back what the frozen held, and nothing else', async () => {
    const { early, late, training, train } = await run(device, () => device.trim());
    const frozen = training.registry.entries.filter(isFrozen).flatMap(({ parameters }) => parameters);
    expect(frozen.length).toBeGreaterThan(5);
    const bytes = frozen.reduce((sum, { byteLength }) => sum + 2 * byteLength, 0);
    expect(early.liveBytes - late.liveBytes).toBe(bytes);
    expect(early.liveBuffers - late.liveBuffers).toBe(2 * frozen.length);
    expect(late.reservedBytes).toBeLessThan(early.reservedBytes);
    expect(late.reservedBuffers).toBeLessThan(early.reservedBuffers);
    expect(training.registry.events.at(-1)?.step).toBeLessThan(STEPS - 10);
    await train(STEPS + 1, STEPS + 20);
    expect({ ...device.memory(), peakBytes: 0 }).toEqual({ ...late, peakBytes: 0 });
  });
});
