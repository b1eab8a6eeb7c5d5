/** RMS and layer normalization, and their gradients. */
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { checkOptions } from '../../tensor/options.ts';
import { formatShape } from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import type { GradientRule } from '../node.ts';
import { begin, record } from '../record.ts';
import { reduceAxes } from './reduction/reduce-axes.ts';
import { rowsOf, rowWork, rowWorkgroupSize } from './row-kernel.ts';
import { reshapeView } from './views.ts';

const rowScalars = {
  rows: 'u32',
  columns: 'u32',
  lanes: 'u32',
  centered: 'u32',
  /** 0: the bias is a placeholder. */
  useBias: 'u32',
  /** 1: the gradient is added to what result holds. */
  addToResult: 'u32',
  epsilon: 'f32',
} as const;
const constants = { WORKGROUP_SIZE: `${rowWorkgroupSize}u` };

/** Normalizes each row, with its mean taken off (`centered`) or without. */
const forwardKernel = kernel({
  name: 'normalize',
  operands: { x: 'read', gain: 'read', bias: 'read', statistics: 'write', result: 'write' },
  scalars: rowScalars,
  wgsl: { file: 'normalization', entry: 'forward', constants },
  reference({ x, gain, bias, statistics, result }, { rows, columns, centered, useBias, epsilon }) {
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      let mean = 0;
      if (centered) {
        for (let column = 0; column < columns; column++) mean += x[start + column];
        mean /= columns;
      }
      let squares = 0;
      for (let column = 0; column < columns; column++) {
        const deviation = x[start + column] - mean;
        squares += deviation * deviation;
      }
      const inverse = 1 / Math.sqrt(squares / columns + epsilon);
      for (let column = 0; column < columns; column++) {
        result[start + column] = (x[start + column] - mean) * inverse * gain[column] + (useBias ? bias[column] : 0);
      }
      statistics[row] = inverse;
      if (centered) statistics[rows + row] = mean;
    }
  },
  simd: (call) =>
    call.scalars.columns % 4 === 0 && call.run('normalize', {}, { parts: call.scalars.rows, scratchBytes: 0 }),
});

const inputGradientKernel = kernel({
  name: 'normalize-gradient',
  operands: { x: 'read', gain: 'read', savedStatistics: 'read', outputGradient: 'read', result: 'update' },
  scalars: rowScalars,
  wgsl: { file: 'normalization', entry: 'inputGradient', constants },
  reference({ x, gain, savedStatistics, outputGradient, result }, { rows, columns, centered, addToResult }) {
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      const inverse = savedStatistics[row];
      const mean = centered ? savedStatistics[rows + row] : 0;
      let sum = 0;
      let product = 0;
      for (let column = 0; column < columns; column++) {
        const scaled = outputGradient[start + column] * gain[column];
        sum += scaled;
        product += scaled * (x[start + column] - mean) * inverse;
      }
      const meanGradient = centered ? sum / columns : 0;
      for (let column = 0; column < columns; column++) {
        const scaled = outputGradient[start + column] * gain[column];
        const normal = (x[start + column] - mean) * inverse;
        const gradient = inverse * (scaled - meanGradient - (normal * product) / columns);
        result[start + column] = addToResult ? result[start + column] + gradient : gradient;
      }
    }
  },
  simd: (call) =>
    call.scalars.columns % 4 === 0 && call.run('normalizeGradient', {}, { parts: call.scalars.rows, scratchBytes: 0 }),
});

/** Sums outputGradient · normalized x over chunks of rows. */
const gainGradientKernel = kernel({
  name: 'normalize-gain-gradient',
  operands: { outputGradient: 'read', x: 'read', statistics: 'read', partialSums: 'write' },
  scalars: { rows: 'u32', columns: 'u32', chunkRows: 'u32', centered: 'u32' },
  wgsl: { file: 'normalization_gain' },
  reference({ outputGradient, x, statistics, partialSums }, { rows, columns, chunkRows, centered }) {
    for (let firstRow = 0, chunk = 0; firstRow < rows; firstRow += chunkRows, chunk++) {
      const endRow = Math.min(rows, firstRow + chunkRows);
      // Row by row, in the order they lie in memory.
      const sums = new Float64Array(columns);
      for (let row = firstRow; row < endRow; row++) {
        const mean = centered ? statistics[rows + row] : 0;
        const inverse = statistics[row];
        const start = row * columns;
        for (let column = 0; column < columns; column++) {
          sums[column] += outputGradient[start + column] * (x[start + column] - mean) * inverse;
        }
      }
      partialSums.set(sums, chunk * columns);
    }
  },
  simd: (call) =>
    call.scalars.columns % 4 === 0 &&
    call.run(
      'normalizeGainGradient',
      {},
      { parts: Math.ceil(call.scalars.rows / call.scalars.chunkRows), scratchBytes: 0 },
    ),
});

export interface NormOptions {
  /** Added to the mean square (the variance) before the root, so that a row of zeros stays finite; at least 0. */
  epsilon?: number;
}

