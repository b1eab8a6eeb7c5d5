import type { FreezeMeasurement, MeasuredCase } from '../child-report.ts';
import type { Measurement } from '../perform.ts';
import { type FreezeResult, isBusy, type Row, summarize } from '../row.ts';
import { median } from '../statistics.ts';
import type { Measured } from '../suite.ts';
import { frozenCases } from './workload.ts';

const order: readonly string[] = ['cold', 'none', ...frozenCases];

/** One row for each case of each implementation; what was measured twice is one row over all samples. */
export function toRows(measured: readonly Measured<Measurement>[]): Row[] {
  const groups = new Map<string, { measured: Measured<Measurement>; parts: MeasuredCase[] }>();
  for (const one of measured) {
    for (const part of one.report.cases) {
      const { implementation, device } = one.measurement;
      const key = `${part.case} ${implementation} ${device}`;
      const group = groups.get(key);
      if (group) group.parts.push(part);
      else groups.set(key, { measured: one, parts: [part] });
    }
  }
  const rows = [...groups.values()].map(({ measured, parts }) => toRow(measured, parts));
  return rows.sort((a, b) => order.indexOf(a.case) - order.indexOf(b.case));
}

function toRow({ measurement, report }: Measured<Measurement>, parts: readonly MeasuredCase[]): Row {
  const [first] = parts;
  const shares = parts.flatMap(({ othersShare }) => (othersShare === null ? [] : [othersShare]));
  const othersShare = shares.length > 0 ? Math.max(...shares) : null;
  const freezes = parts.flatMap(({ freeze }) => (freeze ? [freeze] : []));
  const row: Row = {
    suite: 'step',
    case: first.case,
    implementation: measurement.implementation,
    device: measurement.device,
    adapter: report.adapter,
    unit: 'ms',
    ...summarize(parts.flatMap(({ milliseconds }) => milliseconds)),
    software: report.software,
    othersShare,
    busy: isBusy(othersShare),
    firstMilliseconds: Math.max(...parts.flatMap(({ firstMilliseconds }) => firstMilliseconds ?? [])),
    firstLoss: first.firstLoss,
  };
  if (freezes.length > 0) row.freeze = freezeResult(row, freezes);
  if (first.case === 'none' && report.kernels) row.kernels = report.kernels;
  return row;
}

function freezeResult(after: Row, freezes: readonly FreezeMeasurement[]): FreezeResult {
  const [{ prunedDispatches, addedDispatches, addedMilliseconds, flopsShare, bytesBefore, bytesAfter }] = freezes;
  const rounds = freezes.flatMap((freeze) => freeze.rounds);
  const before = rounds.flatMap((round) => round.before);
  const saved = median(rounds.map((round) => median(round.before) - median(round.after)));
  const prunedMilliseconds = median(freezes.flatMap((freeze) => freeze.prunedMilliseconds));
  return {
    prunedDispatches,
    prunedMilliseconds,
    addedDispatches,
    addedMilliseconds,
    flopsShare,
    bytesBefore,
    bytesAfter,
    compiled: Math.max(...freezes.map(({ compiled }) => compiled)),
    medianBefore: median(before),
    slowestBefore: Math.max(...before),
    saved,
    savedOfPruned: saved / prunedMilliseconds,
    slowestAfter: Math.max(after.max, after.firstMilliseconds ?? 0),
  };
}
