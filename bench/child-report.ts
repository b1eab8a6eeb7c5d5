/** What a child process measured, and the messages in which it tells. */

/** One case as one child process measured it. */
export interface MeasuredCase {
  case: string;
  /** Each sample, without the first run of the case. */
  milliseconds: number[];
  /** The first run of the case: here an implementation compiles or traces, if it has to. */
  firstMilliseconds?: number;
  /** Loss of the first step, to tell that all compute the same. */
  firstLoss?: number;
  /** Share of the machine that other processes took meanwhile; null where the system does not tell. */
  othersShare: number | null;
  /** Floating-point operations of one sample. */
  flops?: number;
  /** Most bytes that lived on the device at a time. */
  peakBytes?: number;
  /** What else was measured round by round, such as what each round saved. */
  series?: Readonly<Record<string, readonly number[]>>;
  /** What else was found once. */
  figures?: Readonly<Record<string, number>>;
  /** Where the step spends its time, most first. */
  kernels?: readonly KernelTime[];
}

export interface KernelTime {
  kernel: string;
  dispatches: number;
  milliseconds: number;
  /** Of them, those in the kernel's plain loop. */
  plainMilliseconds: number;
  flops: number;
}

export interface ChildReport {
  adapter: string;
  /** Whether the adapter is a CPU. */
  software: boolean;
  cases: MeasuredCase[];
}

/** What a child may send, in this order: any number of progress lines, then one of the others. */
export type ChildMessage = { progress: string } | { report: ChildReport } | { unavailable: string };

export function isChildMessage(message: unknown): message is ChildMessage {
  if (typeof message !== 'object' || message === null) return false;
  return 'progress' in message || 'report' in message || 'unavailable' in message;
}

/** Sends a message to the process that forked this one. Resolves when it is on its way. */
export function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!process.send) reject(new Error('this script measures for `npm run bench`, which starts it'));
    else process.send(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}