/**
 * x / sqrt(mean(x²) + epsilon) · gain over the last axis (Zhang & Sennrich, arXiv 1910.07467). x: (…, columns), gain:
 * (columns), each f16 or f32, or both f64. The result is stored as x is.
 *
 * @throws ShapeError where gain does not fit the last axis; ArgumentError for a negative epsilon.
 */
export function rmsNorm(x: Tensor, gain: Tensor, options: NormOptions = {}): Tensor {
  return normalize('rmsNorm', x, gain, null, options, 1e-6);
}

/**
 * (x - mean) / sqrt(variance + epsilon) · gain + bias over the last axis (Ba et al., arXiv 1607.06450). x: (…, columns),
 * gain and bias: (columns), each f16 or f32, or all f64; no bias where it is null. The result is stored as x is.
 *
 * @throws ShapeError where gain or bias does not fit the last axis; ArgumentError for a negative epsilon.
 */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor | null = null, options: NormOptions = {}): Tensor {
  return normalize('layerNorm', x, gain, bias, options, 1e-5);
}

function normalize(
  operation: 'rmsNorm' | 'layerNorm',
  x: Tensor,
  gain: Tensor,
  bias: Tensor | null,
  options: NormOptions,
  defaultEpsilon: number,
): Tensor {
  checkOptions(operation, options, ['epsilon']);
  const { epsilon = defaultEpsilon } = options;
  const isCentered = operation === 'layerNorm';
  begin(operation, x, gain, ...(bias === null ? [] : [bias]));
  const { rows, columns } = rowsOf(operation, x);
  for (const [name, parameter] of Object.entries({ gain, bias })) {
    if (parameter === null || (parameter.rank === 1 && parameter.size === columns)) continue;
    throw new ShapeError(
      `${operation}: ${name} has shape ${formatShape(parameter.shape)} for x ${formatShape(x.shape)} (allowed: [${columns}])`,
    );
  }
  if (!(Number.isFinite(epsilon) && epsilon >= 0)) {
    throw new ArgumentError(`${operation}: epsilon is ${epsilon} (allowed: a finite number of at least 0)`);
  }
  const centered = isCentered ? 1 : 0;
  const dtype = computeDType(x.dtype);
  const { lanes, workgroups } = rowWork({ rows, columns });
  const scalars = { rows, columns, lanes, centered, useBias: bias ? 1 : 0, addToResult: 0, epsilon };
  /** Computed again, it writes the same statistics. */
  const forward = ([x, gain, statistics, bias = gain]: readonly Tensor[]): Tensor => {
    const result = allocate(x.device, x.dtype, x.shape, operation);
    dispatch(forwardKernel, {
      operands: { x: dense(x), gain: dense(gain), bias: dense(bias), statistics, result },
      scalars,
      workgroups,
      // Per element: square, sum, two products; mean, its subtraction; bias.
      flops: (4 + 2 * centered + scalars.useBias) * x.size,
    });
    return result;
  };
  const statistics = allocate(x.device, dtype, [1 + centered, rows], operation);
  const operands = [x, gain, statistics, ...(bias ? [bias] : [])];

  const inputGradient = (
    outputGradient: Tensor,
    [x, gain, statistics]: readonly Tensor[],
    total: Tensor | null,
  ): Tensor => {
    const gradient = total ?? allocate(x.device, dtype, x.shape, `${operation}-gradient`);
    dispatch(inputGradientKernel, {
      operands: {
        x: dense(x),
        gain: dense(gain),
        savedStatistics: statistics,
        outputGradient: dense(outputGradient),
        result: gradient,
      },
      scalars: { ...scalars, addToResult: total ? 1 : 0 },
      workgroups,
      flops: (9 + 3 * centered + (total ? 1 : 0)) * x.size,
    });
    return gradient;
  };

  const gainGradient = (outputGradient: Tensor, [x, statistics]: readonly Tensor[]): Tensor => {
    const chunkRows = Math.max(8, Math.ceil(Math.sqrt(rows)));
    const partialSums = allocate(x.device, dtype, [Math.ceil(rows / chunkRows), columns], `${operation}-gradient`);
    dispatch(gainGradientKernel, {
      operands: { outputGradient: dense(outputGradient), x: dense(x), statistics, partialSums },
      scalars: { rows, columns, chunkRows, centered },
      workgroups: flatWorkgroups(partialSums.size, 64),
      flops: (3 + centered) * x.size,
    });
    return reduceAxes('sum', partialSums, [0]).view({ shape: [columns] }, operation);
  };

  const biasGradient = (outputGradient: Tensor): Tensor =>
    reduceAxes('sum', reshapeView(outputGradient, [rows, columns]), [0]).view({ shape: [columns] }, operation);

  const rules: GradientRule[] = [
    { input: x, saves: operands, again: forward, gradient: inputGradient },
    { input: gain, saves: [x, statistics], gradient: gainGradient },
  ];
  if (bias) rules.push({ input: bias, gradient: biasGradient });
  return record(operation, forward(operands), rules);
}
