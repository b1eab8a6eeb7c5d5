/** One line of a benchmark's result, the same for every suite. */

import { busyShare } from '../command/load-meter.ts';
import type { Measured } from './child.ts';
import type { MeasuredCase } from './child-report.ts';
import { median, medianInterval } from './statistics.ts';

export interface Row extends Omit<MeasuredCase, 'milliseconds' | 'series' | 'figures'> {
  suite: string;
  implementation: string;
  device: string;
  adapter: string;
  /** Whether the adapter is a CPU. */
  software: boolean;
  unit: 'ms';
  median: number;
  min: number;
  max: number;
  samples: number;
  /** Whether others took too much of the machine meanwhile. */
  busy: boolean;
  series: Readonly<Record<string, Spread>>;
  figures: Readonly<Record<string, number>>;
}

/** A median, and the bounds of its 95 % interval. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** One row for each case of each implementation; what was measured twice is one row over all samples. */
export function toRows(suite: string, measured: readonly Measured[]): Row[] {
  const all = measured.flatMap(({ measurement, report }) => report.cases.map((one) => ({ measurement, report, one })));
  // As ours counts them, for everyone.
  const flops = new Map(all.flatMap(({ one }) => (one.flops === undefined ? [] : [[one.case, one.flops]])));
  const keyOf = ({ measurement, one }: (typeof all)[number]) =>
    [one.case, measurement.implementation, measurement.device].join(' | ');
  return [...new Set(all.map(keyOf))].map((key): Row => {
    const group = all.filter((each) => keyOf(each) === key);
    const [{ measurement, report, one }] = group;
    const samples = group.flatMap((each) => each.one.milliseconds);
    const firsts = group.flatMap((each) => each.one.firstMilliseconds ?? []);
    const shares = group.flatMap((each) => each.one.othersShare ?? []);
    const othersShare = shares.length > 0 ? Math.max(...shares) : null;
    const series = Object.keys(one.series ?? {}).map((name) => {
      const values = group.flatMap((each) => each.one.series?.[name] ?? []);
      const [low, high] = medianInterval(values);
      return [name, { median: median(values), low, high }] as const;
    });
    return {
      ...{ suite, case: one.case, implementation: measurement.implementation, device: measurement.device },
      ...{ adapter: report.adapter, software: report.software, unit: 'ms', median: median(samples) },
      ...{ min: Math.min(...samples), max: Math.max(...samples), samples: samples.length },
      ...{ othersShare, busy: isBusy(othersShare), firstLoss: one.firstLoss, flops: flops.get(one.case) },
      firstMilliseconds: firsts.length > 0 ? Math.max(...firsts) : undefined,
      ...{ peakBytes: one.peakBytes, series: Object.fromEntries(series), figures: one.figures ?? {} },
      kernels: one.kernels,
    };
  });
}

export function isBusy(othersShare: number | null): boolean {
  return othersShare !== null && othersShare > busyShare;
}
