import { expect, test } from 'vitest';
import { shareOutsideCalls } from '../../bench/step/dispatch-times.ts';
import { matmul, step, zeros } from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';

test('what kernel calls take is no share outside of them, and the device is left as it was', async () => {
  const device = new CpuDevice();
  const { run } = device;
  const multiply = () =>
    step(() => {
      const square = zeros([256, 256], { device });
      for (let i = 0; i < 20; i++) matmul(square, square);
    });
  const share = await shareOutsideCalls(device, multiply);
  expect(share).toBeGreaterThan(0);
  expect(share).toBeLessThan(1);
  expect(await shareOutsideCalls(device, async () => {})).toBe(1);
  expect(device.run).toBe(run);
});
