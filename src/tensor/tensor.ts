/** The tensor, its dense copies, and reading it back. */
import { copyInto } from './copy.ts';
import type { Device, DeviceBuffer, KernelOperand } from './device.ts';
import { bytesPerElement, computeDType, type DType, type NumericArray, typedArray } from './dtype.ts';
import { ArgumentError, DeviceLimitError, OutOfMemoryError, ReleasedTensorError, ShapeError } from './errors.ts';
import { collectGarbage } from './garbage.ts';
import { currentScope, currentStep, type Releasable, type Scope, scope } from './scope.ts';
import { formatShape, isRowMajor, rowMajorStrides, type Shape, type Strides, sizeOf } from './shape.ts';
import { formatValues } from './show.ts';
import { Storage } from './storage.ts';

/** Nested arrays of numbers, one level per axis; a plain number for a scalar. */
export type NestedArray = number | NestedArray[];

export interface View {
  shape: Shape;
  strides?: Strides;
  offset?: number;
}

/** Returns the buffers of tensors that no scope owned and nobody released. A backstop: it may run late, or never. */
const collected = new FinalizationRegistry<Storage>((storage) => storage.release());

/**
 * An n-dimensional array on a device: a view (shape, strides, offset) of a storage.
 *
 * Tensors made inside a step belong to it and are released when it ends. The layer knows nothing of gradients:
 * operations are functions of `autograd`, which also adds the methods (`x.add(y)`).
 */
export class Tensor implements KernelOperand, Releasable {
  #storage: Storage;
  #dtype: DType;
  readonly shape: Shape;
  readonly strides: Strides;
  /** Position of the first element in the storage, in elements. */
  readonly offset: number;
  readonly size: number;
  /** The operation that made it, for error messages and the drawn graph. */
  readonly origin: string;
  owner: Scope | null = null;
  #released: string | null = null;

  constructor(storage: Storage, dtype: DType, view: View, origin: string, owner: Scope | null = currentScope()) {
    this.#storage = storage;
    this.#dtype = dtype;
    this.shape = view.shape;
    this.strides = view.strides ?? rowMajorStrides(view.shape);
    this.offset = view.offset ?? 0;
    this.size = sizeOf(view.shape);
    this.origin = origin;
    storage.retain();
    if (owner) owner.adopt(this);
    else collected.register(this, storage, this);
  }

  get storage(): Storage {
    return this.#storage;
  }

  get dtype(): DType {
    return this.#dtype;
  }

