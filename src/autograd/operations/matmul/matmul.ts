/** The matrix product with its gradients. */

import { copyInto } from '../../../tensor/copy.ts';
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType, type DType } from '../../../tensor/dtype.ts';
import { ArgumentError, BackwardError, ShapeError } from '../../../tensor/errors.ts';
import { checkOptions } from '../../../tensor/options.ts';
import { broadcastShapes, collapseAxes, formatShape, type Shape, sameShape, sizeOf } from '../../../tensor/shape.ts';
import { allocate, copy, dense, type Tensor } from '../../../tensor/tensor.ts';
import { type GradientRule, LeafNode } from '../../node.ts';
import { beginView, beginWithStored, record, refuseStored } from '../../record.ts';
import { widestDType } from '../pointwise/expression.ts';
import { relu } from '../pointwise/pointwise.ts';
import { recordPointwise } from '../pointwise/row.ts';
import { reduceAxes, sumToShape } from '../reduction/reduce-axes.ts';
import { broadcastView, reshape, reshapeView } from '../views.ts';
import { chooseMatmul, partsOfInner } from './kernels.ts';

export interface MatmulOptions {
  /** Added to the product: the value a residual connection carries past a layer. Of the shape of the result. */
  residual?: Tensor | null;
  /** Applied last. ReLU alone, because its derivative needs its result alone: nothing else has to be written. */
  activation?: 'relu' | null;
}

/**
 * activation( a · b + bias + residual ), where everything but the product is optional and costs no pass of its own:
 * (…, m, k) · (…, k, n) → (…, m, n). Leading axes broadcast; a `b` of two axes is one matrix for all of `a`, as in a linear
 * layer, and may be stored in bf16. A vector is one row on the left, one column on the right: (k) · (k) is a scalar. `bias` has shape
 * (n). Transposed views cost no copy. 2·m·n·k operations a matrix. The result is stored as `a` is, but
 * in f32 where the residual is f32. The bits of a row do not depend on the other rows, nor on how many there are.
 *
 * @throws ShapeError where the inner extents, the leading axes, the bias or the residual do not fit.
 */
export function matmul(a: Tensor, b: Tensor, bias: Tensor | null = null, options: MatmulOptions = {}): Tensor {
  checkOptions('matmul', options, ['residual', 'activation']);
  const { residual = null, activation = null } = options;
  if (activation !== null && activation !== 'relu') {
    throw new ArgumentError(
      `matmul: activation is ${String(activation)} (allowed: 'relu' or null; others are functions of the result)`,
    );
  }
  const others = [bias, residual].filter((each) => each !== null);
  beginWithStored('matmul', a, b, ...others);
  refuseStored('matmul', a, ...others);
  if (a.rank === 1 || b.rank === 1) return withVectors(a, b, bias, options);
  const k = a.shape[a.rank - 1];
  const n = b.shape[b.rank - 1];
  if (a.rank < 2 || b.rank < 2 || k !== b.shape[b.rank - 2]) {
    throw misfit(a, b);
  }
  if (bias && (bias.rank !== 1 || bias.shape[0] !== n)) {
    throw new ShapeError(`matmul: bias ${formatShape(bias.shape)} must have shape ${formatShape([n])}`);
  }
  const batchShape = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...batchShape, a.shape[a.rank - 2], n];
  if (residual && !sameShape(residual.shape, shape)) {
    throw new ShapeError(`matmul: residual ${formatShape(residual.shape)} must have shape ${formatShape(shape)}`);
  }
  const dtype = residual ? widestDType([a, residual]) : a.dtype;
  const result = product(a, b, dtype, { bias, residual, rectify: activation === 'relu' });
  const leaf = b.node;
  const gradientDType = computeDType(dtype);
  const rules: GradientRule[] = [
    {
      input: a,
      saves: [b],
      gradient(g, [b], total) {
        const isWhole = sameShape(g.shape.slice(0, -2), a.shape.slice(0, -2));
        if (!total || !isWhole) return sumToShape(product(g, transposed(b), gradientDType), a.shape);
        product(g, transposed(b), gradientDType, { total });
        return total;
      },
    },
    {
      input: b,
      saves: [a],
      gradient: (g, [a]) => {
        if (b.rank > 2) return sumToShape(product(transposed(a), g, gradientDType), b.shape);
        if (leaf instanceof LeafNode && leaf.splitsHalves) return gradientHalves(a, g, leaf.name);
        return product(transposed(asMatrix(a)), asMatrix(g), gradientDType, { splits: true });
      },
    },
  ];
  if (bias) rules.push({ input: bias, gradient: (g) => sumToShape(g, bias.shape) });
  if (residual) rules.push({ input: residual, gradient: (g) => g });
  record('matmul', result, rules);
  return activation === 'relu' ? recordRelu(result) : result;
}

