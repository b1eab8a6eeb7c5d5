/** Trainings side by side in one process: each comes to what it comes to alone, bit for bit. */
import { expect, test } from 'vitest';
import type { Device } from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { cpu, webgpu } from '../devices.ts';
import { makeResumable } from './resumable.ts';

/** With adapters, dropout, a rule that freezes, evaluations, and micro-batches. */
async function outcome(device: Device, rule: string) {
  const run = makeResumable(device, rule, { adapters: true });
  await run.advanceTo(40);
  const { operations } = run.training;
  const end = { ...(await run.outcome()), operations };
  run.release();
  return end;
}

test.each<[string, Device, Device]>([
  ['one device', cpu, cpu],
  ['two devices', webgpu ?? new CpuDevice(), cpu],
])('on %s', async (_, first, second) => {
  const [one, other] = [() => outcome(first, 'GradES'), () => outcome(second, "the paper's version 1")];
  const alone = [await one(), await other()];
  expect(alone.map(({ events }) => Array.isArray(events) && events.length > 0)).toEqual([true, true]);
  const live = [first, second].map((device) => device.memory().liveBytes);
  expect(await Promise.all([one(), other()])).toEqual(alone);
  // What ran alone may still have been waiting for the garbage collector.
  for (const [i, device] of [first, second].entries()) {
    expect(device.memory().liveBytes).toBeLessThanOrEqual(live[i]);
  }
});
