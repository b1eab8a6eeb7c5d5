/** The memory that WebAssembly works on, and the functions of kernels/simd/. */
import { DeviceError, KernelError } from '../errors.ts';
import type { SharedWork } from '../kernel.ts';
import { platform } from '../platform/platform.ts';
import { JobBoard, LostThreadError } from './job-board.mjs';
import type { SimdForm } from './simd-form.ts';

type WasmFunction = (...values: number[]) => void;

/** A function of kernels/simd/ and the names of its parameters, in order. */
export interface SimdFunction {
  readonly call: WasmFunction;
  readonly parameters: readonly string[];
  /** Place among the functions that several threads can share; -1 for the others. */
  readonly shareIndex: number;
}

/**
 * The last parameters of a function that several threads can share: a thread's room for intermediate values, the first of the
 * parts it is to compute, and the end of them.
 */
const sharedParameters = ['scratch', 'firstPart', 'endPart'];

const pageBytes = 65536;
/** 4 GiB, all that 32-bit addresses reach. It is reserved as addresses, not as memory. */
const mostPages = 65536;
/** The module's own data lies below. */
const firstAddress = 16 * pageBytes;
const growthBytes = 16 * 1024 * 1024;
/** What is over sooner (in 15 μs or so) is not worth waking anybody. */
const operationsWorthSharing = 5e5;
/** Vector loads may read past the end of a tensor, never past that of the memory. */
const guardBytes = 256;

/**
 * One memory that holds tensors and that WebAssembly works on, so that its loops need no copies. It is shared between
 * threads, which share what is large (and one that is not would detach every view when it grows).
 * What is freed serves again, in parts or together with its neighbours; the memory itself never shrinks, so it goes back to the
 * system only when the process ends.
 */
export class LinearMemory {
  readonly form: SimdForm;
  readonly #functions = new Map<string, SimdFunction>();
  readonly #shared: { readonly names: string[]; readonly calls: WasmFunction[] } = { names: [], calls: [] };
  readonly #module: WebAssembly.Module;
  /** Null until work is shared: a page that is not isolated cannot make one. */
  #board: JobBoard | null = null;
  #helpers = 0;
  readonly #memory: WebAssembly.Memory;
  /** What is free below the end, by address; no two touch. */
  readonly #free: { address: number; bytes: number }[] = [];
  #end = firstAddress;
  #scratch = { address: 0, bytes: 0 };

