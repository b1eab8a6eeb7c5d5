/** Reductions made of several passes, with their gradients. Each function is a method of tensors too; nothing else may be exported here. */
import { ArgumentError } from '../../../tensor/errors.ts';
import { formatShape } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { begin, record } from '../../record.ts';
import { constant } from '../constant.ts';
import { type Expression, evaluate } from '../pointwise/expression.ts';
import { abs, div, equal, exp, mul, sqrt, sub, where } from '../pointwise/pointwise.ts';
import { reshapeView } from '../views.ts';
import { reduceAxes } from './reduce-axes.ts';
import { planReduction, type ReduceOptions } from './reduce-options.ts';

/** Reductions, and what is taken off the number of elements that the squares are divided by: 1 by default, 0 for a whole population. */
type VarianceOptions = ReduceOptions & { correction?: number };

/**
 * Σ (x - mean)² / (count - correction) over the axes, in f32 for f16. The mean is taken off first, so large numbers that
 * differ little lose nothing.
 *
 * @throws ArgumentError where no more elements than `correction` lie along the axes.
 */
export function variance(x: Tensor, options: VarianceOptions = {}): Tensor {
  begin('variance', x);
  const { axes, kept, shape, divisor, deviation } = centered('variance', x, options);
  const result = reduceAxes('sum', evaluate(mul.forward, [deviation, deviation]), axes, 1 / divisor);
  const gradient = (g: Tensor, [deviation]: readonly Tensor[]) =>
    mul(mul(reshapeView(g, kept), 2 / divisor), deviation);
  return record('variance', result.view({ shape }, 'variance'), [{ input: x, saves: [deviation], gradient }]);
}

/**
 * The square root of the variance over the axes, in f32 for f16. Its gradient is 0 where it is 0.
 *
 * @throws ArgumentError where no more elements than `correction` lie along the axes.
 */
export function standardDeviation(x: Tensor, options: VarianceOptions = {}): Tensor {
  begin('standardDeviation', x);
  const { axes, kept, shape, divisor, deviation } = centered('standardDeviation', x, options);
  const { device, dtype } = deviation;
  const root = evaluate(mul.forward, [lengthOver(deviation, axes), constant(device, dtype, 1 / Math.sqrt(divisor))]);
  const gradient = (g: Tensor, [deviation, root]: readonly Tensor[]) =>
    mul(div(deviation, oneWhereZero(root)), mul(reshapeView(g, kept), 1 / divisor));
  const saves = [deviation, root];
  return record('standardDeviation', root.view({ shape }, 'standardDeviation'), [{ input: x, saves, gradient }]);
}

/** x without its mean, and what the sum of its squares is divided by. */
function centered(name: string, x: Tensor, options: VarianceOptions) {
  const { axes, kept, shape, count } = planReduction(name, x, options, ['correction']);
  const { correction = 1 } = options;
  const divisor = count - correction;
  if (!(divisor > 0)) {
    throw new ArgumentError(
      `${name}: correction is ${correction}, but shape ${formatShape(x.shape)} has ${count} elements along the axes ` +
        '(allowed: less than these)',
    );
  }
  const withoutMean = (values: Tensor) => evaluate(sub.forward, [values, reduceAxes('sum', values, axes, 1 / count)]);
  // The mean is rounded as numbers of its size are. What that left in the deviations is a mean of theirs.
  return { axes, kept, shape, divisor, deviation: withoutMean(withoutMean(x)) };
}

/** √Σ x² over the axes, whose rank stays. Numbers are scaled by the largest first, so that no square overflows or vanishes. */
function lengthOver(x: Tensor, axes: readonly number[]): Tensor {
  const largest = finiteOr(1, reduceAxes('maximum', evaluate(abs.forward, [x]), axes));
  const unit = oneWhereZero(largest);
  const scaled = evaluate(div.forward, [x, unit]);
  const squares = reduceAxes('sum', evaluate(mul.forward, [scaled, scaled]), axes);
  return evaluate(mul.forward, [unit, evaluate(sqrt.forward, [squares])]);
}

/**
 * The Euclidean (L2) norm over the axes, √Σ x², in f32 for f16; of nothing it is 0. No square overflows on the way. Its gradient is 0
 * where it is 0.
 */
export function norm(x: Tensor, options: ReduceOptions = {}): Tensor {
  begin('norm', x);
  const { axes, kept, shape } = planReduction('norm', x, options);
  const result = lengthOver(x, axes);
  const gradient = (g: Tensor, [x, result]: readonly Tensor[]) =>
    mul(div(x, oneWhereZero(result)), reshapeView(g, kept));
  return record('norm', result.view({ shape }, 'norm'), [{ input: x, saves: [x, result], gradient }]);
}

/**
 * log Σ exp(x) over the axes, in f32 for f16; of nothing it is -Infinity. The maximum is taken off first, so nothing overflows. Its
 * gradient is 0 where all are -Infinity, and NaN for Infinity.
 */
export function logSumExp(x: Tensor, options: ReduceOptions = {}): Tensor {
  begin('logSumExp', x);
  const { axes, kept, shape } = planReduction('logSumExp', x, options);
  const largest = finiteOr(0, reduceAxes('maximum', x, axes));
  const total = reduceAxes('sum', evaluate(exp.forward, [evaluate(sub.forward, [x, largest])]), axes);
  const result = evaluate(logSum, [total, largest]);
  const gradient = (g: Tensor, [x, result]: readonly Tensor[]) =>
    mul(exp(sub(x, where(equal(result, Number.NEGATIVE_INFINITY), 0, result))), reshapeView(g, kept));
  return record('logSumExp', result.view({ shape }, 'logSumExp'), [{ input: x, saves: [x, result], gradient }]);
}

/** log(total) + largest, for a total that may be 0: what log(0) is, WGSL leaves open. */
const logSum: Expression = {
  name: 'log-sum',
  parameters: ['total', 'largest'],
  wgsl: 'select(log(total) + largest, bitcast<f32>(0xff800000u + bitcast<u32>(total)), total == 0.0)',
  reference: (total, largest) => Math.log(total) + largest,
};

/** `value` in the place of infinities. NaN stays. */
function finiteOr(value: number, x: Tensor): Tensor {
  const { device, dtype } = x;
  const infinity = constant(device, dtype, Number.POSITIVE_INFINITY);
  const isInfinite = evaluate(equal.forward, [evaluate(abs.forward, [x]), infinity]);
  return evaluate(where.forward, [isInfinite, constant(device, dtype, value), x], dtype);
}

function oneWhereZero(x: Tensor): Tensor {
  const { device, dtype } = x;
  const isZero = evaluate(equal.forward, [x, constant(device, dtype, 0)]);
  return evaluate(where.forward, [isZero, constant(device, dtype, 1), x], dtype);
}
