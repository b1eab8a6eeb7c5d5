/** What a device is, and how its work is counted. */
import type { DeviceBuffer, MemoryReport } from './buffer-pool.ts';
import type { DType, NumericArray } from './dtype.ts';
import { DeviceMismatchError } from './errors.ts';
import type { Kernel } from './kernel.ts';
import type { Shape, Strides } from './shape.ts';

export type { DeviceBuffer, MemoryReport };

/** What was dispatched since the device was opened. Differences between two readings tell what a piece of code cost. */
export interface WorkReport {
  /** Dispatches by kernel name. */
  dispatches: Map<string, number>;
  totalDispatches: number;
  /** Floating-point operations of those dispatches, counted from their shapes. */
  flops: number;
}

/** What a kernel and its device need to know of a tensor. */
export interface KernelOperand {
  readonly device: Device;
  readonly storage: { readonly buffer: DeviceBuffer };
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: Strides;
  readonly offset: number;
  readonly size: number;
  /** The operation that made it. */
  readonly origin: string;
  assertUsable(operation: string): void;
}

/** One kernel over its operands, which come in the order of its bindings. */
export interface KernelCall {
  kernel: Kernel;
  operands: readonly KernelOperand[];
  scalars: Readonly<Record<string, number>>;
  workgroups: readonly [number, number, number];
  flops: number;
}

/**
 * What the big kernels are tuned for: graphics hardware, a CPU that emulates it, or a CPU whose vector registers serve as
 * subgroups of one fixed size.
 */
export type KernelSet = 'hardware' | 'software' | 'software-subgroups';

/**
 * Where tensors live and kernels run. Calls enqueue and return at once; only `download`, `finishStep` and
 * `synchronize` wait.
 */
export interface Device {
  readonly kind: 'webgpu' | 'cpu';
  /** Name of the adapter that does the work. */
  readonly adapter: string;
  /** True where no graphics hardware is involved. */
  readonly software: boolean;
  /** A dense operand must start at a multiple of this many bytes. */
  readonly offsetAlignment: number;
  /** Which variants of the big kernels run here. */
  readonly kernelSet: KernelSet;
  /** Lanes of a subgroup; 0 unless the kernel set is `software-subgroups`. */
  readonly subgroupSize: number;
  readonly work: WorkReport;
  /** Bytes that tensors may take, all together. */
  readonly memoryBudget: number;

  supports(dtype: DType): boolean;
  /** @param operation what needs it, for errors. */
  allocate(byteLength: number, operation: string): DeviceBuffer;
  recycle(buffer: DeviceBuffer): void;
  upload(buffer: DeviceBuffer, data: NumericArray): void;
  download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<ArrayBuffer>;
  run(call: KernelCall): void;

  /** Ends a step: submits it, gives the event loop a turn, and waits while more steps are in flight than the device allows. */
  finishStep(): Promise<void>;
  /** Resolves when everything enqueued so far is done. Rethrows what the device reported meanwhile. */
  synchronize(): Promise<void>;

  memory(): MemoryReport;
  resetPeak(): void;
  /** Gives free buffers back to the system, so that reserved memory falls to what is live. */
  trim(): void;
}

/** @throws DeviceMismatchError where the operands are not on one device; it says how to get them there. */
export function checkSameDevice(operation: string, operands: readonly Pick<KernelOperand, 'device' | 'shape'>[]): void {
  const [first] = operands;
  const stray = operands.find(({ device }) => device !== first.device);
  if (!stray) return;
  const place = ({ device, shape }: typeof first) => `[${shape.join(', ')}] on ${device.kind} (${device.adapter})`;
  const other = stray.device.kind === first.device.kind ? 'another device, ' : '';
  throw new DeviceMismatchError(
    `${operation}: one operand is ${place(first)}, one ${other}${place(stray)}; all must be on one device. ` +
      'tensor(…, { device }) makes one there, await x.to(device) copies one, setDefaultDevice(device) makes all that follow there',
  );
}

/** A copy of the counters, to subtract from a later one. */
export function snapshotWork(device: Device): WorkReport {
  const { dispatches, totalDispatches, flops } = device.work;
  return { dispatches: new Map(dispatches), totalDispatches, flops };
}

/** What was dispatched between `before` and now. Kernels that did not run are left out. */
export function workSince(device: Device, before: WorkReport): WorkReport {
  const dispatches = new Map<string, number>();
  for (const [name, count] of device.work.dispatches) {
    const difference = count - (before.dispatches.get(name) ?? 0);
    if (difference > 0) dispatches.set(name, difference);
  }
  return {
    dispatches,
    totalDispatches: device.work.totalDispatches - before.totalDispatches,
    flops: device.work.flops - before.flops,
  };
}

export function countWork(work: WorkReport, name: string, flops: number): void {
  work.dispatches.set(name, (work.dispatches.get(name) ?? 0) + 1);
  work.totalDispatches++;
  work.flops += flops;
}
