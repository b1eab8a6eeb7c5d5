import { Worker } from 'node:worker_threads';
import { getOrCreate } from '../get-or-create.ts';
import { JobBoard } from './job-board.mjs';
import { readSimdModule } from './simd-module.ts';

/**
 * Functions of kernels/simd/ that several threads can share: their last arguments are a thread's room for intermediate values,
 * the first of the parts it is to compute, and the end of them.
 */
const partedFunctionNames = [
  'matmul',
  'attentionForward',
  'attentionQueryGradient',
  'attentionKeyValueGradient',
] as const;
type PartedFunctionName = (typeof partedFunctionNames)[number];

/** The other functions of kernels/simd/, which say what their arguments are. */
const simdFunctionNames = [
  'adamw',
  'swiglu',
  'swigluGradientX',
  'swigluGradientY',
  'relu',
  'reluGradient',
  'add',
  'accumulate',
  'gradientStatistics',
  'magnitudeStatistics',
  'productStatistics',
  'distanceStatistics',
  'normalize',
  'normalizeGradient',
  'normalizeGainGradient',
] as const;
export type SimdFunctionName = (typeof simdFunctionNames)[number];
type WasmFunction = (...values: number[]) => void;
export type SimdFunctions = Readonly<Record<SimdFunctionName, WasmFunction>>;

/** A call of a function that several threads can share. */
export interface PartedCall {
  name: PartedFunctionName;
  /** Its arguments but for the last three. */
  values: readonly number[];
  /** In how many parts its work is divided, none of which depends on another. */
  parts: number;
  /** Room for intermediate values that each thread needs. */
  scratchBytes: number;
}

const pageBytes = 65536;
/** 4 GiB, all that 32-bit addresses reach. It is reserved as addresses, not as memory. */
const mostPages = 65536;
/** The module's own data lies below. */
const firstAddress = 16 * pageBytes;
const growthBytes = 16 * 1024 * 1024;
/** What is over sooner (in 15 μs or so) is not worth waking anybody. */
const flopsWorthSharing = 5e5;
/** Vector loads may read past the end of a tensor, never past that of the memory. */
const guardBytes = 256;

/**
 * One memory that holds tensors and that WebAssembly works on, so that its loops need no copies. It is shared between
 * threads, which compute large products and attention together (and one that is not would detach every view when it grows).
 * Blocks that are freed serve again for blocks of their size; the memory itself never shrinks, so what was freed can be used
 * again, but goes back to the system only when the process ends.
 */
export class LinearMemory {
  readonly functions: SimdFunctions;
  readonly #parted: readonly WasmFunction[];
  readonly #module: WebAssembly.Module;
  readonly #board = new JobBoard();
  #helpers = 0;
  readonly #memory: WebAssembly.Memory;
  readonly #free = new Map<number, number[]>();
  #end = firstAddress;
  #scratch = { address: 0, bytes: 0 };

  constructor(module: WebAssembly.Module) {
    this.#memory = new WebAssembly.Memory({ initial: firstAddress / pageBytes, maximum: mostPages, shared: true });
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.#memory, abort } });
    this.#module = module;
    const find = (name: string): WasmFunction => {
      const found = exports[name];
      if (isFunction(found)) return found;
      throw new Error(`the vector loops lack the function ${name}`);
    };
    this.#parted = partedFunctionNames.map(find);
    this.functions = {
      adamw: find('adamw'),
      swiglu: find('swiglu'),
      swigluGradientX: find('swigluGradientX'),
      swigluGradientY: find('swigluGradientY'),
      relu: find('relu'),
      reluGradient: find('reluGradient'),
      add: find('add'),
      accumulate: find('accumulate'),
      gradientStatistics: find('gradientStatistics'),
      magnitudeStatistics: find('magnitudeStatistics'),
      productStatistics: find('productStatistics'),
      distanceStatistics: find('distanceStatistics'),
      normalize: find('normalize'),
      normalizeGradient: find('normalizeGradient'),
      normalizeGainGradient: find('normalizeGainGradient'),
    };
  }

