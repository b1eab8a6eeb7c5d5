/** Tensors from numbers: given, constant or random. */
import { copyInto, fill } from './copy.ts';
import { CpuDevice } from './cpu/cpu-device.ts';
import type { Device } from './device.ts';
import { computeDType, type DType, dtypes, type NumericArray, typedArray } from './dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from './errors.ts';
import type { Random } from './random.ts';
import { currentScope, type Scope } from './scope.ts';
import { checkShape, formatShape, type Shape, sizeOf } from './shape.ts';
import { Storage } from './storage.ts';
import { allocate, type NestedArray, Tensor } from './tensor.ts';

export interface CreateOptions {
  /** Where the tensor lives; by default the device set with `setDefaultDevice`, or else a `cpu` device. */
  device?: Device;
  /** f32 unless the data says otherwise (Float64Array: f64, Int32Array: i32). */
  dtype?: DType;
}

/** Set once by a program, so that its creations need not name a device. */
let standard: Device | null = null;

/** The device that creation functions use where none is named. */
export function defaultDevice(): Device {
  standard ??= new CpuDevice();
  return standard;
}

export function setDefaultDevice(device: Device): void {
  standard = device;
}

/**
 * A tensor from numbers: nested arrays give their own shape; a typed array is one axis unless `shape` is given.
 *
 * @throws ShapeError for ragged arrays or a shape that does not hold the data; DTypeError for a dtype the device lacks.
 */
export function tensor(
  data: NestedArray | NumericArray,
  options: CreateOptions & { shape?: Shape; name?: string; owner?: Scope | null } = {},
): Tensor {
  const { device = defaultDevice(), name = 'tensor', owner = currentScope() } = options;
  const isTyped = ArrayBuffer.isView(data);
  const shape = options.shape ?? (isTyped ? [data.length] : nestedShape(data));
  checkShape(name, shape);
  const dtype = options.dtype ?? (isTyped ? dtypeOf(data) : 'f32');
  checkDType(name, device, dtype);
  const values = typedArray(computeDType(dtype), sizeOf(shape));
  const count = isTyped ? data.length : flatten(data, values, 0);
  if (isTyped && count === values.length) values.set(data);
  if (dtype === 'i32' && !(data instanceof Int32Array)) checkWhole(name, data);
  if (count !== values.length) {
    throw new ShapeError(
      `${name}: ${count} values do not fill shape ${formatShape(shape)}, which holds ${values.length}`,
    );
  }
  const integers = values instanceof Int32Array ? values : null;
  const storage = new Storage(device, device.allocate(values.byteLength), integers);
  if (values.length > 0) device.upload(storage.buffer, values);
  const made = new Tensor(storage, computeDType(dtype), { shape }, name, owner);
  if (made.dtype === dtype) return made;
  // The device rounds: Node 20 has no array of f16.
  const rounded = allocate(device, dtype, shape, name, owner);
  copyInto(made, rounded, rounded.strides);
  made.release('it was converted');
  return rounded;
}

export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  const { device = defaultDevice(), dtype = 'f32' } = options;
  checkShape('full', shape);
  checkDType('full', device, dtype);
  if (dtype === 'i32') return tensor(new Int32Array(sizeOf(shape)).fill(value), { device, shape, name: 'full' });
  return fill(allocate(device, dtype, shape, 'full'), value);
}

export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  return full(shape, 0, options);
}

export function ones(shape: Shape, options: CreateOptions = {}): Tensor {
  return full(shape, 1, options);
}

/** Independent numbers, uniform in [low, high). */
export function uniform(
  shape: Shape,
  options: CreateOptions & { random: Random; low?: number; high?: number },
): Tensor {
  const { random, low = 0, high = 1 } = options;
  return sample('uniform', shape, options, (values) => {
    for (let i = 0; i < values.length; i++) values[i] = low + (high - low) * random.uniform();
  });
}

/** Independent normal numbers of the given mean and standard deviation. */
export function normal(
  shape: Shape,
  options: CreateOptions & { random: Random; mean?: number; deviation?: number },
): Tensor {
  const { random, mean = 0, deviation = 1 } = options;
  return sample('normal', shape, options, (values) => {
    if (values instanceof Int32Array)
      for (let i = 0; i < values.length; i++) values[i] = mean + deviation * random.normal();
    else random.fillNormal(values, mean, deviation);
  });
}

function sample(name: string, shape: Shape, options: CreateOptions, draw: (values: NumericArray) => void): Tensor {
  checkShape(name, shape);
  const { device, dtype = 'f32' } = options;
  const values = typedArray(computeDType(dtype), sizeOf(shape));
  draw(values);
  return tensor(values, { device, dtype, shape, name });
}

export function checkDType(operation: string, device: Device, dtype: DType): void {
  if (device.supports(dtype)) return;
  const allowed = dtypes.filter((each) => device.supports(each)).join(', ');
  throw new DTypeError(
    `${operation}: dtype ${dtype} is not available on ${device.kind} (${device.adapter}; allowed there: ${allowed})`,
  );
}

/** @throws DTypeError where a number would lose its fraction, or is none, in an i32 tensor. */
function checkWhole(name: string, data: NestedArray | NumericArray): void {
  if (typeof data === 'number') {
    if (!Number.isInteger(data)) throw new DTypeError(`${name}: ${data} is no whole number, and dtype is i32`);
  } else for (const entry of data) checkWhole(name, entry);
}

function dtypeOf(data: NumericArray): DType {
  if (data instanceof Float32Array) return 'f32';
  return data instanceof Float64Array ? 'f64' : 'i32';
}

function nestedShape(data: NestedArray): number[] {
  return typeof data === 'number' ? [] : [data.length, ...(data.length > 0 ? nestedShape(data[0]) : [])];
}

function flatten(data: NestedArray, target: NumericArray, position: number): number {
  if (typeof data === 'number') {
    if (position < target.length) target[position] = data;
    return position + 1;
  }
  const first = data[0];
  for (const entry of data) {
    const ragged = Array.isArray(entry) !== Array.isArray(first);
    if (ragged || (Array.isArray(entry) && Array.isArray(first) && entry.length !== first.length)) {
      throw new ShapeError('tensor: nested arrays must all have the same length on each level');
    }
    position = flatten(entry, target, position);
  }
  return position;
}

/**
 * @throws ArgumentError where an integer is neither in 0 … `count` - 1 nor equal to `ignored`. Integers that never were
 * on the host cannot be checked without waiting for the device, and pass.
 */
export function checkIndices(what: string, indices: Tensor, count: number, ignored?: number): void {
  if (indices.dtype !== 'i32') throw new DTypeError(`${what}: indices must be i32, not ${indices.dtype}`);
  const values = indices.storage.hostIntegers;
  if (!values) return;
  const check = (value: number) => {
    if ((value >= 0 && value < count) || value === ignored) return;
    const exception = ignored === undefined ? '' : `, or ${ignored} to be ignored`;
    throw new ArgumentError(`${what}: index ${value} is out of range (allowed: 0 … ${count - 1}${exception})`);
  };
  const { shape, strides } = indices;
  const walk = (axis: number, offset: number): void => {
    if (axis === shape.length) check(values[offset]);
    else for (let i = 0; i < shape[axis]; i++) walk(axis + 1, offset + i * strides[axis]);
  };
  walk(0, indices.offset);
}
