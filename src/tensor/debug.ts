/**
 * `FROSTGRAD_DEBUG=1`: every operation of a device is checked, timed, and every live tensor known by the line that made it. The
 * device's own methods are wrapped when it is opened, so that nothing is checked while the variable is not set.
 */
import type { Device, KernelCall, KernelOperand } from './device.ts';
import { bytesPerElement, isFloat, type NumericArray } from './dtype.ts';
import { ArgumentError, KernelError, NonFiniteValueError } from './errors.ts';
import { getOrCreate } from './get-or-create.ts';
import { kernel } from './kernel.ts';
import { platform } from './platform/platform.ts';
import { formatShape } from './shape.ts';
import { Storage } from './storage.ts';
import { Tensor } from './tensor.ts';

/** What a kernel came to since its device was opened. */
export interface OperationTime {
  operation: string;
  calls: number;
  /** On `cpu` the work itself, on `webgpu` its recording alone: the device does the work later. */
  milliseconds: number;
}

/** Tensors that live now and were made by the same line. */
export interface LiveTensors {
  line: string;
  operation: string;
  tensors: number;
  bytes: number;
}

export interface DebugReport {
  /** The longest first. */
  operations: readonly OperationTime[];
  /** The largest first. */
  live: readonly LiveTensors[];
}

const nan = 1;
const infinite = 2;
const slotsOfChunk = 4096;

const finiteCheck = kernel({
  name: 'finite-check',
  operands: { values: 'read', flags: 'update' },
  scalars: { count: 'u32', slot: 'u32' },
  wgsl: { file: 'finite_check' },
  reference({ values, flags }, { count, slot }) {
    flags[slot] = bitsOf(values.subarray(0, count));
  },
});

function bitsOf(values: NumericArray): number {
  let bits = 0;
  for (const value of values) if (!Number.isFinite(value)) bits |= Number.isNaN(value) ? nan : infinite;
  return bits;
}

function bitsOfBfloat16(words: Int32Array): number {
  let bits = 0;
  for (const value of new Uint16Array(words.buffer, words.byteOffset, 2 * words.length))
    if ((value & 0x7f80) === 0x7f80) bits |= (value & 0x7f) === 0 ? infinite : nan;
  return bits;
}

/** What one dispatch read and wrote, until its flags are read back. */
interface Dispatched {
  call: KernelCall;
  line: string;
  reads: readonly number[];
  writes: readonly { operand: KernelOperand; slot: number | null }[];
  /** The parameter whose gradient it wrote, or a part of it. */
  gradientOf?: string;
}

/** One for each device that is debugged. */
const reports = new WeakMap<Device, () => DebugReport>();

/** One for each of them as well. */
const gradientNoters = new WeakMap<Device, (gradient: Tensor, name: string) => void>();

/** Says whose gradient a tensor holds; noted where its device is debugged. */
export function noteGradient(gradient: Tensor, name: string): void {
  gradientNoters.get(gradient.device)?.(gradient, name);
}

/** @throws ArgumentError unless the device was opened under FROSTGRAD_DEBUG=1. */
export function debugReport(device: Device): DebugReport {
  const report = reports.get(device);
  if (report) return report();
  throw new ArgumentError('debugReport: the device was opened without FROSTGRAD_DEBUG=1, so nothing was noted');
}

/** The device itself; under FROSTGRAD_DEBUG=1 it checks and notes what it does, and at the end of the process says so. */
export function debugged<D extends Device>(device: D): D {
  if (platform.environment('FROSTGRAD_DEBUG') !== '1') return device;
  debug(device);
  platform.onExit(() => printReport(device));
  return device;
}

