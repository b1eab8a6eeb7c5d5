import { type ChildOptions, type ChildOutcome, runChild } from './child.ts';
import type { MeasuredCase } from './child-report.ts';
import { benchDevices } from './options.ts';
import { isBusy } from './row.ts';
import { sum } from './statistics.ts';
import type { Measured, SuiteOptions, SuiteResult } from './suite.ts';

/** Something that one child process measures. */
export interface Measurement extends Omit<ChildOptions, 'onProgress'> {
  implementation: string;
  device: string;
}

/** A measurement that others disturbed is made again so often at most; the least disturbed one counts. */
const mostRepeats = 2;

/** Performs the measurements in their order, each in a process of its own. */
export async function perform<M extends Measurement>(
  plan: readonly M[],
  { device, quick, log }: SuiteOptions,
): Promise<Omit<SuiteResult, 'rows'> & { measured: Measured<M>[] }> {
  const measured: Measured<M>[] = [];
  const missing = new Set<string>();
  const unavailable = new Set<string>();
  let failed = false;
  for (const [i, measurement] of plan.entries()) {
    const title = `${measurement.implementation} on ${measurement.device}`;
    if (unavailable.has(measurement.device)) continue;
    const outcome = await measure(measurement, quick ? 0 : mostRepeats, (line) =>
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
  return { measured, missing: [...missing], failed };
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
    const disturbance = cases.length === 0 ? 0 : sum(cases.map(({ othersShare }) => othersShare ?? 0)) / cases.length;
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
