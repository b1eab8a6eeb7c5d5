/** Triangles of matrices. */
import { arange } from '../../tensor/create.ts';
import { computeDType } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { formatShape } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { beginNumbers } from '../record.ts';
import { evaluate } from './pointwise/expression.ts';
import { greaterEqual, lessEqual, where } from './pointwise/pointwise.ts';

/** The lower triangle of matrices (…, rows, columns), 0 above it. `diagonal` says where it ends: 0 at the main diagonal, 1 one above it. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle('tril', x, diagonal, lessEqual);
}

/** The upper triangle of matrices (…, rows, columns), 0 below it. `diagonal` says where it begins: 0 at the main diagonal, 1 one above it. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle('triu', x, diagonal, greaterEqual);
}

function triangle(operation: string, x: Tensor, diagonal: number, compare: typeof lessEqual): Tensor {
  beginNumbers(operation, x);
  if (x.rank < 2) {
    throw new ShapeError(`${operation}: shape ${formatShape(x.shape)} is no matrix (allowed: […, rows, columns])`);
  }
  if (!Number.isInteger(diagonal))
    throw new ArgumentError(`${operation}: diagonal is ${diagonal} (allowed: a whole number)`);
  const [rows, columns] = x.shape.slice(-2);
  const options = { device: x.device, dtype: computeDType(x.dtype) };
  const [columnNumbers, rowNumbers] = [arange(columns, options), arange(rows, options).reshape([rows, 1])];
  const operands = [columnNumbers, rowNumbers.add(diagonal)];
  return where(evaluate((x.dtype === 'i32' && compare.onIntegers) || compare.forward, operands, x.dtype), x, 0);
}
