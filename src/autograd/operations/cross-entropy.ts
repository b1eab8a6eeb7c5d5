/** Cross-entropy of logits with the number of the right class, and its gradient. */
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { checkOptions } from '../../tensor/options.ts';
import { formatShape, sameShape } from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';
import { constant } from './constant.ts';
import { checkIndexOperand } from './index-operand.ts';
import { checkReduction, type LossReduction } from './loss-reduction.ts';
import { reduceAxes } from './reduction/reduce-axes.ts';
import { rowsOf, rowWork, rowWorkgroupSize } from './row-kernel.ts';

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
  simd: (call) =>
    call.scalars.labelSmoothing === 0 && call.run('crossEntropy', {}, { parts: call.scalars.rows, scratchBytes: 0 }),
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
  simd: (call) =>
    call.scalars.labelSmoothing === 0 &&
    call.run('crossEntropyGradient', {}, { parts: call.scalars.rows, scratchBytes: 0 }),
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

/**
 * -log softmax(logits)[target] over the last axis, fused: the probabilities are never stored. logits: (…, classes), f32
 * or f64; targets: i32 of the leading shape. The result is a scalar, or for `none` has the shape of the targets.
 *
 * The forward pass keeps one number a row, log Σ exp(logits), with which the gradient takes a single pass.
 *
 * @throws ShapeError where targets do not fit the logits, or there is no class; DTypeError for targets that are not
 * i32; ArgumentError for an unknown reduction, a labelSmoothing outside 0 … 1, an ignoreIndex that is no i32, or a target outside 0 … classes - 1, if the
 * targets came from the host (others give NaN).
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  begin('crossEntropy', logits);
  checkOptions('crossEntropy', options, ['ignoreIndex', 'reduction', 'labelSmoothing'], null);
  const { ignoreIndex = -100, reduction = 'mean', labelSmoothing = 0 } = options;
  const { rows, columns: classes } = rowsOf('crossEntropy', logits);
  if (classes === 0 || !sameShape(targets.shape, logits.shape.slice(0, -1))) {
    throw new ShapeError(
      `crossEntropy: logits ${formatShape(logits.shape)} with targets ${formatShape(targets.shape)} ` +
        '(allowed: logits […, classes] with at least one class, targets of the leading shape)',
    );
  }
  checkReduction('crossEntropy', reduction);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ArgumentError(`crossEntropy: labelSmoothing is ${labelSmoothing} (allowed: 0 … 1)`);
  }
  if ((ignoreIndex | 0) !== ignoreIndex) {
    throw new ArgumentError(`crossEntropy: ignoreIndex is ${ignoreIndex} (allowed: a whole number of 32 bits)`);
  }
  checkIndexOperand('crossEntropy', targets, logits, classes, ignoreIndex);

  const { device } = logits;
  const dtype = computeDType(logits.dtype);
  const { lanes, workgroups } = rowWork({ rows, columns: classes });
  const gradientStep = reduction === 'none' ? 1 : 0;
  const settings = { rows, classes, ignoreIndex, lanes, gradientStep, labelSmoothing };

  const countTargets = (): Tensor => {
    const { hostIntegers } = targets.storage;
    if (hostIntegers && targets.isContiguous) {
      const values = hostIntegers.subarray(targets.offset, targets.offset + rows);
      return constant(device, dtype, values.filter((target) => target !== ignoreIndex).length);
    }
    const count = allocate(device, dtype, [1], 'count-targets');
    const operands = { targets: dense(targets), countedTargets: count };
    dispatch(countKernel, { operands, scalars: settings, workgroups: [1, 1, 1], flops: 0 });
    return count;
  };
  const divisor = reduction === 'mean' ? countTargets() : constant(device, dtype, 1);

  const losses = allocate(device, dtype, [rows], 'crossEntropy');
  const logSumExp = allocate(device, dtype, [rows], 'crossEntropy');
  dispatch(forwardKernel, {
    operands: { targets: dense(targets), divisor, logits: dense(logits), losses, logSumExp },
    scalars: settings,
    workgroups,
    // Per logit: compare, subtraction, exponential, sum.
    flops: 4 * logits.size,
  });
  const result =
    reduction === 'none'
      ? losses.view({ shape: targets.shape }, 'crossEntropy')
      : reduceAxes('sum', losses, [0]).view({ shape: [] }, 'crossEntropy');

  const gradient = (outputGradient: Tensor, saved: readonly Tensor[]): Tensor => {
    const [targets, divisor, logits, logSumExp] = saved;
    const inputGradient = allocate(device, dtype, logits.shape, 'crossEntropy-gradient');
    dispatch(backwardKernel, {
      operands: {
        targets: dense(targets),
        divisor,
        logits: dense(logits),
        savedLogSumExp: logSumExp,
        outputGradient: dense(outputGradient),
        inputGradient,
      },
      scalars: settings,
      workgroups: flatWorkgroups(logits.size, rowWorkgroupSize),
      flops: 4 * logits.size,
    });
    return inputGradient;
  };
  return record('crossEntropy', result, [{ input: logits, saves: [targets, divisor, logits, logSumExp], gradient }]);
}
