/** The cpu device. */
import { widenBFloat16 } from '../bfloat16.ts';
import { BufferPool, type DeviceBuffer, type MemoryReport } from '../buffer-pool.ts';
import { countWork, type Device, type KernelCall, type KernelOperand, type WorkReport } from '../device.ts';
import { bytesPerElement, computeDType, type DType, type NumericArray, typedArray } from '../dtype.ts';
import { ArgumentError } from '../errors.ts';
import { platform } from '../platform/platform.ts';
import type { LinearMemory } from './linear-memory.ts';
import { LinearMemoryCall } from './linear-memory-call.ts';
import { formFromEnvironment, linearMemory } from './open-memory.ts';
import { checkForm, type SimdForm } from './simd-form.ts';

/** Memory of one buffer, and the typed array that each dtype sees it through. */
interface Block {
  buffer: ArrayBufferLike;
  byteOffset: number;
  byteLength: number;
  /** Place in the linear memory; null where it is a buffer of its own. */
  address: number | null;
  views: Partial<Record<DType, NumericArray>>;
}

export interface CpuOptions {
  /** Bytes the device may reserve; by default half of the machine's memory. */
  memoryBudget?: number;
  /**
   * Threads that share what is large, 1 to 64; by default one for each core, 8 at most. The results are the
   * same, bit for bit. In a browser more than one need a worker of a page that is cross-origin isolated; elsewhere it is one.
   */
  threads?: number;
  /** `reference` runs the plain loops alone: the oracle. */
  kernels?: 'simd' | 'reference';
  /** How they are compiled; by default as FROSTGRAD_CPU says, else the fastest that this engine runs. */
  form?: SimdForm;
}

const mostThreads = 64;
const defaultThreads = () => Math.min(8, platform.parallelism());

/**
 * Runs every kernel at once: a call returns when its result is there. Those that have a form for 128-bit vectors run that, in
 * WebAssembly, on f32, and on several threads where it is large; everything else runs the reference loop, plain
 * TypeScript beside the operation. It serves machines without a graphics card, and with `kernels: 'reference'` it is the oracle.
 */
export class CpuDevice implements Device {
  readonly kind = 'cpu';
  readonly adapter: string;
  readonly software = true;
  readonly offsetAlignment = 1;
  readonly kernelSet = 'software';
  readonly subgroupSize = 0;
  readonly work: WorkReport = { dispatches: new Map(), totalDispatches: 0, flops: 0 };
  readonly memoryBudget: number;
  readonly #pool: BufferPool<Block>;
  readonly #memory: LinearMemory | null;
  readonly #threads: number;
  /** Whether it was told that linear memory is used up. */
  #isFull = false;

