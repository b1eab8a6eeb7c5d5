import type { WatchMeasurement } from '../child-report.ts';
import { benchDevices } from '../options.ts';
import { type Measurement, perform } from '../perform.ts';
import { isBusy, type Row, summarize, type WatchResult } from '../row.ts';
import { median, medianInterval } from '../statistics.ts';
import type { Measured, Suite, SuiteOptions, SuiteResult } from '../suite.ts';
import { formatWatchReport } from './report.ts';

export const watchSuite: Suite = {
  title: 'what GradES costs while nothing freezes, on the step of a small GPT',
  hasPeers: false,
  run,
  format: formatWatchReport,
};

async function run(options: SuiteOptions): Promise<SuiteResult> {
  const { device, quick } = options;
  const plan = (device ? [device] : benchDevices).map(
    (kind): Measurement => ({
      implementation: 'frostgrad',
      device: kind,
      script: new URL('ours.ts', import.meta.url),
      arguments: [kind, quick ? 'quick' : 'full'],
      secondsAllowed: quick ? 120 : 600,
    }),
  );
  const { measured, ...outcome } = await perform(plan, options);
  return { rows: measured.flatMap(toRows), ...outcome };
}

function toRows({ measurement, report }: Measured<Measurement>): Row[] {
  const { implementation, device } = measurement;
  const { adapter, software } = report;
  return report.cases.flatMap(({ case: name, milliseconds, othersShare, watch }): Row[] => {
    if (!watch) return [];
    const from = { suite: 'watch', case: name, implementation, device, adapter, software } as const;
    const times = { unit: 'ms', ...summarize(milliseconds), othersShare, busy: isBusy(othersShare) } as const;
    return [{ ...from, ...times, watch: resultOf(watch) }];
  });
}

function resultOf({ pairs, ...counted }: WatchMeasurement): WatchResult {
  const shares = pairs.map(({ plain, watched }) => watched / plain - 1);
  const [low, high] = medianInterval(shares);
  const medianPlain = median(pairs.map(({ plain }) => plain));
  const shareByDispatches = counted.addedMilliseconds / medianPlain;
  return { ...counted, medianPlain, share: median(shares), low, high, shareByDispatches };
}
