/** Cross-entropy of logits with the number of the right class, and its gradient. */
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType, type DType } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { checkOptions } from '../../tensor/options.ts';
import { formatShape, sameShape } from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';
import { constant } from './constant.ts';
import { checkIndexOperand, checkIndexTensor } from './index-operand.ts';
import { checkReduction, type LossReduction } from './loss-reduction.ts';
import { reduceAxes } from './reduction/reduce-axes.ts';
import { rowsOf, rowWork, rowWorkgroupSize, sharedRows } from './row-kernel.ts';

const scalars = {
  rows: 'u32',
  classes: 'u32',
  ignoreIndex: 'i32',
  lanes: 'u32',
  gradientStep: 'u32',
  labelSmoothing: 'f32',
} as const;

function wgsl(entry: 'forward' | 'backward' | 'countTargets') {
  return { file: 'cross_entropy', entry, constants: { WORKGROUP_SIZE: `${rowWorkgroupSize}u` } };
}

const forwardKernel = kernel({
  name: 'cross-entropy',
  operands: { targets: 'read', divisor: 'read', logits: 'read', losses: 'write', logSumExp: 'write' },
  scalars,
  wgsl: wgsl('forward'),
  reference({ targets, divisor, logits, losses, logSumExp }, { rows, classes, ignoreIndex, labelSmoothing }) {
    for (let row = 0; row < rows; row++) {
      const start = row * classes;
      let maximum = Number.NEGATIVE_INFINITY;
      for (let i = start; i < start + classes; i++) if (logits[i] > maximum) maximum = logits[i];
      let sum = 0;
      for (let i = start; i < start + classes; i++) sum += Math.exp(logits[i] - maximum);
      logSumExp[row] = maximum + Math.log(sum);
      const target = targets[row];
      const isClass = target >= 0 && target < classes;
      let loss = isClass ? maximum - logits[start + target] + Math.log(sum) : Number.NaN;
      if (labelSmoothing > 0) {
        let below = 0;
        for (let i = start; i < start + classes; i++) below += maximum - logits[i];
        loss = (1 - labelSmoothing) * loss + labelSmoothing * (below / classes + Math.log(sum));
      }
      losses[row] = target === ignoreIndex ? 0 : loss / divisor[0];
    }
  },
  simd: (call) => call.run('crossEntropy', {}, sharedRows(call.scalars.rows)),
});

const backwardKernel = kernel({
  name: 'cross-entropy-gradient',
  operands: {
    targets: 'read',
    divisor: 'read',
    logits: 'read',
    savedLogSumExp: 'read',
    outputGradient: 'read',
    inputGradient: 'write',
  },
  scalars,
  wgsl: wgsl('backward'),
  reference({ targets, divisor, logits, savedLogSumExp, outputGradient, inputGradient }, s) {
    for (let row = 0; row < s.rows; row++) {
      const target = targets[row];
      const isClass = target >= 0 && target < s.classes;
      const scale = isClass ? outputGradient[row * s.gradientStep] / divisor[0] : Number.NaN;
      for (let column = 0; column < s.classes; column++) {
        const i = row * s.classes + column;
        const probability = Math.exp(logits[i] - savedLogSumExp[row]);
        const wanted = (column === target ? 1 - s.labelSmoothing : 0) + s.labelSmoothing / s.classes;
        inputGradient[i] = target === s.ignoreIndex ? 0 : (probability - wanted) * scale;
      }
    }
  },
  simd: (call) => call.run('crossEntropyGradient', {}, sharedRows(call.scalars.rows)),
});

/** How many targets count. Where none does, no row is divided by it, and the mean is 0. */
const countKernel = kernel({
  name: 'count-targets',
  operands: { targets: 'read', countedTargets: 'write' },
  scalars,
  wgsl: wgsl('countTargets'),
  reference({ targets, countedTargets }, { ignoreIndex }) {
    let count = 0;
    for (const target of targets) if (target !== ignoreIndex) count++;
    countedTargets[0] = count;
  },
});

export interface CrossEntropyOptions {
  /** Rows with this target do not count: their loss and gradient are 0. */
  ignoreIndex?: number;
  /** `mean` over the rows that count (0 if there is none), `sum` of them, or `none`: the loss of each row. */
  reduction?: LossReduction;
  /**
   * This share of each target is spread evenly over all classes (Szegedy et al., arXiv 1512.00567); 0 by default, at most 1.
   */
  labelSmoothing?: number;
}

/** Their names. */
export const crossEntropyOptions = [
  'ignoreIndex',
  'reduction',
  'labelSmoothing',
] as const satisfies readonly (keyof CrossEntropyOptions)[];

/** The options with their defaults. @throws ArgumentError that names `operation`. */
export function crossEntropySettings(operation: string, options: CrossEntropyOptions): Required<CrossEntropyOptions> {
  const { ignoreIndex = -100, reduction = 'mean', labelSmoothing = 0 } = options;
  checkReduction(operation, reduction);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ArgumentError(`${operation}: labelSmoothing is ${labelSmoothing} (allowed: 0 … 1)`);
  }
  if ((ignoreIndex | 0) !== ignoreIndex) {
    throw new ArgumentError(`${operation}: ignoreIndex is ${ignoreIndex} (allowed: a whole number of 32 bits)`);
  }
  return { ignoreIndex, reduction, labelSmoothing };
}

/** The targets as the host knows them; null where only the device does. */
export function hostTargets(targets: Tensor): Int32Array | null {
  const { hostIntegers } = targets.storage;
  return hostIntegers && targets.isContiguous
    ? hostIntegers.subarray(targets.offset, targets.offset + targets.size)
    : null;
}

