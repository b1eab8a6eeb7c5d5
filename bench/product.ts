/** The matrix product by a kernel of one's choice, past the library's own choice. */

import type { MatmulChoice } from '../src/autograd/operations/matmul/kernels.ts';
import type { MatmulScalars } from '../src/autograd/operations/matmul/reference.ts';
import { type Device, type Tensor, tensor, zeros } from '../src/index.ts';
import { dispatch } from '../src/tensor/dispatch.ts';
import { libraryOperation } from './library-operation.ts';
import type { Operation } from './measure-operations.ts';

/** Rows of the result, length of the sums, columns of the result. */
export type ProductShape = readonly [m: number, k: number, n: number];

/** The kernel that computes a product of such sizes and strides. */
export type Choose = (scalars: MatmulScalars) => MatmulChoice;

/** Writes a · b to c, (m, k) · (k, n) → (m, n), all dense. */
export function dispatchProduct(a: Tensor, b: Tensor, c: Tensor, choose: Choose): void {
  const [[m, k], n] = [a.shape, b.shape[1]];
  const strides = { aOffset: 0, aBatch: 0, aRow: k, aColumn: 1, bOffset: 0, bBatch: 0, bRow: n, bColumn: 1 };
  const scalars = { m, n, k, ...strides, useBias: 0, addToResult: 0, useResidual: 0, rectify: 0 };
  const { kernel, tileM, tileN } = choose(scalars);
  const workgroups = [Math.ceil(n / tileN), Math.ceil(m / tileM), 1] as const;
  dispatch(kernel, { operands: { a, b, bias: a, residual: a, c }, scalars, workgroups, flops: 2 * m * n * k });
}

/** The same as something to be measured. */
export function productOperation(device: Device, [m, k, n]: ProductShape, choose: Choose): Operation {
  const matrix = (rows: number, columns: number) => {
    const values = Float32Array.from({ length: rows * columns }, (_, i) => (i % 7) / 7);
    return tensor(values, { device, shape: [rows, columns] });
  };
  const [a, b, c] = [matrix(m, k), matrix(k, n), zeros([m, n], { device })];
  return libraryOperation(device, [a, b, c], () => dispatchProduct(a, b, c, choose));
}
