import { totalmem } from 'node:os';
import { BufferPool, type DeviceBuffer, type MemoryReport } from '../buffer-pool.ts';
import { countWork, type Device, type KernelCall, type WorkReport } from '../device.ts';
import { bytesPerElement, type DType, type NumericArray, typedArray } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';

/** One block of memory, and the typed array that each dtype sees it through. */
interface Block {
  bytes: ArrayBuffer;
  views: Partial<Record<DType, NumericArray>>;
}

/**
 * Runs the reference loop of every kernel, at once, on the thread that calls. It serves machines without an adapter,
 * and it is the oracle: everything it computes is plain TypeScript beside the operation.
 */
export class CpuDevice implements Device {
  readonly kind = 'cpu';
  readonly adapter = 'JavaScript loops on one thread';
  readonly software = true;
  readonly offsetAlignment = 1;
  readonly kernelSet = 'software';
  readonly subgroupSize = 0;
  readonly work: WorkReport = { dispatches: new Map(), totalDispatches: 0, flops: 0 };
  readonly #pool: BufferPool<Block>;

  /** @param options.memoryBudget bytes the device may reserve; by default half of the machine's memory. */
  constructor(options: { memoryBudget?: number } = {}) {
    this.#pool = new BufferPool<Block>({
      create: (size) => ({ bytes: new ArrayBuffer(size), views: {} }),
      destroy: () => {},
      budget: options.memoryBudget ?? totalmem() / 2,
    });
  }

  supports(_dtype: DType): boolean {
    return true;
  }

  allocate(byteLength: number): DeviceBuffer {
    return this.#pool.acquire(byteLength);
  }

  recycle(buffer: DeviceBuffer): void {
    this.#pool.giveBack(buffer);
  }

  upload(buffer: DeviceBuffer, data: NumericArray): void {
    const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(this.#pool.resource(buffer).bytes).set(source);
  }

  async download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.#pool.resource(buffer).bytes.slice(byteOffset, byteOffset + byteLength);
  }

  run(call: KernelCall): void {
    const arrays = call.operands.map((operand, i) => {
      const whole = this.#array(operand);
      return call.kernel.operands[i] === 'strided'
        ? whole
        : whole.subarray(operand.offset, operand.offset + operand.size);
    });
    call.kernel.reference(arrays, call.scalars);
    countWork(this.work, call.kernel.name, call.flops);
  }

  async finishStep(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

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

  #array(operand: Tensor): NumericArray {
    const block = this.#pool.resource(operand.storage.buffer);
    const known = block.views[operand.dtype];
    if (known) return known;
    const length = Math.floor(block.bytes.byteLength / bytesPerElement[operand.dtype]);
    const view = typedArray(operand.dtype, length, block.bytes);
    block.views[operand.dtype] = view;
    return view;
  }
}
