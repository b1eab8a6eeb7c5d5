/** The operations as methods, so that expressions read from left to right: `x.matmul(w).add(b).relu().mean()`. */
import { tensor } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { computeDType } from '../tensor/dtype.ts';
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

for (const [name, operation] of Object.entries({ ...pointwise, ...reduction, ...statistics, ...others })) {
  install(name, {
    value(this: Tensor, ...rest: readonly unknown[]): unknown {
      return Reflect.apply(operation, undefined, [this, ...rest]);
    },
  });
}
install('to', {
  async value(this: Tensor, device: Device): Promise<Tensor> {
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

function install(name: string, property: PropertyDescriptor): void {
  Object.defineProperty(Tensor.prototype, name, property);
}