/** Wraps the methods of a device. Every operation costs a pass over what it wrote, and every step a read-back. */
export function debug(device: Device): void {
  const { run, allocate: take, recycle, upload, download, finishStep, synchronize } = device;
  const times = new Map<string, OperationTime>();
  const live = new Map<number, Omit<LiveTensors, 'tensors'>>();
  /** Whether a buffer holds NaN or infinite values, as of what was read back. */
  const known = new Map<number, number>();
  /** Of parameters, by their buffers: operations see views of them too. */
  const names = new Map<number, string>();
  /** How many dispatches were pending when a buffer was given out. */
  const givenOut = new Map<number, number>();
  const chunks: Tensor[] = [];
  let pending: Dispatched[] = [];
  let slots = 0;
  let failure: NonFiniteValueError | null = null;
  const chunk = (index: number): Tensor => {
    if (index === chunks.length) {
      const storage = new Storage(device, take.call(device, 4 * slotsOfChunk, 'debug'));
      chunks.push(new Tensor(storage, 'f32', { shape: [slotsOfChunk] }, 'debug', null));
    }
    return chunks[index];
  };

  device.allocate = (byteLength, operation) => {
    const buffer = take.call(device, byteLength, operation);
    live.set(buffer.id, { line: callingLine(), operation, bytes: byteLength });
    known.delete(buffer.id);
    givenOut.set(buffer.id, pending.length);
    // What the last tensor left there must not be taken for a value of this one.
    upload.call(device, buffer, new Int32Array(Math.ceil(byteLength / 4)));
    return buffer;
  };
  device.recycle = (buffer) => {
    live.delete(buffer.id);
    names.delete(buffer.id);
    recycle.call(device, buffer);
  };
  device.upload = (buffer, data) => {
    // Words are integers, of which nobody asks, or pairs of bf16.
    known.set(buffer.id, data instanceof Int32Array ? bitsOfBfloat16(data) : bitsOf(data));
    upload.call(device, buffer, data);
  };
  device.run = (call) => {
    for (let i = 0; i < call.operands.length; i++) checkExtent(call, i);
    const started = performance.now();
    run.call(device, call);
    const { name } = call.kernel;
    const time = getOrCreate(times, name, () => ({ operation: name, calls: 0, milliseconds: 0 }));
    time.calls++;
    time.milliseconds += performance.now() - started;
    for (const operand of call.operands) {
      if ('name' in operand) names.set(operand.storage.buffer.id, String(operand.name));
    }
    const { accesses, operandNames, overflows = [] } = call.kernel;
    const used = call.operands.filter(({ size }) => size > 0);
    const reads = used.filter(
      (operand) => isFloat(operand.dtype) && accesses[call.operands.indexOf(operand)] !== 'write',
    );
    const written = used.filter((operand) => {
      const i = call.operands.indexOf(operand);
      return ['write', 'update'].includes(accesses[i]) && !overflows.includes(operandNames[i]);
    });
    const writes = written.map((operand) => {
      // bf16 is written by casts alone, as words: what they read is in them.
      if (!isFloat(operand.dtype) || operand.dtype === 'bf16') return { operand, slot: null };
      const slot = slots++;
      const flags = chunk(Math.floor(slot / slotsOfChunk));
      const scalars = { count: operand.size, slot: slot % slotsOfChunk };
      run.call(device, { kernel: finiteCheck, operands: [operand, flags], scalars, workgroups: [1, 1, 1], flops: 0 });
      return { operand, slot };
    });
    pending.push({ call, line: callingLine(), reads: reads.map(({ storage }) => storage.buffer.id), writes });
  };

  /** Reads the flags of everything dispatched so far. The first operation that made NaN or infinite out of finite values is the failure. */
  const check = async () => {
    const dispatched = pending;
    const used = Math.ceil(slots / slotsOfChunk);
    pending = [];
    slots = 0;
    givenOut.clear();
    const read = chunks.slice(0, used).map(({ storage }) => download.call(device, storage.buffer, 0, 4 * slotsOfChunk));
    const flags = (await Promise.all(read)).map((bytes) => new Float32Array(bytes));
    for (const each of dispatched) {
      const { call, reads, writes } = each;
      const before = reads.reduce((bits, id) => bits | (known.get(id) ?? 0), 0);
      const isAsked = Object.values(call.scalars).some((value) => !Number.isFinite(value));
      for (const { operand, slot } of writes) {
        const bits = slot === null ? before : flags[Math.floor(slot / slotsOfChunk)][slot % slotsOfChunk];
        const { id, byteLength } = operand.storage.buffer;
        const isWhole = operand.size * bytesPerElement[operand.dtype] >= byteLength;
        known.set(id, isWhole ? bits : bits | (known.get(id) ?? 0));
        const begun = bits & ~before;
        if (begun !== 0 && !isAsked) failure ??= nonFinite(each, operand, begun, names);
      }
    }
  };
  gradientNoters.set(device, ({ storage: { buffer } }, name) => {
    for (const each of pending.slice(givenOut.get(buffer.id) ?? 0)) {
      if (each.writes.some(({ operand }) => operand.storage.buffer.id === buffer.id)) each.gradientOf = name;
    }
  });
  const throwFailure = () => {
    if (failure) throw failure;
  };
  device.download = async (buffer, byteOffset, byteLength) => {
    const bytes = download.call(device, buffer, byteOffset, byteLength);
    const failedBefore = failure !== null;
    await check();
    // Once it was told, what a script wants to save can still be read.
    if (!failedBefore) throwFailure();
    return bytes;
  };
  device.finishStep = async () => {
    await finishStep.call(device);
    await check();
    throwFailure();
  };
  device.synchronize = async () => {
    await synchronize.call(device);
    await check();
    throwFailure();
  };
  reports.set(device, () => ({
    operations: [...times.values()].sort((a, b) => b.milliseconds - a.milliseconds),
    live: byLine([...live.values()]),
  }));
}

