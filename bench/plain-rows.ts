import type { Measurement } from './perform.ts';
import { isBusy, type Row, summarize } from './row.ts';
import type { Measured } from './suite.ts';

/** One row for each case of each child. */
export function plainRows(suite: string, measured: readonly Measured<Measurement>[]): Row[] {
  return measured.flatMap(({ measurement: { implementation, device }, report: { adapter, software, cases } }) =>
    cases.map(
      ({ case: name, milliseconds, othersShare, peakBytes, figures }): Row => ({
        ...{ suite, case: name, implementation, device, adapter, unit: 'ms', ...summarize(milliseconds) },
        ...{ software, othersShare, busy: isBusy(othersShare), peakBytes, figures },
      }),
    ),
  );
}
