/** Softmax and its logarithm, and their gradients. */
import { dispatch } from '../../tensor/dispatch.ts';
import { type Kernel, kernel, type SimdCall } from '../../tensor/kernel.ts';
import { checkOptions } from '../../tensor/options.ts';
import { normalizeAxis } from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { begin, checkTensors, record } from '../record.ts';
import { rowsOf, rowWork, rowWorkgroupSize, sharedRows } from './row-kernel.ts';
import { transpose } from './views.ts';

const scalars = { rows: 'u32', columns: 'u32', lanes: 'u32' } as const;
const forwardOperands = { x: 'read', result: 'write' } as const;
const backwardOperands = { outputGradient: 'read', saved: 'read', inputGradient: 'write' } as const;

type ForwardKernel = Kernel<keyof typeof forwardOperands, keyof typeof scalars>;
type BackwardKernel = Kernel<keyof typeof backwardOperands, keyof typeof scalars>;

function wgsl(entry: 'forward' | 'backward', logarithm: boolean) {
  return { file: 'softmax', entry, constants: { WORKGROUP_SIZE: `${rowWorkgroupSize}u`, LOGARITHM: `${logarithm}` } };
}

/** Calls a function of kernels/simd/softmax.ts, whose parts are rows. */
function byRows(call: SimdCall<never, keyof typeof scalars>, name: string): boolean {
  return call.run(name, {}, sharedRows(call.scalars.rows));
}

const softmaxKernel = kernel({
  name: 'softmax',
  operands: forwardOperands,
  scalars,
  wgsl: wgsl('forward', false),
  simd: (call) => byRows(call, 'softmax'),
  reference({ x, result }, { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let maximum = Number.NEGATIVE_INFINITY;
      for (let i = start; i < end; i++) if (x[i] > maximum) maximum = x[i];
      let sum = 0;
      for (let i = start; i < end; i++) sum += Math.exp(x[i] - maximum);
      for (let i = start; i < end; i++) result[i] = Math.exp(x[i] - maximum) / sum;
    }
  },
});

const softmaxGradientKernel = kernel({
  name: 'softmax-gradient',
  operands: backwardOperands,
  scalars,
  wgsl: wgsl('backward', false),
  simd: (call) => byRows(call, 'softmaxGradient'),
  reference({ outputGradient, saved, inputGradient }, { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let sum = 0;
      for (let i = start; i < end; i++) sum += outputGradient[i] * saved[i];
      for (let i = start; i < end; i++) inputGradient[i] = saved[i] * (outputGradient[i] - sum);
    }
  },
});

const logSoftmaxKernel = kernel({
  name: 'log-softmax',
  operands: forwardOperands,
  scalars,
  wgsl: wgsl('forward', true),
  simd: (call) => byRows(call, 'logSoftmax'),
  reference({ x, result }, { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let maximum = Number.NEGATIVE_INFINITY;
      for (let i = start; i < end; i++) if (x[i] > maximum) maximum = x[i];
      let sum = 0;
      for (let i = start; i < end; i++) sum += Math.exp(x[i] - maximum);
      for (let i = start; i < end; i++) result[i] = x[i] - maximum - Math.log(sum);
    }
  },
});

const logSoftmaxGradientKernel = kernel({
  name: 'log-softmax-gradient',
  operands: backwardOperands,
  scalars,
  wgsl: wgsl('backward', true),
  simd: (call) => byRows(call, 'logSoftmaxGradient'),
  reference({ outputGradient, saved, inputGradient }, { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let sum = 0;
      for (let i = start; i < end; i++) sum += outputGradient[i];
      for (let i = start; i < end; i++) inputGradient[i] = outputGradient[i] - Math.exp(saved[i]) * sum;
    }
  },
});

export interface SoftmaxOptions {
  /** The axis that adds up to 1; the last by default. */
  axis?: number;
}

/**
 * exp(x) / Σ exp(x) over an axis; any leading shape, any floating dtype. The maximum of a row is taken off first, so no
 * exponential overflows. A row that holds NaN, +Infinity or nothing but -Infinity becomes NaN.
 *
 * @throws ShapeError for a scalar; ArgumentError for an axis that x does not have.
 */
export function softmax(x: Tensor, options: SoftmaxOptions = {}): Tensor {
  return alongAxis('softmax', x, options, softmaxKernel, softmaxGradientKernel);
}

/**
 * log(softmax(x)) over an axis, as x - max - log Σ exp(x - max): exact also where a probability underflows.
 *
 * @throws ShapeError for a scalar; ArgumentError for an axis that x does not have.
 */
export function logSoftmax(x: Tensor, options: SoftmaxOptions = {}): Tensor {
  return alongAxis('logSoftmax', x, options, logSoftmaxKernel, logSoftmaxGradientKernel);
}

/** An axis that is not the last changes places with it, and back. */
function alongAxis(
  operation: string,
  x: Tensor,
  options: SoftmaxOptions,
  forward: ForwardKernel,
  backward: BackwardKernel,
): Tensor {
  checkTensors(operation, [x]);
  checkOptions(operation, options, ['axis']);
  const { axis = -1 } = options;
  if (x.rank === 0 || normalizeAxis(operation, axis, x.rank) === x.rank - 1) {
    return alongRows(operation, x, forward, backward);
  }
  return transpose(alongRows(operation, transpose(x, axis), forward, backward), axis);
}

/** Both gradients need the result alone, and x not at all. */
function alongRows(operation: string, x: Tensor, forward: ForwardKernel, backward: BackwardKernel): Tensor {
  begin(operation, x);
  const { rows, columns } = rowsOf(operation, x);
  const { lanes, workgroups } = rowWork({ rows, columns });
  // Per element: compare, exponential, sum, division; in the gradient two products, a sum, a difference.
  const work = { scalars: { rows, columns, lanes }, workgroups, flops: 4 * x.size };
  const result = allocate(x.device, x.dtype, x.shape, operation);
  dispatch(forward, { operands: { x: dense(x), result }, ...work });
  const gradient = (g: Tensor, [saved]: readonly Tensor[]) => {
    const inputGradient = allocate(g.device, g.dtype, x.shape, backward.name);
    dispatch(backward, { operands: { outputGradient: dense(g), saved: dense(saved), inputGradient }, ...work });
    return inputGradient;
  };
  return record(operation, result, [{ input: x, saves: [result], gradient }]);
}
