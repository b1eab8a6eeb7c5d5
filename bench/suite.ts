/** What a suite is: what it measures of frostgrad, which peers stand beside it, and how a person reads the rows. */

import type { Device } from '../src/index.ts';
import type { MeasuredCase } from './child-report.ts';
import type { Row } from './row.ts';

export const benchDevices = ['webgpu', 'cpu'] as const;
export type BenchDevice = (typeof benchDevices)[number];

export interface Suite {
  /** Where it runs; by default on both. */
  readonly devices?: readonly BenchDevice[];
  /** What is measured of frostgrad, by name: each part in a process of its own, on each device. */
  readonly parts: Readonly<Record<string, Part>>;
  readonly peers?: Peers;
  /** Sections of text and tables; empty ones are left out. */
  report(rows: readonly Row[]): readonly string[] | Promise<readonly string[]>;
}

export interface Part {
  measure(device: Device, quick: boolean): Promise<MeasuredCase[]>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Whether it is measured a second time after the peers, so that both saw the same minutes. */
  readonly again?: boolean;
  /** Whether `--quick` leaves it out. */
  readonly isLong?: boolean;
}

/** Which peers are measured, each by a script in bench/peers. */
export interface Peers {
  /** jax-js and TensorFlow.js: `<name><suffix>.mjs`. Absent: they have no script for this suite. */
  readonly suffix?: string;
  /** Leaves out the rows with the polite wait. */
  readonly onlyAsShipped?: boolean;
  /** What `pytorch.mjs` is asked for; nothing by default. */
  readonly pyTorch?: readonly string[];
  /** Leaves out its compiled form, which takes minutes to make for a large model. */
  readonly onlyEager?: boolean;
}
