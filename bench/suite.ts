import type { ChildReport } from './child-report.ts';
import type { BenchDevice } from './options.ts';
import type { Row } from './row.ts';

export interface SuiteOptions {
  /** Without it, every device that is there. */
  device?: BenchDevice;
  quick: boolean;
  log(line: string): void;
}

export interface SuiteResult {
  rows: Row[];
  /** What could not be measured, each with a reason. */
  missing: string[];
  /** Whether one of our own measurements failed (a device that the machine lacks is none, unless it was asked for). */
  failed: boolean;
}

/** What `npm run bench -- <name>` measures. */
export interface Suite {
  /** In words, for the first line. */
  readonly title: string;
  readonly hasPeers: boolean;
  /** Where it runs; on every device by default. */
  readonly devices?: readonly BenchDevice[];
  run(options: SuiteOptions): Promise<SuiteResult>;
  /** The rows as a person reads them. */
  format(rows: readonly Row[]): string;
}

/** One child process's report with what it was asked for. */
export interface Measured<M> {
  measurement: M;
  report: ChildReport;
}