  get device(): Device {
    return this.#storage.device;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** Bytes of its elements (a view counts what it shows, not what it shares). */
  get byteLength(): number {
    return this.size * bytesPerElement[this.dtype];
  }

  get isReleased(): boolean {
    return this.#released !== null;
  }

  /** True where the elements lie one after the other in row-major order. */
  get isContiguous(): boolean {
    return isRowMajor(this.shape, this.strides);
  }

  /** Another view of the same storage, without copying and without a gradient; `operation` names it. */
  view(view: View, operation: string, owner: Scope | null = currentScope()): Tensor {
    if (!Array.isArray(view?.shape))
      throw new ArgumentError('view: takes the parts of a view; x.reshape([2, 3]) gives another shape');
    this.assertUsable(operation);
    return new Tensor(this.storage, this.dtype, { offset: this.offset, ...view }, operation, owner);
  }

  /** All elements in row-major order, 16 bits as f32. Waits for the device. */
  async data(): Promise<NumericArray> {
    this.assertUsable('data');
    const dtype = computeDType(this.dtype);
    if (this.size === 0) return typedArray(dtype, 0);
    const bytes = await readDense(this);
    if (currentStep() === null) await collectGarbage(this.device);
    return typedArray(dtype, this.size, bytes);
  }

  /** All elements as nested arrays. Waits for the device. */
  async toArray(): Promise<NestedArray> {
    const data = await this.data();
    let position = 0;
    const nest = (axis: number): NestedArray =>
      axis === this.rank ? data[position++] : Array.from({ length: this.shape[axis] }, () => nest(axis + 1));
    return nest(0);
  }

  /** The value of a tensor of one element. Waits for the device. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new ShapeError(`item: a tensor of shape ${formatShape(this.shape)} holds ${this.size} values, not 1`);
    }
    return (await this.data())[0];
  }

  /** Prints its values below dtype, shape and device; of more than 1,000 elements those at the edges. Waits for the device. */
  async show(): Promise<void> {
    const values = formatValues(await this.data(), this.shape);
    console.log(`${this.dtype} ${formatShape(this.shape)} on ${this.device.kind}\n${values}`);
  }

  /** What it is and how its values are read; they are on a device, so this cannot tell them. */
  toString(): string {
    const state = this.#released === null ? '' : ', released';
    return (
      `${this.constructor.name} ${this.dtype} ${formatShape(this.shape)} on ${this.device.kind}, made by '${this.origin}'${state}; ` +
      'await x.show() prints its values, await x.toArray() reads them'
    );
  }

  toJSON(): string {
    return this.toString();
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** @throws ArgumentError where JavaScript would compute or compare with it: `x + 1` is `x.add(1)`. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return this.toString();
    throw new ArgumentError(
      `${this}: operators of JavaScript do not compute with tensors; x.add(y), x.mul(y), x.less(y) … do`,
    );
  }

  /** @throws ReleasedTensorError if its buffer went back to the pool. */
  assertUsable(operation: string): void {
    if (this.#released === null) return;
    throw new ReleasedTensorError(
      `${operation}: the tensor ${formatShape(this.shape)} made by '${this.origin}' was released because ` +
        `${this.#released}. Read it before that, or keep it with keep(name, tensor)`,
    );
  }

  /** Lets go of its storage, and holds that of a dense tensor of its shape from now on. Views made before keep the old one. */
  protected hold({ storage, dtype }: Tensor): void {
    storage.retain();
    this.#storage.release();
    this.#storage = storage;
    this.#dtype = dtype;
    collected.unregister(this);
    if (!this.owner) collected.register(this, storage, this);
  }

  /** Lets go of its storage now. Never needed in a loop made of steps. */
  release(reason = 'release() was called'): void {
    if (this.#released !== null) return;
    this.#released = reason;
    this.owner = null;
    collected.unregister(this);
    this.storage.release();
  }

  persist(): void {
    this.assertUsable('keep');
    if (this.owner === null) return;
    this.owner = null;
    collected.register(this, this.storage, this);
  }
}

/** A dense tensor whose elements are yet to be written by a kernel. */
export function allocate(
  device: Device,
  dtype: DType,
  shape: Shape,
  origin: string,
  owner: Scope | null = currentScope(),
): Tensor {
  const buffer = allocateBuffer(device, dtype, shape, origin);
  return new Tensor(new Storage(device, buffer), dtype, { shape }, origin, owner);
}

/** Room for a tensor. @throws OutOfMemoryError or DeviceLimitError that names the operation, the tensor and the bytes. */
export function allocateBuffer(device: Device, dtype: DType, shape: Shape, operation: string): DeviceBuffer {
  try {
    return device.allocate(sizeOf(shape) * bytesPerElement[dtype], operation);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError || error instanceof DeviceLimitError)) throw error;
    const kind = error instanceof OutOfMemoryError ? OutOfMemoryError : DeviceLimitError;
    const advice =
      currentStep() === null
        ? '. Outside of step() memory comes back with tensor.release(), or some time after a value is read: put the body of a loop in step()'
        : '';
    throw new kind(`${error.message}; it is for a tensor ${dtype} ${formatShape(shape)} on ${device.kind}${advice}`);
  }
}

/** A dense copy of `source`, of its own; converted where another floating dtype is asked for. */
export function copy(source: Tensor, operation = 'copy', dtype: DType = source.dtype): Tensor {
  // bf16 is written in one pass, which walks four axes at most.
  if (dtype === 'bf16' && source.rank > 4 && !source.isContiguous) {
    return copy(copy(source, operation, computeDType(source.dtype)), operation, dtype);
  }
  const target = allocate(source.device, dtype, source.shape, operation);
  copyInto(source, target, rowMajorStrides(source.shape));
  return target;
}

/** True where `x` can be bound as it is: row-major, from an offset the device takes, and no empty rest of a buffer. */
export function isDense(x: Tensor): boolean {
  const aligned = (x.offset * bytesPerElement[x.dtype]) % x.device.offsetAlignment === 0;
  return x.isContiguous && aligned && (x.size > 0 || x.offset === 0);
}

/**
 * `source` itself where a kernel can bind it, otherwise a copy. Kernels whose operands are `read` take dense tensors
 * only.
 */
export function dense(source: Tensor): Tensor {
  return isDense(source) ? source : copy(source, source.origin);
}

/** The bytes of all elements in row-major order, in the dtype they are computed in. */
function readDense(source: Tensor): Promise<ArrayBuffer> {
  return scope('read-back', () => {
    const dtype = computeDType(source.dtype);
    const readable = dtype === source.dtype ? dense(source) : copy(source, source.origin, dtype);
    const byteOffset = readable.offset * bytesPerElement[readable.dtype];
    return [source.device.download(readable.storage.buffer, byteOffset, readable.byteLength)];
  })[0];
}
