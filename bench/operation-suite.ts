import { ours, peerMeasurements, peersAreInstalled } from './implementations.ts';
import { type BenchDevice, benchDevices } from './options.ts';
import { type Measurement, perform } from './perform.ts';
import { pyTorchMeasurements } from './pytorch.ts';
import { isBusy, type Row, summarize } from './row.ts';
import type { Suite } from './suite.ts';

export interface OperationSuiteOptions {
  /** Of the suite, and of its folder and the peers' scripts. */
  name: string;
  title: string;
  /** Where it runs; by default on every device that is there. */
  devices?: readonly BenchDevice[];
  /** Whether the peers have scripts for it; by default they do. */
  hasPeers?: boolean;
  format(rows: readonly Row[]): string;
}

/** A suite that measures one operation at several sizes: ours, the peers, and ours again, all in the same minutes. */
export function operationSuite({
  name,
  title,
  devices: all = benchDevices,
  hasPeers = true,
  format,
}: OperationSuiteOptions): Suite {
  return {
    title,
    hasPeers,
    devices: all,
    format,
    async run(options) {
      const { device, quick } = options;
      const devices = device ? all.filter((kind) => kind === device) : all;
      const own = devices.map(
        (kind): Measurement => ({
          implementation: ours,
          device: kind,
          script: new URL(`${name}/ours.ts`, import.meta.url),
          arguments: [kind, quick ? 'quick' : 'full'],
          secondsAllowed: 200,
        }),
      );
      const peers =
        hasPeers && !quick
          ? [
              ...(peersAreInstalled() ? devices.flatMap((kind) => peerMeasurements(kind, `-${name}`, 400)) : []),
              ...pyTorchMeasurements(devices, name, 400),
            ]
          : [];
      const { measured, ...outcome } = await perform([...own, ...peers, ...(peers.length > 0 ? own : [])], options);
      const groups = new Map<string, Row & { all: number[] }>();
      for (const { measurement, report } of measured) {
        const { implementation, device: on } = measurement;
        for (const { case: one, milliseconds, othersShare, firstMilliseconds, flops, peakBytes } of report.cases) {
          const key = `${one} ${implementation} ${on}`;
          const all = [...(groups.get(key)?.all ?? []), ...milliseconds];
          const shares = [groups.get(key)?.othersShare, othersShare].flatMap((share) => share ?? []);
          const share = shares.length > 0 ? Math.max(...shares) : null;
          groups.set(key, {
            ...{ suite: name, case: one, implementation, device: on, adapter: report.adapter, unit: 'ms' },
            ...summarize(all),
            ...{ software: report.software, othersShare: share, busy: isBusy(share) },
            ...{ firstMilliseconds, flops, peakBytes, all },
          });
        }
      }
      return { rows: [...groups.values()].map(({ all: _, ...row }) => row), ...outcome };
    },
  };
}
