import type { MatmulChoice } from '../src/autograd/operations/matmul/kernels.ts';
import type { MatmulScalars } from '../src/autograd/operations/matmul/reference.ts';
import { type Device, step, type Tensor, tensor, zeros } from '../src/index.ts';
import { dispatch } from '../src/tensor/dispatch.ts';
import type { Operation } from './measure-operations.ts';

/** The kernel that computes a product of such sizes and strides. */
export type Choose = (scalars: MatmulScalars) => MatmulChoice;

/** Writes a · b to c, (m, k) · (k, n) → (m, n), all dense, with the kernel that was chosen. */
export function dispatchProduct(a: Tensor, b: Tensor, c: Tensor, choose: Choose): void {
  const [[m, k], n] = [a.shape, b.shape[1]];
  const strides = { aOffset: 0, aBatch: 0, aRow: k, aColumn: 1, bOffset: 0, bBatch: 0, bRow: n, bColumn: 1 };
  const scalars = { m, n, k, ...strides, useBias: 0, addToResult: 0, useResidual: 0, rectify: 0 };
  const { kernel, tileM, tileN } = choose(scalars);
  const workgroups = [Math.ceil(n / tileN), Math.ceil(m / tileM), 1] as const;
  dispatch(kernel, { operands: { a, b, bias: a, residual: a, c }, scalars, workgroups, flops: 2 * m * n * k });
}

/** The same as something to be measured. */
export function productOperation(
  device: Device,
  [m, k, n]: readonly [m: number, k: number, n: number],
  choose: Choose,
): Operation {
  const matrix = (rows: number, columns: number) =>
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => (i % 7) / 7),
      { device, shape: [rows, columns] },
    );
  const [a, b, c] = [matrix(m, k), matrix(k, n), zeros([m, n], { device })];
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await step(() => dispatchProduct(a, b, c, choose));
      await device.synchronize();
    },
    release() {
      for (const each of [a, b, c]) each.release('its measurement was over');
      device.trim();
    },
  };
}
