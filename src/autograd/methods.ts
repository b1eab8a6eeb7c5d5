/** The operations as methods, so that expressions read from left to right: `x.matmul(w).add(b).relu().mean()`. */
import { checkDevice, tensor } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { computeDType } from '../tensor/dtype.ts';
import { tellNames } from '../tensor/names-elsewhere.ts';
import { Tensor } from '../tensor/tensor.ts';
import { type BackwardOptions, backward } from './backward.ts';
import { gradientOf } from './leaf-gradient.ts';
import { at } from './operations/at.ts';
import { expand, flatten, split, squeeze, unsqueeze } from './operations/axes.ts';
import { cast } from './operations/cast.ts';
import { flip } from './operations/flip.ts';
import { cumsum } from './operations/indexing/cumulative-sum.ts';
import { gather, indexSelect, scatterAdd } from './operations/indexing/gather.ts';
import { multinomial } from './operations/indexing/multinomial.ts';
import { argmax, argmin, sort, topk } from './operations/indexing/order.ts';
import { matmul } from './operations/matmul/matmul.ts';
import { pad } from './operations/pad.ts';
import * as pointwise from './operations/pointwise/pointwise.ts';
import * as reduction from './operations/reduction/reduction.ts';
import * as statistics from './operations/reduction/statistics.ts';
import { logSoftmax, softmax } from './operations/softmax.ts';
import { tril, triu } from './operations/triangle.ts';
import { broadcastTo, permute, reshape, slice, transpose } from './operations/views.ts';

const rearranging = {
  at,
  reshape,
  transpose,
  permute,
  slice,
  broadcastTo,
  expand,
  flatten,
  squeeze,
  unsqueeze,
  split,
  flip,
  pad,
};
const indexing = { argmax, argmin, gather, indexSelect, scatterAdd, cumsum, sort, topk, multinomial };
const others = { matmul, cast, softmax, logSoftmax, tril, triu, ...rearranging, ...indexing };

/** Functions of a tensor, as methods of their first operand. */
type Methods<Functions> = {
  readonly [Name in keyof Functions]: Functions[Name] extends (x: never, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never;
};

declare module '../tensor/tensor.ts' {
  interface Tensor
    extends Methods<typeof pointwise>,
      Methods<typeof reduction>,
      Methods<typeof statistics>,
      Methods<typeof others> {
    /** A copy on another device, without a gradient; f16 becomes f32 where the device lacks it. Waits for this one. */
    to(device: Device): Promise<Tensor>;
    /** Leaves the gradient of this tensor in every live leaf below it. */
    backward(seed?: Tensor | null, options?: BackwardOptions): void;
    /** The gradient that the last backward pass left here; null for what is no leaf. */
    readonly gradient: Tensor | null;
  }
}

const operations = { ...pointwise, ...reduction, ...statistics, ...others };

for (const [name, operation] of Object.entries(operations)) {
  install(name, {
    value(this: Tensor, ...rest: readonly unknown[]): unknown {
      return Reflect.apply(operation, undefined, [this, ...rest]);
    },
  });
}
install('to', {
  async value(this: Tensor, device: Device): Promise<Tensor> {
    checkDevice('to', device);
    const dtype = device.supports(this.dtype) ? this.dtype : computeDType(this.dtype);
    return tensor(await this.data(), { device, dtype, shape: this.shape, name: this.origin });
  },
});
install('backward', {
  value(this: Tensor, seed?: Tensor | null, options?: BackwardOptions): void {
    backward(this, seed, options);
  },
});
install('gradient', {
  get(this: Tensor): Tensor | null {
    return gradientOf(this);
  },
});

const inPlace = 'nothing is changed in place; x.add(y) makes a new tensor, and so do the others';
const snakeCase = Object.keys(operations)
  .filter((name) => /[A-Z]/.test(name))
  .map((name) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), `x.${name}(…)`]);
tellNames(Tensor.prototype, {
  ...Object.fromEntries(snakeCase),
  ...Object.fromEntries(
    ['add_', 'sub_', 'mul_', 'div_', 'zero_', 'fill_', 'copy_', 'clamp_'].map((name) => [name, inPlace]),
  ),
  0: 'x.at(0), and x.at(-1, [1, 3]) for x[-1, 1:3]',
  T: 'x.transpose()',
  t: 'x.transpose()',
  dim: 'x.rank',
  ndim: 'x.rank',
  numel: 'x.size',
  grad: 'x.gradient',
  requires_grad: 'requireGradient(x); parameter.freeze() and thaw()',
  requires_grad_: 'requireGradient(x); parameter.freeze() and thaw()',
  requiresGrad: 'requireGradient(x); parameter.freeze() and thaw()',
  detach: 'detach(x)',
  clone: `x itself will do: ${inPlace}`,
  cuda: 'await x.to(device), with a device of openDevice',
  cpu: 'await x.to(device), with a device of openDevice',
  numpy: 'await x.toArray(), or await x.data()',
  tolist: 'await x.toArray()',
  float: "x.cast('f32')",
  double: "x.cast('f64')",
  half: "x.cast('f16')",
  int: "x.cast('i32')",
  long: "x.cast('i32')",
  std: 'x.standardDeviation(…)',
  var: 'x.variance(…)',
  amax: 'x.max(…)',
  amin: 'x.min(…)',
  logsumexp: 'x.logSumExp(…)',
  argsort: 'x.sort(…).indices',
  square: 'x.mul(x)',
  eq: 'x.equal(y)',
  ne: 'x.notEqual(y)',
  lt: 'x.less(y)',
  le: 'x.lessEqual(y)',
  gt: 'x.greater(y)',
  ge: 'x.greaterEqual(y)',
  mm: 'x.matmul(y)',
  bmm: 'x.matmul(y)',
  mv: 'x.matmul(y)',
  dot: 'x.matmul(y)',
  chunk: 'x.split(size, axis)',
  repeat: 'x.expand(shape), or concatenate([x, x])',
  masked_fill: 'where(mask, value, x)',
});

function install(name: string, property: PropertyDescriptor): void {
  Object.defineProperty(Tensor.prototype, name, property);
}
