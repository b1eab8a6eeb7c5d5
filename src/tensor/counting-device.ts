/** A device that computes nothing and holds nothing: it counts what another one would have to hold. */
import { BufferPool, type DeviceBuffer, type MemoryReport } from './buffer-pool.ts';
import { countWork, type Device, type KernelCall, type WorkReport } from './device.ts';
import type { DType } from './dtype.ts';

/**
 * Takes every allocation and every kernel as the device it stands for would, with the same pool, but there are no bytes behind
 * the buffers: what a program takes can be measured before there is room for it. All values are 0.
 */
export class CountingDevice implements Device {
  readonly kind;
  readonly adapter;
  readonly software;
  readonly offsetAlignment;
  readonly kernelSet;
  readonly subgroupSize;
  readonly memoryBudget;
  readonly work: WorkReport = { dispatches: new Map(), totalDispatches: 0, flops: 0 };
  readonly #of: Device;
  readonly #pool = new BufferPool<null>({ create: () => null, destroy: () => {}, budget: Number.POSITIVE_INFINITY });

  constructor(of: Device) {
    this.#of = of;
    this.kind = of.kind;
    this.adapter = of.adapter;
    this.software = of.software;
    this.offsetAlignment = of.offsetAlignment;
    this.kernelSet = of.kernelSet;
    this.subgroupSize = of.subgroupSize;
    this.memoryBudget = of.memoryBudget;
  }

  supports(dtype: DType): boolean {
    return this.#of.supports(dtype);
  }

  allocate(byteLength: number, operation: string): DeviceBuffer {
    return this.#pool.acquire(byteLength, operation);
  }

  recycle(buffer: DeviceBuffer): void {
    this.#pool.giveBack(buffer);
  }

  upload(): void {}

  async download(_buffer: DeviceBuffer, _byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return new ArrayBuffer(byteLength);
  }

  run({ kernel, flops }: KernelCall): void {
    countWork(this.work, kernel.name, flops);
  }

  async finishStep(): Promise<void> {}

  async synchronize(): Promise<void> {}

  memory(): MemoryReport {
    return this.#pool.report();
  }

  resetPeak(): void {
    this.#pool.resetPeak();
  }

  trim(): void {
    this.#pool.trim();
  }
}
