/** Tensors from numbers: given, constant or random. */
import { copyInto, fill } from './copy.ts';
import { CpuDevice } from './cpu/cpu-device.ts';
import { debugged } from './debug.ts';
import type { Device } from './device.ts';
import { computeDType, type DType, dtypes, type NumericArray, typedArray } from './dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from './errors.ts';
import { checkOptions } from './options.ts';
import { Random } from './random.ts';
import { currentScope, type Scope } from './scope.ts';
import { checkShape, formatShape, type Shape, sizeOf } from './shape.ts';
import { Storage } from './storage.ts';
import { allocate, allocateBuffer, type NestedArray, Tensor } from './tensor.ts';

export interface CreateOptions {
  /** Where the tensor lives; by default the device set with `setDefaultDevice`, or the first that was opened, or else a `cpu` device. */
  device?: Device;
  /** f32 unless the data says otherwise (Float64Array: f64, Int32Array: i32). */
  dtype?: DType;
}

const createOptions = ['device', 'dtype'];

/** Set once by a program, so that its creations need not name a device. */
let standard: Device | null = null;

/** The device that creation functions use where none is named. */
export function defaultDevice(): Device {
  standard ??= debugged(new CpuDevice());
  return standard;
}

export function setDefaultDevice(device: Device): void {
  checkDevice('setDefaultDevice', device);
  standard = device;
}

/** The first device that a program opens is its default. */
export function offerDefaultDevice(device: Device): Device {
  standard ??= device;
  return device;
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
  checkOptions('tensor', options, [...createOptions, 'shape', 'name', 'owner'], null);
  const { device = defaultDevice(), name = 'tensor', owner = currentScope() } = options;
  const isTyped = isNumericArray(data);
  const ownShape = isTyped ? [data.length] : nestedShape(data);
  const shape = options.shape ?? ownShape;
  const dtype = options.dtype ?? (isTyped ? dtypeOf(data) : 'f32');
  checkShape(name, shape);
  if (sizeOf(ownShape) !== sizeOf(shape)) {
    throw new ShapeError(
      `${name}: ${sizeOf(ownShape)} values do not fill shape ${formatShape(shape)}, which holds ${sizeOf(shape)}`,
    );
  }
  return fromHost({ name, device, dtype, shape, owner }, (values) => {
    if (!isTyped) flatten(name, data, ownShape, dtype, values);
    else {
      if (dtype === 'i32' && !(data instanceof Int32Array)) for (const value of data) checkInteger(name, value);
      values.set(data);
    }
  });
}

/** Room on the device is asked for before the host makes the values: what does not fit must not cost memory first. */
function fromHost(
  {
    name,
    device,
    dtype,
    shape,
    owner,
  }: { name: string; device: Device; dtype: DType; shape: Shape; owner: Scope | null },
  write: (values: NumericArray) => void,
): Tensor {
  checkDType(name, device, dtype);
  const stored = computeDType(dtype);
  const buffer = allocateBuffer(device, stored, shape, name);
  let values: NumericArray;
  try {
    values = typedArray(stored, sizeOf(shape));
    write(values);
  } catch (error) {
    device.recycle(buffer);
    throw error;
  }
  if (values.length > 0) device.upload(buffer, values);
  const storage = new Storage(device, buffer, values instanceof Int32Array ? values : null);
  const made = new Tensor(storage, stored, { shape }, name, owner);
  if (made.dtype === dtype) return made;
  // The device rounds: Node 20 has no array of 16-bit floats.
  const rounded = allocate(device, dtype, shape, name, owner);
  copyInto(made, rounded, rounded.strides);
  made.release('it was converted');
  return rounded;
}

/** A bf16 tensor from its bits, as files hold them. */
export function fromBFloat16(
  bits: Uint16Array,
  { device, shape, name }: { device: Device; shape: Shape; name: string },
) {
  checkShape(name, shape);
  const storage = new Storage(device, allocateBuffer(device, 'bf16', shape, name));
  // Devices take whole words.
  const words = new Int32Array(Math.ceil(bits.length / 2));
  new Uint16Array(words.buffer).set(bits);
  if (words.length > 0) device.upload(storage.buffer, words);
  return new Tensor(storage, 'bf16', { shape }, name);
}

export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  return filled('full', shape, value, options);
}

