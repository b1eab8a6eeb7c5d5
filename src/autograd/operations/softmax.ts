import { dense } from '../../tensor/copy.ts';
import { dispatch, type Kernel } from '../../tensor/kernel.ts';
import { allocate, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';
import { rowsOf, rowWork, rowWorkgroupSize } from './row-kernel.ts';

type SoftmaxKernel = Kernel<'rows' | 'columns' | 'lanes'>;

const scalars = { rows: 'u32', columns: 'u32', lanes: 'u32' } as const;

function wgsl(entry: 'forward' | 'backward', logarithm: boolean) {
  return { file: 'softmax', entry, constants: { WORKGROUP_SIZE: `${rowWorkgroupSize}u`, LOGARITHM: `${logarithm}` } };
}

const softmaxKernel: SoftmaxKernel = {
  name: 'softmax',
  operands: ['read', 'write'],
  scalars,
  wgsl: wgsl('forward', false),
  reference([x, result], { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let maximum = Number.NEGATIVE_INFINITY;
      for (let i = start; i < end; i++) if (x[i] > maximum) maximum = x[i];
      let sum = 0;
      for (let i = start; i < end; i++) sum += Math.exp(x[i] - maximum);
      for (let i = start; i < end; i++) result[i] = Math.exp(x[i] - maximum) / sum;
    }
  },
};

const softmaxGradientKernel: SoftmaxKernel = {
  name: 'softmax-gradient',
  operands: ['read', 'read', 'write'],
  scalars,
  wgsl: wgsl('backward', false),
  reference([outputGradient, saved, inputGradient], { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let sum = 0;
      for (let i = start; i < end; i++) sum += outputGradient[i] * saved[i];
      for (let i = start; i < end; i++) inputGradient[i] = saved[i] * (outputGradient[i] - sum);
    }
  },
};

const logSoftmaxKernel: SoftmaxKernel = {
  name: 'log-softmax',
  operands: ['read', 'write'],
  scalars,
  wgsl: wgsl('forward', true),
  reference([x, result], { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let maximum = Number.NEGATIVE_INFINITY;
      for (let i = start; i < end; i++) if (x[i] > maximum) maximum = x[i];
      let sum = 0;
      for (let i = start; i < end; i++) sum += Math.exp(x[i] - maximum);
      for (let i = start; i < end; i++) result[i] = x[i] - maximum - Math.log(sum);
    }
  },
};

const logSoftmaxGradientKernel: SoftmaxKernel = {
  name: 'log-softmax-gradient',
  operands: ['read', 'read', 'write'],
  scalars,
  wgsl: wgsl('backward', true),
  reference([outputGradient, saved, inputGradient], { rows, columns }) {
    for (let start = 0; start < rows * columns; start += columns) {
      const end = start + columns;
      let sum = 0;
      for (let i = start; i < end; i++) sum += outputGradient[i];
      for (let i = start; i < end; i++) inputGradient[i] = outputGradient[i] - Math.exp(saved[i]) * sum;
    }
  },
};

/**
 * exp(x) / Σ exp(x) over the last axis; any leading shape, any floating dtype. The maximum of a row is taken off first, so no
 * exponential overflows. A row that holds NaN, +Infinity or nothing but -Infinity becomes NaN.
 *
 * @throws ShapeError for a scalar.
 */
export function softmax(x: Tensor): Tensor {
  return alongRows('softmax', x, softmaxKernel, softmaxGradientKernel);
}

/**
 * log(softmax(x)) over the last axis, as x - max - log Σ exp(x - max): exact also where a probability underflows.
 *
 * @throws ShapeError for a scalar.
 */
export function logSoftmax(x: Tensor): Tensor {
  return alongRows('logSoftmax', x, logSoftmaxKernel, logSoftmaxGradientKernel);
}

/** Both gradients need the result alone, and x not at all. */
function alongRows(operation: string, x: Tensor, forward: SoftmaxKernel, backward: SoftmaxKernel): Tensor {
  begin(operation, x);
  const { rows, columns } = rowsOf(operation, x);
  const run = (kernel: SoftmaxKernel, inputs: readonly Tensor[]): Tensor => {
    const result = allocate(x.device, inputs[0].dtype, x.shape, kernel.name);
    const { lanes, workgroups } = rowWork({ rows, columns });
    // Per element: compare, exponential, sum, division; in the gradient two products, a sum, a difference.
    const flops = 4 * result.size;
    dispatch(kernel, {
      operands: [...inputs.map(dense), result],
      scalars: { rows, columns, lanes },
      workgroups,
      flops,
    });
    return result;
  };
  const result = run(forward, [x]);
  return record(operation, result, [
    { input: x, saves: [result], gradient: (g, [saved]) => run(backward, [g, saved]) },
  ]);
}
