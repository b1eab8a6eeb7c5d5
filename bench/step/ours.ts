// Measures frostgrad in a process of its own: tsx ours.ts <webgpu | cpu> <cold | warm> <full | quick>, started by step.ts.

import { type Device, NoAdapterError, openDevice, snapshotWork, workSince } from '../../src/index.ts';
import { type FreezeMeasurement, type KernelTime, type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { sum } from '../statistics.ts';
import { missingDispatches, type StepDispatches, timeDispatches } from './dispatch-times.ts';
import { Gpt } from './gpt.ts';
import { RecordingDevice } from './recording-device.ts';
import type { Case } from './workload.ts';

/** Steps after which buffers, bind groups and compiled JavaScript have settled. */
const WARM_STEPS = 4;
/** Steps of one stretch are chosen to fill this time, within these bounds. */
const STRETCH_MILLISECONDS = 1500;
const STRETCH_STEPS = { least: 4, most: 15 };
const FULL = { rounds: 3, dispatchRounds: 5 };
const QUICK = { rounds: 1, dispatchRounds: 1 };

const parts = ['early', 'late'] as const;

const [kind, temperature, thoroughness] = process.argv.slice(2);

try {
  const device = new RecordingDevice(await openDevice(kind === 'cpu' ? 'cpu' : 'webgpu'));
  const { adapter, software } = device;
  if (temperature === 'cold') await send({ report: { adapter, software, cases: [await measureCold(device)] } });
  else await send({ report: { adapter, software, ...(await measureWarm(device)) } });
} catch (error) {
  if (!(error instanceof NoAdapterError)) throw error;
  await send({ unavailable: error.message });
}
process.disconnect();

/** The first step of this process, from a model that is built to its loss. */
async function measureCold(device: Device): Promise<MeasuredCase> {
  const meter = new LoadMeter();
  const gpt = new Gpt(device);
  const [milliseconds, firstLoss] = await timeStep(gpt);
  const othersShare = meter.othersShare();
  return { case: 'cold', milliseconds: [milliseconds], firstMilliseconds: milliseconds, firstLoss, othersShare };
}

/**
 * Each round takes a new model for each case, trains it, freezes in the middle of training what the case names, and
 * trains on. So every frozen stretch is compared with the unfrozen one right before it.
 */
async function measureWarm(device: RecordingDevice): Promise<{ cases: MeasuredCase[]; kernels: KernelTime[] }> {
  const { rounds, dispatchRounds } = thoroughness === 'quick' ? QUICK : FULL;
  await send({ progress: 'compiling' });
  const [first, firstLoss] = await timeStep(new Gpt(device));
  const newCase = (name: string): MeasuredCase => ({
    case: name,
    milliseconds: [],
    firstMilliseconds: 0,
    firstLoss,
    othersShare: null,
  });
  const none = { ...newCase('none'), firstMilliseconds: first };
  const frozen = parts.map((part) => ({ part, before: new Array<number>(), after: newCase(part) }));
  const meter = new LoadMeter();
  for (let round = 1; round <= rounds; round++) {
    for (const { part, before, after } of frozen) {
      await send({ progress: `round ${round} of ${rounds}: nothing frozen, then ${part}` });
      const gpt = new Gpt(device);
      for (let i = 0; i < WARM_STEPS; i++) await gpt.step();
      before.push(...(await timeStretch(gpt)));
      gpt.freeze(part);
      const [firstAfter] = await timeStep(gpt);
      after.firstMilliseconds = Math.max(after.firstMilliseconds, firstAfter);
      after.milliseconds.push(...(await timeStretch(gpt)));
      gpt.release();
    }
  }
  none.milliseconds.push(...frozen.flatMap(({ before }) => before));
  none.othersShare = meter.othersShare();

  await send({ progress: 'timing each dispatch of a step by itself' });
  const unfrozen = await profile(device, 'none', dispatchRounds);
  const cases: MeasuredCase[] = [none];
  for (const { part, before, after } of frozen) {
    // Here only dispatches that the unfrozen step lacks need a time; one round is enough for those few.
    const profiled = await profile(device, part, 1);
    const pruned = missingDispatches(unfrozen.dispatches, profiled.dispatches);
    const added = missingDispatches(profiled.dispatches, unfrozen.dispatches);
    const freeze: FreezeMeasurement = {
      before,
      prunedDispatches: pruned.dispatches,
      prunedMilliseconds: pruned.milliseconds,
      addedDispatches: added.dispatches,
      addedMilliseconds: added.milliseconds,
      flopsShare: 1 - profiled.flops / unfrozen.flops,
    };
    cases.push({ ...after, othersShare: none.othersShare, freeze });
  }
  return { cases, kernels: byKernel(unfrozen.dispatches) };
}

async function timeStep(gpt: Gpt): Promise<[milliseconds: number, loss: number]> {
  const start = performance.now();
  const loss = await gpt.step();
  return [performance.now() - start, loss];
}

async function timeStretch(gpt: Gpt): Promise<number[]> {
  const times: number[] = [];
  const isEnough = () => times.length >= STRETCH_STEPS.least && sum(times) >= STRETCH_MILLISECONDS;
  while (times.length < STRETCH_STEPS.most && !isEnough()) times.push((await timeStep(gpt))[0]);
  return times;
}

async function profile(
  device: RecordingDevice,
  part: Case,
  rounds: number,
): Promise<{ dispatches: StepDispatches; flops: number }> {
  const gpt = new Gpt(device);
  gpt.freeze(part);
  for (let i = 0; i < WARM_STEPS; i++) await gpt.step();
  const before = snapshotWork(device);
  await gpt.step();
  const { flops } = workSince(device, before);
  const dispatches = await timeDispatches(device, () => gpt.step(), rounds);
  gpt.release();
  return { dispatches, flops };
}

function byKernel(dispatches: StepDispatches): KernelTime[] {
  const kernels = new Map<string, KernelTime>();
  for (const { kernel, count, milliseconds, flops } of dispatches.values()) {
    const total = kernels.get(kernel) ?? { kernel, dispatches: 0, milliseconds: 0, flops: 0 };
    total.dispatches += count;
    total.milliseconds += count * milliseconds;
    total.flops += count * flops;
    kernels.set(kernel, total);
  }
  return [...kernels.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}