/** A vector on the left is one row, on the right one column, which the result then lacks. */
function withVectors(a: Tensor, b: Tensor, bias: Tensor | null, { residual, ...others }: MatmulOptions): Tensor {
  if (a.rank === 0 || b.rank === 0 || a.shape[a.rank - 1] !== b.shape[Math.max(0, b.rank - 2)]) throw misfit(a, b);
  const [left, right] = [a.rank === 1 ? reshape(a, [1, -1]) : a, b.rank === 1 ? reshape(b, [-1, 1]) : b];
  const whole = [
    ...broadcastShapes('matmul', left.shape.slice(0, -2), right.shape.slice(0, -2)),
    left.shape[left.rank - 2],
    right.shape[right.rank - 1],
  ];
  const isKept = (axis: number) =>
    !(a.rank === 1 && axis === whole.length - 2) && !(b.rank === 1 && axis === whole.length - 1);
  const shape = whole.filter((_, axis) => isKept(axis));
  if (residual && !sameShape(residual.shape, shape)) {
    throw new ShapeError(`matmul: residual ${formatShape(residual.shape)} must have shape ${formatShape(shape)}`);
  }
  return reshape(matmul(left, right, bias, { residual: residual && reshape(residual, whole), ...others }), shape);
}

function misfit(a: Tensor, b: Tensor): ShapeError {
  return new ShapeError(
    `matmul: ${formatShape(a.shape)} · ${formatShape(b.shape)} does not fit: the last axis of the first must equal the second last of ` +
      'the second, or its only one',
  );
}

/** Enters a ReLU into the graph that the kernel has already applied to its result, which it takes over. */
function recordRelu(result: Tensor): Tensor {
  beginView('relu', result);
  const rectified = result.view({ shape: result.shape, strides: result.strides }, 'relu');
  recordPointwise(relu, rectified, [result]);
  result.release('its ReLU took it over');
  return rectified;
}

/**
 * aᵀ · g for the first half of the batch and for the second, (2, k, n). The batch is the first axis of a; of an odd number of
 * samples the first half has one more.
 */
function gradientHalves(a: Tensor, g: Tensor, name: string): Tensor {
  const [samples] = a.shape;
  if (samples < 2) {
    throw new BackwardError(
      `matmul: the gradient of ${name} was asked for in two halves, but the batch holds ${samples} samples (allowed: 2 or more)`,
    );
  }
  const dtype = computeDType(a.dtype);
  if (samples % 2 === 0) {
    const half = (x: Tensor) => reshapeView(x, [2, sizeOf(x.shape.slice(0, -1)) / 2, x.shape[x.rank - 1]]);
    return product(transposed(half(a)), half(g), dtype);
  }
  const halves = allocate(a.device, dtype, [2, a.shape[a.rank - 1], g.shape[g.rank - 1]], 'matmul');
  const cut = (samples + 1) / 2;
  for (const [index, from, to] of [
    [0, 0, cut],
    [1, cut, samples],
  ]) {
    const part = (x: Tensor) =>
      asMatrix(
        x.view(
          { shape: [to - from, ...x.shape.slice(1)], strides: x.strides, offset: x.offset + from * x.strides[0] },
          'half',
        ),
      );
    const { strides } = halves;
    copyInto(product(transposed(part(a)), part(g), dtype), halves, strides.slice(1), index * strides[0]);
  }
  return halves;
}

/** The last two axes swapped, without a gradient. A view. */
export function transposed(x: Tensor): Tensor {
  const [rows, columns] = [x.rank - 2, x.rank - 1];
  const swap = <T>(values: readonly T[]) => [...values.slice(0, rows), values[columns], values[rows]];
  return x.view({ shape: swap(x.shape), strides: swap(x.strides) }, 'transpose');
}