function filled(operation: string, shape: Shape, value: number, options: CreateOptions): Tensor {
  checkShape(operation, shape);
  checkNumbers(operation, { value });
  // Modules hand on all that they are built with, and constants need no random numbers.
  checkOptions(operation, options, [...createOptions, 'random'], null);
  const { device = defaultDevice(), dtype = 'f32' } = options;
  checkDType(operation, device, dtype);
  if (dtype === 'i32') checkInteger(operation, value);
  else if (dtype !== 'bf16' || Object.is(value, 0)) return fill(allocate(device, dtype, shape, operation), value);
  return fromHost({ name: operation, device, dtype, shape, owner: currentScope() }, (values) => values.fill(value));
}

export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  return filled('zeros', shape, 0, options);
}

export function ones(shape: Shape, options: CreateOptions = {}): Tensor {
  return filled('ones', shape, 1, options);
}

/**
 * The numbers start, start + step, … below `end` (above it for a negative step); f32 unless another dtype is asked for.
 *
 * @throws ArgumentError for numbers that are not finite, and a step of 0.
 */
export function arange(end: number, options: CreateOptions & { start?: number; step?: number } = {}): Tensor {
  checkOptions('arange', options, [...createOptions, 'start', 'step'], null);
  const { start = 0, step = 1, device = defaultDevice(), dtype = 'f32' } = options;
  checkFinite('arange', { end, start, step });
  if (step === 0) throw new ArgumentError('arange: step is 0 (allowed: others)');
  const count = Math.max(0, Math.ceil((end - start) / step));
  return fromHost({ name: 'arange', device, dtype, shape: [count], owner: currentScope() }, (values) => {
    for (let i = 0; i < count; i++)
      values[i] = dtype === 'i32' ? checkInteger('arange', start + i * step) : start + i * step;
  });
}

/** The identity matrix (rows, columns): 1 on the main diagonal, else 0; square by default. */
export function eye(rows: number, options: CreateOptions & { columns?: number } = {}): Tensor {
  checkOptions('eye', options, [...createOptions, 'columns'], 'columns');
  const { columns = rows, device = defaultDevice(), dtype = 'f32' } = options;
  checkShape('eye', [rows, columns]);
  return fromHost({ name: 'eye', device, dtype, shape: [rows, columns], owner: currentScope() }, (values) => {
    for (let i = 0; i < Math.min(rows, columns); i++) values[i * columns + i] = 1;
  });
}

/**
 * Independent numbers, uniform in [low, high); of i32 the whole ones among them.
 *
 * @throws ArgumentError for bounds that are not finite, or a `low` above `high`; DTypeError for what an i32 cannot hold.
 */
export function uniform(
  shape: Shape,
  options: CreateOptions & { random: Random; low?: number; high?: number },
): Tensor {
  checkOptions('uniform', options, [...createOptions, 'random', 'low', 'high'], null);
  const { random, low = 0, high = 1 } = options;
  checkFinite('uniform', { low, high });
  if (low > high) throw new ArgumentError(`uniform: low is ${low} (allowed: at most high, ${high})`);
  return sample('uniform', shape, options, (values) => {
    for (let i = 0; i < values.length; i++) {
      const value = low + (high - low) * random.uniform();
      values[i] = values instanceof Int32Array ? checkInteger('uniform', Math.floor(value)) : value;
    }
  });
}

/**
 * Independent normal numbers of the given mean and standard deviation; of i32 they are rounded to the nearest.
 *
 * @throws ArgumentError for numbers that are not finite, or a deviation below 0; DTypeError for what an i32 cannot hold.
 */
export function normal(
  shape: Shape,
  options: CreateOptions & { random: Random; mean?: number; deviation?: number },
): Tensor {
  checkOptions('normal', options, [...createOptions, 'random', 'mean', 'deviation'], null);
  const { random, mean = 0, deviation = 1 } = options;
  checkFinite('normal', { mean, deviation });
  if (deviation < 0) throw new ArgumentError(`normal: deviation is ${deviation} (allowed: at least 0)`);
  return sample('normal', shape, options, (values) => {
    if (values instanceof Int32Array)
      for (let i = 0; i < values.length; i++)
        values[i] = checkInteger('normal', Math.round(mean + deviation * random.normal()));
    else random.fillNormal(values, mean, deviation);
  });
}

function sample(
  name: string,
  shape: Shape,
  options: CreateOptions & { random: Random },
  draw: (values: NumericArray) => void,
): Tensor {
  checkShape(name, shape);
  checkRandom(name, options.random);
  const { device = defaultDevice(), dtype = 'f32' } = options;
  return fromHost({ name, device, dtype, shape, owner: currentScope() }, draw);
}

