import type { Device, DeviceBuffer, KernelCall, MemoryReport, WorkReport } from '../../src/tensor/device.ts';
import type { DType, NumericArray } from '../../src/tensor/dtype.ts';

export interface RecordedCall {
  call: KernelCall;
  /** Time of the call itself: all of the work on `cpu`, only its encoding on `webgpu`. */
  milliseconds: number;
}

/** Passes everything on to a device; while `record` runs, it also keeps each kernel call. */
export class RecordingDevice implements Device {
  readonly kind: Device['kind'];
  readonly adapter: string;
  readonly software: boolean;
  readonly offsetAlignment: number;
  readonly subgroupSize: number;
  readonly work: WorkReport;
  readonly #inner: Device;
  #recorded: RecordedCall[] | null = null;

  constructor(inner: Device) {
    this.#inner = inner;
    this.kind = inner.kind;
    this.adapter = inner.adapter;
    this.software = inner.software;
    this.offsetAlignment = inner.offsetAlignment;
    this.subgroupSize = inner.subgroupSize;
    this.work = inner.work;
  }

  /** The kernel calls made by `body`, in order. */
  async record(body: () => Promise<unknown>): Promise<RecordedCall[]> {
    const recorded: RecordedCall[] = [];
    this.#recorded = recorded;
    try {
      await body();
    } finally {
      this.#recorded = null;
    }
    return recorded;
  }

  run(call: KernelCall): void {
    if (!this.#recorded) return this.#inner.run(call);
    const start = performance.now();
    this.#inner.run(call);
    this.#recorded.push({ call, milliseconds: performance.now() - start });
  }

  supports(dtype: DType): boolean {
    return this.#inner.supports(dtype);
  }

  allocate(byteLength: number): DeviceBuffer {
    return this.#inner.allocate(byteLength);
  }

  recycle(buffer: DeviceBuffer): void {
    this.#inner.recycle(buffer);
  }

  upload(buffer: DeviceBuffer, data: NumericArray): void {
    this.#inner.upload(buffer, data);
  }

  download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.#inner.download(buffer, byteOffset, byteLength);
  }

  finishStep(): Promise<void> {
    return this.#inner.finishStep();
  }

  synchronize(): Promise<void> {
    return this.#inner.synchronize();
  }

  memory(): MemoryReport {
    return this.#inner.memory();
  }

  resetPeak(): void {
    this.#inner.resetPeak();
  }

  trim(): void {
    this.#inner.trim();
  }
}