/** (…, columns) → (rows, columns). */
function asMatrix(x: Tensor): Tensor {
  return x.rank === 2 ? x : reshapeView(x, [sizeOf(x.shape.slice(0, -1)), x.shape[x.rank - 1]]);
}

interface ProductOptions {
  bias?: Tensor | null;
  residual?: Tensor | null;
  rectify?: boolean;
  /** Dense, and of the shape of the result: the product is added to it. */
  total?: Tensor | null;
  /** Whether the inner axis may be cut in parts, as many as the extents ask for: then bits depend on how many rows there are. */
  splits?: boolean;
}

/** The product without its gradient: a new tensor of `dtype`, or `total`. */
export function product(a: Tensor, b: Tensor, dtype: DType, options: ProductOptions = {}): Tensor {
  const { bias = null, residual = null, rectify = false, total = null, splits = false } = options;
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.rank - 1];
  if (b.rank === 2 && a.rank > 2) {
    const flat = { ...options, residual: residual && asMatrix(residual), total: total && asMatrix(total) };
    return reshapeView(product(asMatrix(a), b, dtype, flat), [...a.shape.slice(0, -1), n]);
  }
  const parts = splits ? partsOfInner(a.device, m, k, n) : 1;
  if (parts > 1) return sumOfParts(a, b, dtype, parts);
  const batchShape = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  const result = total ?? allocate(a.device, dtype, [...batchShape, m, n], 'matmul');
  if (result.size === 0) return result;
  const batch = sizeOf(batchShape);
  const [left, right, batchStrides] = oneBatchAxis(a, b, batchShape);
  const [aRow, aColumn] = left.strides.slice(-2);
  const [bRow, bColumn] = right.strides.slice(-2);
  const scalars = {
    m,
    n,
    k,
    aOffset: left.offset,
    aBatch: batchStrides[0],
    aRow,
    aColumn,
    bOffset: right.offset,
    bBatch: batchStrides[1],
    bRow,
    bColumn,
    useBias: bias ? 1 : 0,
    addToResult: total ? 1 : 0,
    useResidual: residual ? 1 : 0,
    rectify: rectify ? 1 : 0,
  };
  const { kernel, tileM, tileN } = chooseMatmul(a.device, scalars);
  dispatch(kernel, {
    operands: {
      a: left,
      b: right,
      bias: bias ? dense(bias) : placeholder(left),
      residual: residual ? dense(residual) : placeholder(left),
      c: result,
    },
    scalars,
    workgroups: [Math.ceil(n / tileN), Math.ceil(m / tileM), batch],
    flops: (2 * k + (total ? 1 : 0) + (residual ? 1 : 0) + (rectify ? 1 : 0)) * result.size,
  });
  return result;
}

/** a · b with the inner axis cut in equal parts, as a batch of products that is summed in a fixed order. */
function sumOfParts(a: Tensor, b: Tensor, dtype: DType, parts: number): Tensor {
  const [[m, k], n] = [a.shape, b.shape[1]];
  const length = k / parts;
  const [[aRow, aColumn], [bRow, bColumn]] = [a.strides, b.strides];
  const left = a.view({ shape: [parts, m, length], strides: [length * aColumn, aRow, aColumn] }, 'matmul');
  const right = b.view({ shape: [parts, length, n], strides: [length * bRow, bRow, bColumn] }, 'matmul');
  return reduceAxes('sum', product(left, right, dtype), [0]).view({ shape: [m, n] }, 'matmul');
}

/** Something to bind where there is no bias, or no residual. */
function placeholder(x: Tensor): Tensor {
  return x.view({ shape: [0], offset: 0 }, 'matmul');
}

/** Both operands such that the leading axes are walked with a single stride each; copies where they are not. */
function oneBatchAxis(a: Tensor, b: Tensor, batchShape: Shape): [Tensor, Tensor, [number, number]] {
  const stretched = [a, b].map((x) => broadcastView(x, [...batchShape, ...x.shape.slice(-2)], 'matmul'));
  const { operands } = collapseAxes(
    batchShape,
    stretched.map((x) => x.strides.slice(0, -2)),
  );
  if (operands[0].length <= 1) return [stretched[0], stretched[1], [operands[0][0] ?? 0, operands[1][0] ?? 0]];
  const [left, right] = stretched.map((x) => copy(x));
  return [left, right, [sizeOf(a.shape.slice(-2)), sizeOf(b.shape.slice(-2))]];
}
