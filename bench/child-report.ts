/** One case as one child process measured it. */
export interface MeasuredCase {
  case: string;
  /** Each step, once the first of the case is over. */
  milliseconds: number[];
  /** The first step of the case: here an implementation compiles or traces again, if it has to. */
  firstMilliseconds?: number;
  /** Loss of the first step, to tell that all compute the same. */
  firstLoss?: number;
  /** Share of the machine that other processes took meanwhile. */
  othersShare: number | null;
  /** Of one sample, where an operation is measured by itself. */
  flops?: number;
  /** Most bytes that lived on the device. */
  peakBytes?: number;
  /** What else the suite found, by a name that says the unit. */
  figures?: Readonly<Record<string, number>>;
  freeze?: FreezeMeasurement;
  watch?: WatchMeasurement;
}

/** A training that a rule watches beside one that nobody watches, in turns. */
export interface WatchMeasurement {
  /** Milliseconds a step, of stretches that lie side by side. */
  pairs: { plain: number; watched: number }[];
  /** Dispatches a step that only the watched training makes, less those that only the plain one makes; and their times. */
  addedDispatches: number;
  addedMilliseconds: number;
  /** Times a step waits for values to come back to the host. */
  readBacks: { plain: number; watched: number };
}

/** Steps of one model right before and right after the freeze. */
export interface FreezeRound {
  before: number[];
  after: number[];
}

export interface FreezeMeasurement {
  rounds: FreezeRound[];
  /** Dispatches that a step no longer makes, and the sum of the times they take one by one, in each round. */
  prunedDispatches: number;
  prunedMilliseconds: number[];
  /** Dispatches that only a frozen step makes. */
  addedDispatches: number;
  addedMilliseconds: number;
  /** Share of the step's floating-point operations that are no longer made. */
  flopsShare: number;
  /** On the device between two steps, with nothing kept for the next. */
  bytesBefore: Bytes;
  bytesAfter: Bytes;
  /** Pipelines compiled in the steps after the freeze. */
  compiled: number;
}

export interface Bytes {
  live: number;
  reserved: number;
}

export interface KernelTime {
  kernel: string;
  dispatches: number;
  milliseconds: number;
  flops: number;
}

export interface ChildReport {
  adapter: string;
  software: boolean;
  cases: MeasuredCase[];
  /** Where a step with nothing frozen spends its time, most first. */
  kernels?: KernelTime[];
}

/** What a child may send, in this order: any number of progress lines, then one of the others. */
export type ChildMessage = { progress: string } | { report: ChildReport } | { unavailable: string };

export function isChildMessage(message: unknown): message is ChildMessage {
  if (!isRecord(message)) return false;
  if (typeof message.progress === 'string' || typeof message.unavailable === 'string') return true;
  const { report } = message;
  return (
    isRecord(report) &&
    typeof report.adapter === 'string' &&
    typeof report.software === 'boolean' &&
    Array.isArray(report.cases) &&
    report.cases.every(isMeasuredCase)
  );
}

function isMeasuredCase(value: unknown): value is MeasuredCase {
  return (
    isRecord(value) &&
    typeof value.case === 'string' &&
    Array.isArray(value.milliseconds) &&
    value.milliseconds.length > 0 &&
    value.milliseconds.every(Number.isFinite) &&
    [value.firstMilliseconds, value.firstLoss].every((each) => each === undefined || Number.isFinite(each))
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Sends a message to the process that forked this one. Resolves when it is on its way. */
export function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!process.send) reject(new Error('this script measures for `npm run bench`, which starts it'));
    else process.send(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}
