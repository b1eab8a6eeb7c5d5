/** What the library asks of the place it runs in. Node and browsers answer in a file each; everything else is the same in both. */
import type { SimdForm } from '../cpu/simd-form.ts';

export interface Platform {
  /** Of the machine, in bytes; where it is not told, a cautious guess. */
  totalMemory(): number;
  /** Cores that threads can run on; 1 where no thread can be started. */
  parallelism(): number;
  /** The value of an environment variable; null where there is none. */
  environment(name: string): string | null;
  warn(message: string): void;
  /** Calls `listener` when the process ends; in a browser nothing does. */
  onExit(listener: () => void): void;

  /** Has the engine collect what nothing refers to any more; nothing happens where it cannot be asked. */
  collectGarbage(): void;
  /** Gives the event loop a turn: messages, timers and signals arrive there. */
  eventLoopTurn(): Promise<void>;
  /** Marks chains of awaits, so that code can tell which one it is part of; null where the engine does not follow them. */
  readonly chains: (<Mark extends object>() => Chains<Mark>) | null;
  /** Awaits what a software adapter works on, without taking a core from it. */
  politely<T>(pending: Promise<T>): Promise<T>;

  /** The entry to WebGPU, whose constants are global from then on. @throws NoAdapterError where there is none. */
  loadGpu(): Promise<GPU>;
  /** The text of `kernels/NAME.wgsl`. */
  readKernel(name: string): string;

  /** The vector loops, compiled in a form; null where that was not built. */
  readVectorLoops(form: SimdForm): Uint8Array<ArrayBuffer> | null;
  /** The forms that are tried where none is named, the fastest first. */
  readonly preferredForms: readonly SimdForm[];
  /** Switches on what the engine needs to compile a form. @throws ArgumentError where this engine lacks it. */
  enableForm(form: SimdForm): void;
  /** Starts a thread that runs `help` of helper-thread.mjs; null where memory cannot be shared or waited on. */
  readonly startHelper: ((data: HelperData, onLost: (reason: unknown) => void) => void) | null;

  readonly files: Files;
}

export interface Chains<Mark> {
  /** Runs `body`; whatever it calls and awaits finds `mark`. */
  run<T>(mark: Mark, body: () => T): T;
  current(): Mark | undefined;
}

/** What a thread of the cpu device needs. */
export interface HelperData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Functions of the module that threads share, in order. */
  readonly names: readonly string[];
  /** Of the job board. */
  readonly board: SharedArrayBuffer;
  /** From 1 on. */
  readonly thread: number;
}

/** Files and folders by their paths. In a browser a path is an address: it can be read, and nothing can be written. */
export interface Files {
  join(...parts: string[]): string;
  /** The last part of a path. */
  basename(path: string): string;
  isSame(path: string, other: string): boolean;

  /** @throws an error with the code ENOENT where there is no such file; so does `open`. */
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  open(path: string): Promise<OpenFile>;

  /**
   * Writes a file piece by piece. A kill, a full disk or a loss of power leaves the old file or the new one; once the promise
   * resolves it is the new one.
   *
   * @throws FileWriteError
   */
  write(path: string, fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>): Promise<void>;
  /** An empty file in `folder`, which is made where there is none, for this process alone; nothing is left of it. */
  scratch(folder: string): Promise<ScratchFile>;
  /** The same from another file. */
  copy(from: string, to: string): Promise<void>;
  /** Parents included. @throws FileWriteError */
  makeFolder(path: string): Promise<void>;
  /** Nothing happens where there is no such file. */
  remove(path: string): Promise<void>;
  list(folder: string): Promise<string[]>;
  /** The SHA-256 of all parts, one after the other, in hexadecimal. */
  sha256(parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string>;
}

export interface OpenFile {
  readonly size: number;
  /** Fewer bytes than asked for only at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** Reads of what was never written, or cut off since, throw. */
export interface ScratchFile {
  write(bytes: Uint8Array, position: number): Promise<void>;
  read(position: number, length: number): Promise<Uint8Array>;
  /** The same while the thread waits. */
  readNow(position: number, length: number): Uint8Array;
  close(): Promise<void>;
}