/** @throws KernelError for a view that reaches beyond its buffer. */
function checkExtent({ kernel, operands }: KernelCall, index: number): void {
  const { shape, strides, offset, size, dtype, storage } = operands[index];
  if (size === 0) return;
  const reach = (sign: 1 | -1) =>
    shape.reduce(
      (sum, extent, axis) => sum + (extent - 1) * (Math.sign(strides[axis]) === sign ? strides[axis] : 0),
      offset,
    );
  const elements = storage.buffer.byteLength / bytesPerElement[dtype];
  if (reach(-1) >= 0 && reach(1) < elements) return;
  throw new KernelError(
    `${kernel.name}: ${kernel.operandNames[index]} ${formatShape(shape)} (operand ${index + 1} of ${operands.length}) reaches from element ` +
      `${reach(-1)} to ${reach(1)} of a buffer of ${elements}`,
  );
}

function nonFinite(
  { call: { kernel, operands }, line, gradientOf }: Dispatched,
  result: KernelOperand,
  bits: number,
  names: ReadonlyMap<number, string>,
): NonFiniteValueError {
  const what = ['NaN', 'infinite values', 'NaN and infinite values'][bits - 1];
  const described = operands.flatMap((operand, i) => {
    // What a kernel does not read is bound to another operand once more.
    if (operands.indexOf(operand) < i) return [];
    const name = names.get(operand.storage.buffer.id);
    return [`${kernel.operandNames[i]}${name ? ` ${name}` : ''} ${operand.dtype} ${formatShape(operand.shape)}`];
  });
  const { origin } = result;
  const purpose = gradientOf ? ` for the gradient of ${gradientOf}` : origin === kernel.name ? '' : ` for '${origin}'`;
  return new NonFiniteValueError(
    `${kernel.name}${purpose}: gave ${what} that were in none of its operands (${described.join(', ')}), called at ${line}`,
    kernel.name,
  );
}

const librarySource = decodeURIComponent(new URL(/* @vite-ignore */ '..', import.meta.url).pathname);

/** The innermost line of the program that uses the library. */
function callingLine(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 60;
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = stackTraceLimit;
  const outside = frames.find(
    (frame) => /(?:file:\/\/|[( ])\/.*:\d+:\d+\)?$/.test(frame) && !frame.includes(librarySource),
  );
  return /\(?((?:file:\/\/)?[^( ]+:\d+:\d+)\)?$/.exec(outside ?? '')?.[1]?.replace('file://', '') ?? 'an unknown line';
}

function byLine(tensors: readonly Omit<LiveTensors, 'tensors'>[]): LiveTensors[] {
  const lines = new Map<string, LiveTensors>();
  for (const { line, operation, bytes } of tensors) {
    const of = getOrCreate(lines, `${line} ${operation}`, () => ({ line, operation, tensors: 0, bytes: 0 }));
    of.tensors++;
    of.bytes += bytes;
  }
  return [...lines.values()].sort((a, b) => b.bytes - a.bytes);
}

const rowsPrinted = 12;

function printReport(device: Device): void {
  const { operations, live } = debugReport(device);
  const lines = [
    `FROSTGRAD_DEBUG: operations on ${device.kind} (${device.adapter}), by ${device.kind === 'cpu' ? 'time' : 'time to record'}`,
    ...operations
      .slice(0, rowsPrinted)
      .map(({ operation, calls, milliseconds }) => `  ${milliseconds.toFixed(1)} ms  ${calls} × ${operation}`),
    'FROSTGRAD_DEBUG: tensors that are live, by the line that made them',
    ...live
      .slice(0, rowsPrinted)
      .map(({ line, operation, tensors, bytes }) => `  ${bytes} bytes  ${tensors} × ${operation}  ${line}`),
  ];
  console.error(lines.join('\n'));
}
