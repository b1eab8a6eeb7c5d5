/** Performs the measurements of a suite: ours, the peers, and ours again, each in a process of its own. */

import { type ChildOutcome, type Measured, type Measurement, runChild } from './child.ts';
import { ours, peerMeasurements } from './peers.ts';
import { isBusy } from './row.ts';
import { sum } from './statistics.ts';
import { type BenchDevice, benchDevices, type Suite } from './suite.ts';
import type { SuiteName } from './suites.ts';

export interface PerformOptions {
  /** Null: every device that is there. */
  readonly device: BenchDevice | null;
  readonly quick: boolean;
  log(line: string): void;
}

/** A measurement that others disturbed is made again so often at most; the least disturbed one counts. */
const mostRepeats = 2;

export async function perform(name: SuiteName, suite: Suite, options: PerformOptions) {
  const plan = planOf(name, suite, options);
  const measured: Measured[] = [];
  // What could not be measured, each with a reason; and devices that the machine lacks.
  const missing = new Set<string>();
  const lacking = new Set<string>();
  // Whether one of our own failed. A device that the machine lacks counts only where it was asked for.
  let failed = false;
  for (const [i, measurement] of plan.entries()) {
    const { title, device, implementation } = measurement;
    if (lacking.has(device)) continue;
    const log = (line: string) => options.log(`${i + 1}/${plan.length}  ${title}: ${line}`);
    const outcome = await leastDisturbed(measurement, options.quick ? 0 : mostRepeats, log);
    if (outcome.kind === 'report') {
      measured.push({ measurement, report: outcome.report });
      continue;
    }
    log('not measured');
    missing.add(`${title} was not measured: ${outcome.reason}`);
    if (outcome.kind === 'unavailable') lacking.add(device);
    failed ||= outcome.kind === 'unavailable' ? options.device !== null : implementation === ours;
  }
  return { measured, missing, failed };
}

function planOf(
  name: SuiteName,
  { devices = benchDevices, parts, peers }: Suite,
  options: PerformOptions,
): Measurement[] {
  const { device: only, quick } = options;
  const on = devices.filter((device) => only === null || device === only);
  const names = Object.keys(parts).filter((part) => !(quick && parts[part].isLong));
  const measurement = (part: string, device: BenchDevice): Measurement => ({
    ...{ implementation: ours, device, title: `${ours} on ${device}${names.length > 1 ? `, ${part}` : ''}` },
    ...{ script: new URL('ours.ts', import.meta.url), arguments: [name, part, device, quick ? 'quick' : 'full'] },
    ...{ environment: parts[part].environment },
  });
  const measure = (some: readonly string[]) => some.flatMap((part) => on.map((device) => measurement(part, device)));
  if (quick || !peers) return measure(names);
  const again = names.filter((part) => parts[part].again);
  return [...measure(names), ...peerMeasurements(peers, on, only), ...measure(again)];
}

async function leastDisturbed(
  measurement: Measurement,
  repeats: number,
  log: (line: string) => void,
): Promise<ChildOutcome> {
  let best: ChildOutcome | null = null;
  let leastShare = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt <= repeats; attempt++) {
    const started = performance.now();
    log(attempt === 0 ? 'starts' : 'others used the machine, so once more');
    const outcome = await runChild(measurement, log);
    if (outcome.kind !== 'report') return best ?? outcome;
    const { cases } = outcome.report;
    const fastest = cases.map(({ case: one, milliseconds }) => `${one} ${Math.min(...milliseconds).toFixed(0)} ms`);
    log(`${fastest.join(', ')}  (${((performance.now() - started) / 1000).toFixed(0)} s in all)`);
    const share = sum(cases.map(({ othersShare }) => othersShare ?? 0)) / Math.max(1, cases.length);
    if (share < leastShare) [best, leastShare] = [outcome, share];
    if (!cases.some(({ othersShare }) => isBusy(othersShare))) break;
  }
  return best ?? { kind: 'failed', reason: 'nothing was measured' };
}
