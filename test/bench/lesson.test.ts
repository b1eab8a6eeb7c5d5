import { expect, test } from 'vitest';
import { choiceOf, openVersion, versions } from '../../bench/lesson/suite.ts';
import { webgpu } from '../devices.ts';
import { expectProduct } from './expect-product.ts';

const shapes = [
  [33, 20, 12],
  [5, 3, 7],
  [64, 64, 64],
] as const;

test.skipIf(!webgpu)('every version of the lesson computes the product', async () => {
  for (const version of versions) {
    const device = await openVersion(version);
    if (!device) continue;
    for (const shape of shapes) await expectProduct(device, shape, (s) => choiceOf(version, device, s));
    device.trim();
    expect(device.memory().liveBytes).toBe(0);
  }
});
