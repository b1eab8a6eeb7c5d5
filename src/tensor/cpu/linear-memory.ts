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
export type PartedFunctionName = (typeof partedFunctionNames)[number];

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
 * threads: they compute large products and attention together. Blocks that are freed serve again for
 * blocks of their size; the memory itself never shrinks, so what was freed can be used again, but goes back to the system
 * only when the process ends.
 */
export class LinearMemory {
  readonly functions: SimdFunctions;
  readonly #parted: readonly WasmFunction[];
  readonly #module: WebAssembly.Module;
  readonly #board = new JobBoard();
  readonly #helpers: Worker[] = [];
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

  /** Calls a function on `threads` threads, or on this one alone where its operations are too few to share. */
  perform({ name, values, parts, scratchBytes }: PartedCall, flops: number, threads: number): void {
    const functionIndex = partedFunctionNames.indexOf(name);
    if (threads === 1 || parts === 1 || flops < flopsWorthSharing) {
      this.#parted[functionIndex](...values, this.scratch(scratchBytes), 0, parts);
      return;
    }
    while (this.#helpers.length < threads - 1) this.#startHelper();
    const ownLine = 64 * Math.ceil(scratchBytes / 64);
    const scratch = this.scratch(threads * ownLine);
    this.#board.perform({ functionIndex, values, parts, scratch, scratchBytes: ownLine, threads }, this.#parted);
  }

  /** Until it runs, and where it cannot, the others do its part. */
  #startHelper(): void {
    const helper = new Worker(new URL('helper-thread.mjs', import.meta.url), {
      workerData: {
        module: this.#module,
        memory: this.#memory,
        names: partedFunctionNames,
        board: this.#board.buffer,
        thread: this.#helpers.length + 1,
      },
      execArgv: [],
    });
    helper.on('error', (error) => process.emitWarning(`the cpu device has one thread less: ${error.message}`));
    helper.unref();
    this.#helpers.push(helper);
  }

  /** Room for intermediate values; the next call may hand out the same. */
  scratch(bytes: number): number {
    if (bytes > this.#scratch.bytes) {
      const rounded = 1024 * Math.ceil((2 * bytes) / 1024);
      const address = this.allocate(rounded);
      if (address === null) throw new RangeError('no memory is left for intermediate values');
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
