import { getOrCreate } from '../get-or-create.ts';
import { readSimdModule } from './simd-module.ts';

/** The functions of kernels/simd/, which say what their arguments are. */
const simdFunctionNames = [
  'matmul',
  'attentionForward',
  'attentionQueryGradient',
  'attentionKeyValueGradient',
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
export type SimdFunctions = Readonly<Record<SimdFunctionName, (...values: number[]) => void>>;

const pageBytes = 65536;
/** 4 GiB, all that 32-bit addresses reach. It is reserved as addresses, not as memory. */
const mostPages = 65536;
/** The module's own data lies below. */
const firstAddress = 16 * pageBytes;
const growthBytes = 16 * 1024 * 1024;
/** Vector loads may read past the end of a tensor, never past that of the memory. */
const guardBytes = 256;

/**
 * One memory that holds tensors and that WebAssembly works on, so that its loops need no copies. It is shared between
 * threads in name only: a memory that is not would detach every view when it grows. Blocks that are freed serve again for
 * blocks of their size; the memory itself never shrinks, so what was freed can be used again, but goes back to the system
 * only when the process ends.
 */
export class LinearMemory {
  readonly functions: SimdFunctions;
  readonly #memory: WebAssembly.Memory;
  readonly #free = new Map<number, number[]>();
  #end = firstAddress;
  #scratch = { address: 0, bytes: 0 };

  constructor(module: WebAssembly.Module) {
    this.#memory = new WebAssembly.Memory({ initial: firstAddress / pageBytes, maximum: mostPages, shared: true });
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.#memory, abort } });
    const find = (name: string): ((...values: number[]) => void) => {
      const found = exports[name];
      if (isFunction(found)) return found;
      throw new Error(`the vector loops lack the function ${name}`);
    };
    this.functions = {
      matmul: find('matmul'),
      attentionForward: find('attentionForward'),
      attentionQueryGradient: find('attentionQueryGradient'),
      attentionKeyValueGradient: find('attentionKeyValueGradient'),
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