  constructor(form: SimdForm, module: WebAssembly.Module) {
    this.form = form;
    this.#memory = new WebAssembly.Memory({ initial: firstAddress / pageBytes, maximum: mostPages, shared: true });
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.#memory, abort } });
    this.#module = module;
    for (const [name, parameters] of Object.entries(parametersOf(module))) {
      const call = exports[name];
      if (!isFunction(call)) throw new KernelError(`kernels/simd: the compiled module lacks the function ${name}`);
      const isShared = sharedParameters.every((each, i) => each === parameters.at(i - sharedParameters.length));
      const shareIndex = isShared ? this.#shared.names.push(name) - 1 : -1;
      if (isShared) this.#shared.calls.push(call);
      this.#functions.set(name, {
        call,
        parameters: isShared ? parameters.slice(0, -sharedParameters.length) : parameters,
        shareIndex,
      });
    }
  }

  /** Bytes as they are now; views of an earlier buffer stay good. */
  get buffer(): ArrayBufferLike {
    return this.#memory.buffer;
  }

  /** What tensors can take of it. Those beyond get memory of their own, and plain loops. */
  get mostBytes(): number {
    return mostPages * pageBytes - firstAddress;
  }

  /**
   * Address of a block, in the smallest free place that holds it; null where 4 GiB are used up, or where the memory would have to
   * grow and must not.
   */
  allocate(bytes: number, { mayGrow = true } = {}): number | null {
    let best = -1;
    for (const [i, { bytes: room }] of this.#free.entries()) {
      if (room >= bytes && (best < 0 || room < this.#free[best].bytes)) best = i;
    }
    if (best >= 0) {
      const place = this.#free[best];
      const { address } = place;
      place.address += bytes;
      place.bytes -= bytes;
      if (place.bytes === 0) this.#free.splice(best, 1);
      return address;
    }
    const address = this.#end;
    const missing = address + bytes + guardBytes - this.#memory.buffer.byteLength;
    if (missing > 0 && !(mayGrow && this.#grow(missing))) return null;
    this.#end += bytes;
    return address;
  }

  free(address: number, bytes: number): void {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle].address < address) low = middle + 1;
      else high = middle;
    }
    const place = { address, bytes };
    this.#free.splice(low, 0, place);
    const after = this.#free.at(low + 1);
    if (after && address + bytes === after.address) {
      place.bytes += after.bytes;
      this.#free.splice(low + 1, 1);
    }
    const before = low > 0 ? this.#free[low - 1] : null;
    if (before && before.address + before.bytes === address) {
      before.bytes += place.bytes;
      this.#free.splice(low, 1);
    }
    const last = this.#free.at(-1);
    if (last && last.address + last.bytes === this.#end) {
      this.#end = last.address;
      this.#free.pop();
    }
  }

  /** Parts that threads beside the main one have computed so far. */
  get partsOfHelpers(): number {
    return this.#board?.helped ?? 0;
  }

  /** @throws KernelError for a function that there is not. */
  find(name: string): SimdFunction {
    const found = this.#functions.get(name);
    if (found) return found;
    throw new KernelError(`kernels/simd has no function ${name} (allowed: ${[...this.#functions.keys()].join(', ')})`);
  }

  /**
   * Calls a function with the values of its parameters; one that several threads can share on `threads` of them, or on this one
   * alone where its operations are too few. False where no memory is left for its intermediate values; nothing is computed then.
   *
   * @throws DeviceError where a thread was lost that had taken parts.
   */
  call(
    { call, shareIndex: functionIndex }: SimdFunction,
    values: readonly number[],
    { parts, scratchBytes, operations }: SharedWork,
    flops: number,
    threads: number,
  ): boolean {
    if (functionIndex < 0) {
      call(...values);
      return true;
    }
    const isShared =
      threads > 1 && !this.#board?.isBroken && parts > 1 && (operations ?? flops) >= operationsWorthSharing;
    const ownBytes = 64 * Math.ceil(scratchBytes / 64);
    const scratch = this.scratch(isShared ? threads * ownBytes : ownBytes);
    if (scratch === null) return false;
    if (isShared) {
      this.#board ??= new JobBoard();
      this.#startHelpers(this.#board, threads - 1);
      const job = { functionIndex, values, parts, scratch, scratchBytes: ownBytes, threads };
      this.#perform(this.#board, job);
    } else call(...values, scratch, 0, parts);
    return true;
  }

  #perform(board: JobBoard, job: Parameters<JobBoard['perform']>[0]): void {
    try {
      board.perform(job, this.#shared.calls);
    } catch (error) {
      if (!(error instanceof LostThreadError)) throw error;
      throw new DeviceError(
        `cpu device: a helper thread was lost in ${this.#shared.names[job.functionIndex]}, and its result with it; ` +
          `what follows runs on one thread (${error.message})`,
        { cause: error },
      );
    }
  }

  /** Until a helper runs, and where it cannot, the others do its part. */
  #startHelpers({ buffer: board }: JobBoard, count: number): void {
    const isMissed = (reason: unknown) => platform.warn(`the cpu device has one thread less: ${reason}`);
    while (this.#helpers < count) {
      this.#helpers++;
      const own = { module: this.#module, memory: this.#memory, names: this.#shared.names };
      try {
        platform.startHelper?.({ ...own, board, thread: this.#helpers }, isMissed);
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

function isFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function';
}

/** The names of the parameters of every function, which scripts/build-simd.ts puts beside the code. */
function parametersOf(module: WebAssembly.Module): Record<string, string[]> {
  const [section] = WebAssembly.Module.customSections(module, 'parameters');
  return JSON.parse(new TextDecoder().decode(section));
}

function abort(): never {
  throw new Error('the vector loops failed');
}
