/** Losses that are computed element by element. */
import { ShapeError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import { formatShape, sameShape } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { begin } from '../record.ts';
import { checkReduction, type LossReduction } from './loss-reduction.ts';
import { pointwise } from './pointwise/row.ts';
import { mean, sum } from './reduction/reduction.ts';

export interface LossOptions {
  /** `mean` over all elements (the default), `sum` of them, or `none`: the loss of each. */
  reduction?: LossReduction;
}

const squaredError = pointwise('squaredError', {
  wgsl: '(x - y) * (x - y)',
  reference: (x, y) => (x - y) * (x - y),
  derivatives: [
    { needs: ['x', 'y'], wgsl: '2.0 * g * (x - y)', reference: (g, x, y) => 2 * g * (x - y) },
    { needs: ['x', 'y'], wgsl: '2.0 * g * (y - x)', reference: (g, x, y) => 2 * g * (y - x) },
  ],
});

const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** -y · log σ(x) - (1 - y) · log σ(-x). */
const logisticLoss = pointwise('binaryCrossEntropy', {
  wgsl: 'y * softplus(-x) + (1.0 - y) * softplus(x)',
  reference: (x, y) => y * softplusOf(-x) + (1 - y) * softplusOf(x),
  derivatives: [
    {
      needs: ['x', 'y'],
      wgsl: 'g * (1.0 / (1.0 + exp(-x)) - y)',
      reference: (g, x, y) => g * (1 / (1 + Math.exp(-x)) - y),
    },
    { needs: ['x'], wgsl: '-g * x', reference: (g, x) => -g * x },
  ],
});

/**
 * (predictions - targets)², averaged. Both have one shape; the gradient reaches both. The result is a scalar, for `none` of their shape.
 *
 * @throws ShapeError where the shapes differ: broadcasting here is mostly a mistake. ArgumentError for an unknown reduction.
 */
export function meanSquaredError(predictions: Tensor, targets: Tensor, options: LossOptions = {}): Tensor {
  return reduced('meanSquaredError', squaredError, predictions, targets, options);
}

/**
 * The cross-entropy of σ(logits) with targets in 0 … 1, averaged. It takes logits, not probabilities, and so loses nothing where these are
 * near 0 or 1 (PyTorch: `binary_cross_entropy_with_logits`). Both have one shape. The result is a scalar, for `none` of their shape.
 *
 * @throws ShapeError where the shapes differ; ArgumentError for an unknown reduction.
 */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor, options: LossOptions = {}): Tensor {
  return reduced('binaryCrossEntropy', logisticLoss, logits, targets, options);
}

function reduced(
  operation: string,
  loss: typeof squaredError,
  x: Tensor,
  targets: Tensor,
  options: LossOptions,
): Tensor {
  begin(operation, x, targets);
  checkOptions(operation, options, ['reduction']);
  const { reduction = 'mean' } = options;
  checkReduction(operation, reduction);
  if (!sameShape(x.shape, targets.shape)) {
    throw new ShapeError(
      `${operation}: shapes ${formatShape(x.shape)} and ${formatShape(targets.shape)} differ (allowed: one for both)`,
    );
  }
  const losses = loss(x, targets);
  if (reduction === 'none') return losses;
  return reduction === 'mean' ? mean(losses) : sum(losses);
}
