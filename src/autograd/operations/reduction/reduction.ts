/** Reductions with their gradients. Each function is a method of tensors too; nothing else may be exported here. */
import { ArgumentError } from '../../../tensor/errors.ts';
import { formatShape } from '../../../tensor/shape.ts';
import { Tensor } from '../../../tensor/tensor.ts';
import { begin, beginNumbers, record } from '../../record.ts';
import { div, equal, mul, where } from '../pointwise/pointwise.ts';
import { broadcastView, reshapeView } from '../views.ts';
import { reduceAxes } from './reduce-axes.ts';
import { planReduction, type ReduceOptions } from './reduce-options.ts';

/** Σ x over the axes, in f32 for f16; 0 where they hold no element. Of integers it wraps. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum('sum', x, options, () => 1);
}

/** The mean of x over the axes, in f32 for f16. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum('mean', x, options, (count) => 1 / count);
}

function scaledSum(name: string, x: Tensor, options: ReduceOptions, scaleOf: (count: number) => number): Tensor {
  (name === 'sum' ? beginNumbers : begin)(name, x);
  const { axes, kept, shape, count } = planReduction(name, x, options);
  const scale = scaleOf(count);
  const result = reduceAxes('sum', x, axes, scale).view({ shape }, name);
  const gradient = (g: Tensor) => {
    const scaled = scale === 1 ? g : mul(g, scale);
    return broadcastView(reshapeView(scaled, kept), x.shape);
  };
  return record(name, result, [{ input: x, gradient }]);
}

/** The largest x over the axes, in f32 for f16; NaN where one is NaN. Elements that tie for it share its gradient equally. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extreme('max', 'maximum', x, options);
}

/** The smallest x over the axes, in f32 for f16; NaN where one is NaN. Elements that tie for it share its gradient equally. */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extreme('min', 'minimum', x, options);
}

function extreme(name: string, reduction: 'maximum' | 'minimum', x: Tensor, options: ReduceOptions): Tensor {
  beginNumbers(name, x);
  if (options instanceof Tensor)
    throw new ArgumentError(`${name}: reduces one tensor; ${reduction}(x, y) compares two, element by element`);
  const { axes, kept, shape, count } = planReduction(name, x, options);
  if (count === 0) throw new ArgumentError(`${name}: shape ${formatShape(x.shape)} has no element along the axes`);
  const result = reduceAxes(reduction, x, axes).view({ shape }, name);
  const gradient = (g: Tensor, [x, result]: readonly Tensor[]) => {
    const isExtreme = equal(x, result.view({ shape: kept }, name));
    const share = div(reshapeView(g, kept), reduceAxes('sum', isExtreme, axes));
    return mul(isExtreme, share);
  };
  return record(name, result, [{ input: x, saves: [x, result], gradient }]);
}

/** The product of x over the axes, in f32 for f16; 1 where they hold no element. Of integers it wraps. */
export function prod(x: Tensor, options: ReduceOptions = {}): Tensor {
  beginNumbers('prod', x);
  const { axes, kept, shape } = planReduction('prod', x, options);
  const result = reduceAxes('product', x, axes).view({ shape }, 'prod');
  // Each element gets the product of the others. Where one element is 0, only itself; where several are, none does.
  const gradient = (g: Tensor, [x]: readonly Tensor[]) => {
    const isZero = equal(x, 0);
    const others = div(reduceAxes('product', where(isZero, 1, x), axes), where(isZero, 1, x));
    return mul(where(equal(reduceAxes('sum', isZero, axes), isZero), others, 0), reshapeView(g, kept));
  };
  return record('prod', result, [{ input: x, saves: [x], gradient }]);
}
