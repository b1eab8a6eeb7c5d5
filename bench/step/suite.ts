import { peerMeasurements, peersAreInstalled } from '../implementations.ts';
import { benchDevices } from '../options.ts';
import { perform } from '../perform.ts';
import { pyTorchMeasurements } from '../pytorch.ts';
import type { Suite, SuiteOptions, SuiteResult } from '../suite.ts';
import { coldMeasurement, warmMeasurement } from './measurements.ts';
import { formatStepReport } from './report.ts';
import { toRows } from './rows.ts';

export const stepSuite: Suite = {
  title: 'one training step of a small GPT, to the loss on the host',
  hasPeers: true,
  run,
  format: formatStepReport,
};

/** Ours, the peers, and ours again, all in the same minutes. */
async function run(options: SuiteOptions): Promise<SuiteResult> {
  const { device, quick } = options;
  const devices = device ? [device] : benchDevices;
  const withPeers = !quick && peersAreInstalled();
  const plan = [
    ...devices.map((kind) => coldMeasurement(kind, quick)),
    ...devices.map((kind) => warmMeasurement(kind, quick)),
    // Mesa compiles for jax-js for 36 to 50 s, the first time on a machine.
    ...(withPeers ? devices.flatMap((kind) => peerMeasurements(kind, '', 150)) : []),
    ...(quick ? [] : pyTorchMeasurements(devices, 'step', 150)),
    ...(quick ? [] : devices.map((kind) => warmMeasurement(kind, quick))),
  ];
  const { measured, ...outcome } = await perform(plan, options);
  return { rows: toRows(measured), ...outcome };
}
