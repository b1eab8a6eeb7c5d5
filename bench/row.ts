import type { FreezeMeasurement, KernelTime, WatchMeasurement } from './child-report.ts';
import { busyShare } from './load-meter.ts';
import { median } from './statistics.ts';

/** One line of a benchmark's result, the same for every suite. */
export interface Row {
  suite: string;
  case: string;
  implementation: string;
  device: string;
  adapter: string;
  unit: 'ms';
  median: number;
  min: number;
  max: number;
  samples: number;
  /** Whether the adapter is a CPU. */
  software: boolean;
  /** Share of the machine that other processes took meanwhile, and whether that is too much; null: not known. */
  othersShare: number | null;
  busy: boolean;
  firstMilliseconds?: number;
  firstLoss?: number;
  flops?: number;
  peakBytes?: number;
  figures?: Readonly<Record<string, number>>;
  freeze?: FreezeResult;
  watch?: WatchResult;
  kernels?: KernelTime[];
}

/** What watching costs, in numbers. */
export interface WatchResult extends Omit<WatchMeasurement, 'pairs'> {
  medianPlain: number;
  /** Median over the pairs of watched / plain - 1, with the bounds of its 95 % interval. */
  share: number;
  low: number;
  high: number;
  /** The added dispatches' own times, as a share of the plain step. */
  shareByDispatches: number;
}

/** A freeze in numbers: what it saved, and what the pruned dispatches and counting operations allow. */
export interface FreezeResult extends Omit<FreezeMeasurement, 'rounds' | 'prunedMilliseconds'> {
  /** Medians over the rounds. `saved` is the median of what each round saved: its two stretches lie close together. */
  prunedMilliseconds: number;
  medianBefore: number;
  slowestBefore: number;
  saved: number;
  savedOfPruned: number;
  slowestAfter: number;
}

export function isBusy(othersShare: number | null): boolean {
  return othersShare !== null && othersShare > busyShare;
}

export function summarize(samples: readonly number[]): Pick<Row, 'median' | 'min' | 'max' | 'samples'> {
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), samples: samples.length };
}