/** What the loss of a row is divided by, one number of `dtype`: how many targets count, or 1 where nothing is averaged. */
export function lossDivisor(
  targets: Tensor,
  dtype: DType,
  { reduction, ignoreIndex }: Required<CrossEntropyOptions>,
): Tensor {
  const { device, size: rows } = targets;
  if (reduction !== 'mean') return constant(device, dtype, 1);
  const known = hostTargets(targets);
  if (known) return constant(device, dtype, known.filter((target) => target !== ignoreIndex).length);
  const count = allocate(device, dtype, [1], 'count-targets');
  dispatch(countKernel, {
    operands: { targets: dense(targets), countedTargets: count },
    scalars: { rows, ignoreIndex, classes: 0, lanes: 1, gradientStep: 0, labelSmoothing: 0 },
    workgroups: [1, 1, 1],
    flops: 0,
  });
  return count;
}

/** Rows of logits with what is wanted of them. */
export interface LogitRows {
  /** Dense, (…, classes). */
  logits: Tensor;
  /** i32, one for each row. */
  targets: Tensor;
  divisor: Tensor;
  settings: Required<CrossEntropyOptions>;
}

/** The loss of each row, and log Σ exp(logits), with which the gradient takes a single pass. */
export function lossesOfRows({ logits, targets, divisor, settings }: LogitRows): {
  losses: Tensor;
  logSumExp: Tensor;
} {
  const { ignoreIndex, labelSmoothing } = settings;
  const { rows, columns: classes } = rowsOf('crossEntropy', logits);
  const { lanes, workgroups } = rowWork({ rows, columns: classes });
  const dtype = computeDType(logits.dtype);
  const losses = allocate(logits.device, dtype, [rows], 'crossEntropy');
  const logSumExp = allocate(logits.device, dtype, [rows], 'crossEntropy');
  dispatch(forwardKernel, {
    operands: { targets: dense(targets), divisor, logits, losses, logSumExp },
    scalars: { rows, classes, ignoreIndex, lanes, gradientStep: 0, labelSmoothing },
    workgroups,
    // Per logit: compare, subtraction, exponential, sum.
    flops: 4 * logits.size,
  });
  return { losses, logSumExp };
}

/** The gradient of the logits; that of the output is one number, or one for each row. */
export function gradientOfRows(
  { logits, targets, divisor, settings }: LogitRows,
  logSumExp: Tensor,
  outputGradient: Tensor,
): Tensor {
  const { ignoreIndex, labelSmoothing, reduction } = settings;
  const { rows, columns: classes } = rowsOf('crossEntropy', logits);
  const inputGradient = allocate(logits.device, computeDType(logits.dtype), logits.shape, 'crossEntropy-gradient');
  dispatch(backwardKernel, {
    operands: {
      targets: dense(targets),
      divisor,
      logits,
      savedLogSumExp: dense(logSumExp),
      outputGradient: dense(outputGradient),
      inputGradient,
    },
    scalars: { rows, classes, ignoreIndex, lanes: 1, gradientStep: reduction === 'none' ? 1 : 0, labelSmoothing },
    workgroups: flatWorkgroups(logits.size, rowWorkgroupSize),
    flops: 4 * logits.size,
  });
  return inputGradient;
}

/** @throws ShapeError unless there is a target for each row, and a class. */
export function checkTargets(operation: string, targets: Tensor, x: Tensor, classes: number): void {
  checkIndexTensor(operation, targets);
  if (classes > 0 && sameShape(targets.shape, x.shape.slice(0, -1))) return;
  throw new ShapeError(
    `${operation}: ${operation === 'crossEntropy' ? 'logits' : 'x'} ${formatShape(x.shape)} with targets ` +
      `${formatShape(targets.shape)} and ${classes} classes (allowed: targets of the leading shape, at least one class)`,
  );
}

/**
 * -log softmax(logits)[target] over the last axis, fused: the probabilities are never stored. logits: (…, classes), f32
 * or f64; targets: i32 of the leading shape. The result is a scalar, or for `none` has the shape of the targets. Where the
 * logits are a product, `linearCrossEntropy` does without them.
 *
 * @throws ShapeError where targets do not fit the logits, or there is no class; DTypeError for targets that are not
 * i32; ArgumentError for an unknown reduction, a labelSmoothing outside 0 … 1, an ignoreIndex that is no i32, or a target outside 0 … classes - 1, if the
 * targets came from the host (others give NaN).
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  begin('crossEntropy', logits);
  checkOptions('crossEntropy', options, crossEntropyOptions, null);
  const { columns: classes } = rowsOf('crossEntropy', logits);
  checkTargets('crossEntropy', targets, logits, classes);
  const settings = crossEntropySettings('crossEntropy', options);
  checkIndexOperand('crossEntropy', targets, logits, classes, settings.ignoreIndex);
  const divisor = lossDivisor(targets, computeDType(logits.dtype), settings);
  const { losses, logSumExp } = lossesOfRows({ logits: dense(logits), targets, divisor, settings });
  const result =
    settings.reduction === 'none'
      ? losses.view({ shape: targets.shape }, 'crossEntropy')
      : reduceAxes('sum', losses, [0]).view({ shape: [] }, 'crossEntropy');
  const gradient = (outputGradient: Tensor, [targets, divisor, logits, logSumExp]: readonly Tensor[]) =>
    gradientOfRows({ logits: dense(logits), targets, divisor, settings }, logSumExp, outputGradient);
  return record('crossEntropy', result, [{ input: logits, saves: [targets, divisor, logits, logSumExp], gradient }]);
}
