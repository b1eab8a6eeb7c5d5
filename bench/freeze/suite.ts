import { peerMeasurements, peersAreInstalled } from '../implementations.ts';
import { benchDevices } from '../options.ts';
import { perform } from '../perform.ts';
import { warmMeasurement } from '../step/measurements.ts';
import { toRows } from '../step/rows.ts';
import type { Suite } from '../suite.ts';
import { formatFreezeReport } from './report.ts';

/** The step of the step suite, with a freeze in the middle of training. */
export const freezeSuite: Suite = {
  title: 'what freezing saves, on the step of a small GPT',
  hasPeers: true,
  format: formatFreezeReport,
  async run(options) {
    const { device, quick } = options;
    const devices = device ? [device] : benchDevices;
    const peers = !quick && peersAreInstalled() ? devices.flatMap((kind) => peerMeasurements(kind, '', 150)) : [];
    const own = devices.map((kind) => warmMeasurement(kind, quick));
    const { measured, ...outcome } = await perform([...own, ...peers, ...(quick ? [] : own)], options);
    return { rows: toRows(measured).map((row) => ({ ...row, suite: 'freeze' })), ...outcome };
  },
};