/** @throws ArgumentError where a caller without types passed none. */
export function checkRandom(operation: string, random: unknown): void {
  if (random instanceof Random) return;
  throw new ArgumentError(`${operation}: random is ${String(random)} (allowed: a Random, such as new Random(seed))`);
}

/** @throws ArgumentError for what a caller without types may pass, such as the kind of a device. */
export function checkDevice(operation: string, device: Device): void {
  if (typeof device === 'object' && device !== null && 'supports' in device) return;
  throw new ArgumentError(
    `${operation}: device is ${String(device)} (allowed: a device, such as await openDevice('cpu'))`,
  );
}

/** @throws ArgumentError for values that are no numbers. */
export function checkNumbers(operation: string, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'number')
      throw new ArgumentError(`${operation}: ${name} is ${describe(value)} (allowed: a number)`);
  }
}

/** @throws ArgumentError for values that are no finite numbers. */
export function checkFinite(operation: string, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (Number.isFinite(value)) continue;
    const shown = typeof value === 'number' ? value : describe(value);
    throw new ArgumentError(`${operation}: ${name} is ${shown} (allowed: a finite number)`);
  }
}

export function checkDType(operation: string, device: Device, dtype: DType): void {
  checkDevice(operation, device);
  if (dtypes.includes(dtype) && device.supports(dtype)) return;
  const allowed = dtypes.filter((each) => device.supports(each)).join(', ');
  throw new DTypeError(
    `${operation}: dtype ${dtype} is not available on ${device.kind} (${device.adapter}; allowed there: ${allowed})`,
  );
}

/** @throws DTypeError where an i32 cannot hold the number. */
export function checkInteger(name: string, value: number): number {
  if (Number.isInteger(value) && value === (value | 0)) return value;
  throw new DTypeError(`${name}: ${value} does not fit dtype i32 (allowed: whole numbers from -2^31 to 2^31 - 1)`);
}

function dtypeOf(data: NumericArray): DType {
  if (data instanceof Float64Array) return 'f64';
  // By its name, as not every engine has a Float16Array.
  return Object.prototype.toString.call(data).includes('Float') ? 'f32' : 'i32';
}

/** Views whose entries are no numbers. */
const otherViews = [DataView, BigInt64Array, BigUint64Array];

function isNumericArray(data: unknown): data is NumericArray {
  return ArrayBuffer.isView(data) && !otherViews.some((kind) => data instanceof kind);
}

function nestedShape(data: unknown): number[] {
  return Array.isArray(data) ? [data.length, ...(data.length > 0 ? nestedShape(data[0]) : [])] : [];
}

/** Writes nested arrays of `shape` in row-major order. @throws ShapeError where they are ragged. */
function flatten(name: string, data: unknown, shape: Shape, dtype: DType, target: NumericArray): void {
  let count = 0;
  const visit = (value: unknown, axis: number): void => {
    if (axis === shape.length) {
      if (typeof value !== 'number') {
        throw new ShapeError(
          `${name}: an entry is ${describe(value)} where shape ${formatShape(shape)} needs a number`,
        );
      }
      target[count++] = dtype === 'i32' ? checkInteger(name, value) : value;
      return;
    }
    if (!Array.isArray(value) || value.length !== shape[axis]) {
      throw new ShapeError(
        `${name}: the arrays are ragged: axis ${axis} has ${shape[axis]} entries, and once ${describe(value)}`,
      );
    }
    for (const entry of value) visit(entry, axis + 1);
  };
  visit(data, 0);
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (value instanceof Tensor) return 'a tensor (stack([x, y]) joins some)';
  return Array.isArray(value) ? `an array of ${value.length}` : `${typeof value} ${String(value)}`;
}

/**
 * @throws ArgumentError where an integer is neither in 0 … `count` - 1 nor equal to `ignored`. Integers that never were
 * on the host cannot be checked without waiting for the device, and pass.
 */
export function checkIndices(what: string, indices: Tensor, count: number, ignored?: number): void {
  if (indices.dtype !== 'i32') {
    throw new DTypeError(
      `${what}: indices must be i32, not ${indices.dtype} (tensor([0, 1], { dtype: 'i32' }) makes some, cast(x, 'i32') converts)`,
    );
  }
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
