import { existsSync } from 'node:fs';
import { type ChildOutcome, runChild } from '../child.ts';
import type { ChildReport, MeasuredCase } from '../child-report.ts';
import { type BenchDevice, benchDevices } from '../options.ts';
import { isBusy, type Row } from '../row.ts';
import { sum } from '../statistics.ts';
import {
  coldMeasurement,
  type Measurement,
  patchedPeerMeasurements,
  peerMeasurements,
  warmMeasurement,
} from './measurements.ts';
import { toRows } from './rows.ts';

/** A measurement that others disturbed is made again so often at most; the least disturbed one counts. */
const MOST_REPEATS = 2;

export interface StepSuiteOptions {
  device?: BenchDevice;
  quick: boolean;
  log(line: string): void;
}

export interface Measured {
  measurement: Measurement;
  report: ChildReport;
}

/** What could not be measured, each with a reason. */
export interface StepSuiteResult {
  rows: Row[];
  missing: string[];
  /** Whether one of our own measurements failed (a device that the machine lacks is none, unless it was asked for). */
  failed: boolean;
}

export const peersAreInstalled = () => existsSync(new URL('../peers/node_modules', import.meta.url));

/**
 * Ours, the peers patched, the peers as shipped, and ours again, all in the same minutes. Patched ones come first: where
 * Mesa has yet to compile for a peer, waiting politely leaves it both cores to do so.
 */
export async function runStepSuite({ device, quick, log }: StepSuiteOptions): Promise<StepSuiteResult> {
  const devices = device ? [device] : benchDevices;
  const withPeers = !quick && peersAreInstalled();
  const plan = [
    ...devices.map((kind) => coldMeasurement(kind, quick)),
    ...devices.map((kind) => warmMeasurement(kind, quick)),
    ...(withPeers ? devices.flatMap(patchedPeerMeasurements) : []),
    ...(withPeers ? devices.flatMap(peerMeasurements) : []),
    ...(quick ? [] : devices.map((kind) => warmMeasurement(kind, quick))),
  ];
  const measured: Measured[] = [];
  const missing = new Set<string>();
  const unavailable = new Set<string>();
  let failed = false;
  for (const [i, measurement] of plan.entries()) {
    const title = `${measurement.implementation} on ${measurement.device}`;
    if (unavailable.has(measurement.device)) continue;
    const outcome = await measure(measurement, quick ? 0 : MOST_REPEATS, (line) =>
      log(`${i + 1}/${plan.length}  ${title}${measurement.arguments?.includes('cold') ? ', cold' : ''}: ${line}`),
    );
    if (outcome.kind === 'report') {
      measured.push({ measurement, report: outcome.report });
      continue;
    }
    missing.add(`${title} was not measured: ${outcome.reason}`);
    log(`${i + 1}/${plan.length}  ${title}: not measured`);
    if (outcome.kind === 'unavailable') {
      unavailable.add(measurement.device);
      failed ||= device !== undefined;
    } else if (benchDevices.some((kind) => kind === measurement.device)) failed ||= !isPeer(measurement);
  }
  return { rows: toRows(measured), missing: [...missing], failed };
}

function isPeer({ script }: Measurement): boolean {
  return script.pathname.includes('/peers/');
}

async function measure(measurement: Measurement, repeats: number, log: (line: string) => void): Promise<ChildOutcome> {
  let best: ChildOutcome | null = null;
  let leastDisturbance = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt <= repeats; attempt++) {
    const started = performance.now();
    log(attempt === 0 ? 'starts' : 'others used the machine, so once more');
    const outcome = await runChild({ ...measurement, onProgress: log });
    if (outcome.kind !== 'report') return best ?? outcome;
    const { cases } = outcome.report;
    log(`${formatCases(cases)}  (${((performance.now() - started) / 1000).toFixed(0)} s in all)`);
    const disturbance = sum(cases.map(({ othersShare }) => othersShare ?? 0)) / cases.length;
    if (disturbance < leastDisturbance) {
      best = outcome;
      leastDisturbance = disturbance;
    }
    if (!cases.some(({ othersShare }) => isBusy(othersShare))) break;
  }
  return best ?? { kind: 'failed', reason: 'nothing was measured' };
}

function formatCases(cases: readonly MeasuredCase[]): string {
  return cases.map(({ case: name, milliseconds }) => `${name} ${Math.min(...milliseconds).toFixed(0)} ms`).join(', ');
}