  /** Bytes as they are now; views of an earlier buffer stay good. */
  get buffer(): ArrayBufferLike {
    return this.#memory.buffer;
  }

  /** Address of a block; null where 4 GiB are used up. */
  allocate(bytes: number): number | null {
    const known = this.#free.get(bytes)?.pop();
    if (known !== undefined) return known;
    const address = this.#end;
    const missing = address + bytes + guardBytes - this.#memory.buffer.byteLength;
    if (missing > 0 && !this.#grow(missing)) return null;
    this.#end += bytes;
    return address;
  }

  free(address: number, bytes: number): void {
    getOrCreate(this.#free, bytes, () => []).push(address);
  }

  /** Parts that threads beside the main one have computed so far. */
  get partsOfHelpers(): number {
    return this.#board.helped;
  }

  /**
   * Calls a function on `threads` threads, or on this one alone where its operations are too few to share. False where no
   * memory is left for its intermediate values; nothing is computed then.
   */
  perform({ name, values, parts, scratchBytes }: PartedCall, flops: number, threads: number): boolean {
    const functionIndex = partedFunctionNames.indexOf(name);
    const isShared = threads > 1 && parts > 1 && flops >= flopsWorthSharing;
    const ownBytes = 64 * Math.ceil(scratchBytes / 64);
    const scratch = this.scratch(isShared ? threads * ownBytes : ownBytes);
    if (scratch === null) return false;
    if (isShared) {
      this.#startHelpers(threads - 1);
      this.#board.perform({ functionIndex, values, parts, scratch, scratchBytes: ownBytes, threads }, this.#parted);
    } else this.#parted[functionIndex](...values, scratch, 0, parts);
    return true;
  }

  /** Until a helper runs, and where it cannot, the others do its part. */
  #startHelpers(count: number): void {
    while (this.#helpers < count) {
      this.#helpers++;
      const workerData = {
        ...{ module: this.#module, memory: this.#memory, names: partedFunctionNames },
        ...{ board: this.#board.buffer, thread: this.#helpers },
      };
      const isMissed = (error: unknown) => process.emitWarning(`the cpu device has one thread less: ${error}`);
      try {
        const helper = new Worker(new URL('helper-thread.mjs', import.meta.url), { workerData, execArgv: [] });
        helper.on('error', isMissed);
        helper.unref();
      } catch (error) {
        isMissed(error);
      }
    }
  }

  /** Room for intermediate values, or null where there is none; the next call may hand out the same. */
  scratch(bytes: number): number | null {
    if (bytes > this.#scratch.bytes) {
      const rounded = 1024 * Math.ceil((2 * bytes) / 1024);
      const address = this.allocate(rounded);
      if (address === null) return null;
      if (this.#scratch.bytes > 0) this.free(this.#scratch.address, this.#scratch.bytes);
      this.#scratch = { address, bytes: rounded };
    }
    return this.#scratch.address;
  }

  #grow(missing: number): boolean {
    const pages = Math.ceil(Math.max(missing, growthBytes) / pageBytes);
    const most = mostPages - this.#memory.buffer.byteLength / pageBytes;
    if (missing > most * pageBytes) return false;
    try {
      this.#memory.grow(Math.min(pages, most));
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  }
}

function isFunction(value: unknown): value is (...values: number[]) => void {
  return typeof value === 'function';
}

function abort(): never {
  throw new Error('the vector loops failed');
}

let shared: LinearMemory | null | undefined;

/** The memory of this process; null where the vector loops are not built, or the machine cannot run them. */
export function linearMemory(): LinearMemory | null {
  if (shared === undefined) {
    const bytes = readSimdModule();
    shared = bytes && instantiate(bytes);
  }
  return shared;
}

function instantiate(bytes: Uint8Array<ArrayBuffer>): LinearMemory | null {
  try {
    return new LinearMemory(new WebAssembly.Module(bytes));
  } catch (error) {
    // No 128-bit vectors, or no room for the addresses.
    if (error instanceof WebAssembly.CompileError || error instanceof RangeError) return null;
    throw error;
  }
}
