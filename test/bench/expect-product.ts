import { type Choose, dispatchProduct, type ProductShape } from '../../bench/product.ts';
import { type Device, matmul, step, zeros } from '../../src/index.ts';
import { reference } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';

/** Holds the chosen kernel's product of random matrices, (m, k) · (k, n), against the reference loop's. */
export function expectProduct(device: Device, [m, k, n]: ProductShape, choose: Choose): Promise<void> {
  return step(async () => {
    const make = (on: Device) => [random([m, k], { seed: 1, device: on }), random([k, n], { seed: 2, device: on })];
    const [a, b] = make(device);
    const c = zeros([m, n], { device });
    dispatchProduct(a, b, c, choose);
    const [left, right] = make(reference);
    await expectClose(c, matmul(left, right), { absolute: 1e-5, relative: 0 });
  });
}
