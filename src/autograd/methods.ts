/** The operations as methods, so that expressions read from left to right: `x.matmul(w).add(b).relu().mean()`. */
import { tensor } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { computeDType, type DType } from '../tensor/dtype.ts';
import { Tensor } from '../tensor/tensor.ts';
import { backward } from './backward.ts';
import { gradientOf } from './leaf-gradient.ts';
import { cast } from './operations/cast.ts';
import { type MatmulOptions, matmul } from './operations/matmul/matmul.ts';
import * as pointwise from './operations/pointwise/pointwise.ts';
import { max, mean, sum } from './operations/reduction/reduction.ts';
import { permute, reshape, slice, transpose } from './operations/views.ts';

type Operand = pointwise.Operand;
type Rest<F> = F extends (x: Tensor, ...rest: infer R) => unknown ? R : never;

declare module '../tensor/tensor.ts' {
  interface Tensor {
    add(y: Operand): Tensor;
    sub(y: Operand): Tensor;
    mul(y: Operand): Tensor;
    div(y: Operand): Tensor;
    pow(y: Operand): Tensor;
    neg(): Tensor;
    exp(): Tensor;
    log(): Tensor;
    sqrt(): Tensor;
    tanh(): Tensor;
    sigmoid(): Tensor;
    relu(): Tensor;
    gelu(): Tensor;
    silu(): Tensor;
    matmul(b: Tensor, bias?: Tensor | null, options?: MatmulOptions): Tensor;
    sum(...options: Rest<typeof sum>): Tensor;
    mean(...options: Rest<typeof mean>): Tensor;
    max(...options: Rest<typeof max>): Tensor;
    cast(dtype: Exclude<DType, 'i32'>): Tensor;
    reshape(shape: readonly number[]): Tensor;
    transpose(first?: number, second?: number): Tensor;
    permute(order: readonly number[]): Tensor;
    slice(starts: readonly number[], ends?: readonly number[]): Tensor;
    /** A copy on another device, without a gradient; f16 becomes f32 where the device lacks it. Waits for this one. */
    to(device: Device): Promise<Tensor>;
    /** Leaves the gradient of this tensor in every live leaf below it. */
    backward(seed?: Tensor): void;
    /** The gradient that the last backward pass left here; null for what is no leaf. */
    readonly gradient: Tensor | null;
  }
}

const methods = {
  add(this: Tensor, y: Operand) {
    return pointwise.add(this, y);
  },
  sub(this: Tensor, y: Operand) {
    return pointwise.sub(this, y);
  },
  mul(this: Tensor, y: Operand) {
    return pointwise.mul(this, y);
  },
  div(this: Tensor, y: Operand) {
    return pointwise.div(this, y);
  },
  pow(this: Tensor, y: Operand) {
    return pointwise.pow(this, y);
  },
  neg(this: Tensor) {
    return pointwise.neg(this);
  },
  exp(this: Tensor) {
    return pointwise.exp(this);
  },
  log(this: Tensor) {
    return pointwise.log(this);
  },
  sqrt(this: Tensor) {
    return pointwise.sqrt(this);
  },
  tanh(this: Tensor) {
    return pointwise.tanh(this);
  },
  sigmoid(this: Tensor) {
    return pointwise.sigmoid(this);
  },
  relu(this: Tensor) {
    return pointwise.relu(this);
  },
  gelu(this: Tensor) {
    return pointwise.gelu(this);
  },
  silu(this: Tensor) {
    return pointwise.silu(this);
  },
  matmul(this: Tensor, b: Tensor, bias: Tensor | null = null, options: MatmulOptions = {}) {
    return matmul(this, b, bias, options);
  },
  sum(this: Tensor, ...options: Rest<typeof sum>) {
    return sum(this, ...options);
  },
  mean(this: Tensor, ...options: Rest<typeof mean>) {
    return mean(this, ...options);
  },
  max(this: Tensor, ...options: Rest<typeof max>) {
    return max(this, ...options);
  },
  cast(this: Tensor, dtype: Exclude<DType, 'i32'>) {
    return cast(this, dtype);
  },
  reshape(this: Tensor, shape: readonly number[]) {
    return reshape(this, shape);
  },
  transpose(this: Tensor, first?: number, second?: number) {
    return transpose(this, first, second);
  },
  permute(this: Tensor, order: readonly number[]) {
    return permute(this, order);
  },
  slice(this: Tensor, starts: readonly number[], ends?: readonly number[]) {
    return slice(this, starts, ends);
  },
  async to(this: Tensor, device: Device) {
    const dtype = device.supports(this.dtype) ? this.dtype : computeDType(this.dtype);
    return tensor(await this.data(), { device, dtype, shape: this.shape, name: this.origin });
  },
  backward(this: Tensor, seed?: Tensor) {
    backward(this, seed);
  },
};

for (const [name, value] of Object.entries(methods)) Object.defineProperty(Tensor.prototype, name, { value });
Object.defineProperty(Tensor.prototype, 'gradient', {
  get(this: Tensor) {
    return gradientOf(this);
  },
});