  constructor({ memoryBudget, kernels = 'simd', threads = defaultThreads(), form }: CpuOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1 || threads > mostThreads) {
      throw new ArgumentError(`cpu device: threads must be a whole number from 1 to ${mostThreads}, got ${threads}`);
    }
    this.#threads = platform.startHelper ? threads : 1;
    const asked = form === undefined ? formFromEnvironment() : checkForm(form, 'cpu device');
    const memory = kernels === 'simd' ? linearMemory(asked) : null;
    this.#memory = memory;
    const isUnbuilt = kernels === 'simd' && platform.readVectorLoops('plain') === null;
    this.adapter = memory
      ? `WebAssembly vectors (${memory.form}) on ${this.#threads === 1 ? 'one thread' : `${threads} threads`}, and JavaScript loops`
      : `JavaScript loops on one thread${isUnbuilt ? ' (node scripts/setup.mjs builds faster ones)' : ''}`;
    const budget = memoryBudget ?? platform.totalMemory() / 2;
    this.memoryBudget = memory ? Math.min(budget, memory.mostBytes) : budget;
    this.#pool = new BufferPool<Block>({
      create: (size) => this.#makeBlock(size),
      destroy: (block) => freeBlock(memory, block),
      budget,
    });
  }

  supports(dtype: DType): boolean {
    return dtype !== 'f16';
  }

  allocate(byteLength: number, operation: string): DeviceBuffer {
    return this.#pool.acquire(byteLength, operation);
  }

  recycle(buffer: DeviceBuffer): void {
    this.#pool.giveBack(buffer);
  }

  upload(buffer: DeviceBuffer, data: NumericArray): void {
    const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const block = this.#pool.resource(buffer);
    new Uint8Array(block.buffer, block.byteOffset, block.byteLength).set(source);
  }

  async download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    const block = this.#pool.resource(buffer);
    const bytes = new ArrayBuffer(byteLength);
    new Uint8Array(bytes).set(new Uint8Array(block.buffer, block.byteOffset + byteOffset, byteLength));
    return bytes;
  }

  run(call: KernelCall): void {
    const { kernel, operands, scalars, flops } = call;
    if (!this.#runOnVectors(call)) {
      const arrays: Record<string, NumericArray> = {};
      for (let i = 0; i < operands.length; i++) {
        const { offset, size } = operands[i];
        const whole = this.#array(operands[i]);
        arrays[kernel.operandNames[i]] =
          kernel.accesses[i] === 'strided' ? whole : whole.subarray(offset, offset + size);
      }
      kernel.reference(arrays, scalars);
    }
    countWork(this.work, kernel.name, flops);
  }

  async finishStep(): Promise<void> {
    this.#pool.trimSurplus();
    await platform.eventLoopTurn();
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

  #makeBlock(byteLength: number): Block {
    const memory = this.#memory;
    let address = memory?.allocate(byteLength, { mayGrow: false }) ?? null;
    if (memory && address === null) {
      // The memory never shrinks again, so free buffers make room first; not the far larger ones, which would be wanted whole again.
      this.#pool.trim(8 * byteLength);
      address = memory.allocate(byteLength);
    }
    if (memory && address === null) {
      this.#pool.trim();
      address = memory.allocate(byteLength);
    }
    if (!memory || address === null) {
      if (memory && !this.#isFull) {
        this.#isFull = true;
        platform.warn(
          'the cpu device has used up the 4 GiB that WebAssembly addresses: what computes with tensors beyond them runs in ' +
            'JavaScript loops, up to a hundred times as slowly',
        );
      }
      return { buffer: new ArrayBuffer(byteLength), byteOffset: 0, byteLength, address: null, views: {} };
    }
    const block = { buffer: memory.buffer, byteOffset: address, byteLength, address, views: {} };
    forgotten.register(block, { memory, address, bytes: byteLength }, block);
    return block;
  }

  #runOnVectors(call: KernelCall): boolean {
    const { kernel, operands } = call;
    const memory = this.#memory;
    if (!kernel.simd || !memory) return false;
    const addresses: number[] = [];
    for (let i = 0; i < operands.length; i++) {
      const { storage, dtype, offset } = operands[i];
      const { address } = this.#pool.resource(storage.buffer);
      if (address === null || dtype === 'f64') return false;
      addresses.push(kernel.accesses[i] === 'strided' ? address : address + bytesPerElement[dtype] * offset);
    }
    return kernel.simd(new LinearMemoryCall(memory, call, addresses, this.#threads));
  }

  #array(operand: KernelOperand): NumericArray {
    const block = this.#pool.resource(operand.storage.buffer);
    if (operand.dtype === 'bf16') {
      return widenBFloat16(new Uint16Array(block.buffer, block.byteOffset, Math.floor(block.byteLength / 2)));
    }
    const known = block.views[operand.dtype];
    if (known) return known;
    const length = Math.floor(block.byteLength / bytesPerElement[operand.dtype]);
    const view = typedArray(computeDType(operand.dtype), length, block.buffer, block.byteOffset);
    block.views[operand.dtype] = view;
    return view;
  }
}

/** Gives back the blocks of devices that are gone. */
const forgotten = new FinalizationRegistry<{ memory: LinearMemory; address: number; bytes: number }>(
  ({ memory, address, bytes }) => memory.free(address, bytes),
);

function freeBlock(memory: LinearMemory | null, block: Block): void {
  if (block.address === null) return;
  forgotten.unregister(block);
  memory?.free(block.address, block.byteLength);
}
