import { type Device, snapshotWork, workSince } from '../../src/index.ts';
import { type FreezeMeasurement, type KernelTime, type MeasuredCase, send } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { median, sum } from '../statistics.ts';
import { missingDispatches, type StepDispatches, timeDispatches } from './dispatch-times.ts';
import { Gpt } from './gpt.ts';
import type { Case } from './workload.ts';

/** Steps after which buffers, bind groups and compiled JavaScript have settled. */
const WARM_STEPS = 4;
/** Steps of one stretch are chosen to fill this time, within these bounds. */
const STRETCH_MILLISECONDS = 1500;
const STRETCH_STEPS = { least: 4, most: 15 };
const FULL = { rounds: 4, dispatchRounds: 2 };
const QUICK = { rounds: 1, dispatchRounds: 1 };

const parts = ['early', 'late'] as const;

/** The first step of this process, from a model that is built to its loss. */
export async function measureCold(device: Device): Promise<MeasuredCase> {
  const meter = new LoadMeter();
  const gpt = new Gpt(device);
  const [milliseconds, firstLoss] = await timeStep(gpt);
  const othersShare = meter.othersShare();
  return { case: 'cold', milliseconds: [milliseconds], firstMilliseconds: milliseconds, firstLoss, othersShare };
}

/**
 * Each round takes a new model for each case, trains it, freezes in the middle of training what the case names, and
 * trains on. So every frozen stretch is compared with the unfrozen one right before it, and with the dispatches that
 * were timed one by one in the same round.
 */
export async function measureWarm(
  device: Device,
  quick: boolean,
): Promise<{ cases: MeasuredCase[]; kernels: KernelTime[] }> {
  const { rounds, dispatchRounds } = quick ? QUICK : FULL;
  await send({ progress: 'compiling' });
  const [first, firstLoss] = await timeStep(new Gpt(device));
  const frozen = [];
  for (const part of parts) frozen.push(new FrozenCase(part, await profile(device, part, 1)));

  const unfrozen: StepProfile[] = [];
  const meter = new LoadMeter();
  for (let round = 1; round <= rounds; round++) {
    for (const { part, before, after, firstsAfter } of frozen) {
      await send({ progress: `round ${round} of ${rounds}: nothing frozen, then ${part}` });
      const gpt = new Gpt(device);
      for (let i = 0; i < WARM_STEPS; i++) await gpt.step();
      before.push(...(await timeStretch(gpt)));
      gpt.freeze(part);
      firstsAfter.push((await timeStep(gpt))[0]);
      after.push(...(await timeStretch(gpt)));
      gpt.release();
    }
    await send({ progress: `round ${round} of ${rounds}: each dispatch of a step by itself` });
    unfrozen.push(await profile(device, 'none', dispatchRounds));
  }
  const othersShare = meter.othersShare();

  const none: MeasuredCase = {
    case: 'none',
    milliseconds: frozen.flatMap(({ before }) => before),
    firstMilliseconds: first,
    firstLoss,
    othersShare,
  };
  const frozenCases = frozen.map(
    (one): MeasuredCase => ({
      case: one.part,
      milliseconds: one.after,
      firstMilliseconds: Math.max(...one.firstsAfter),
      firstLoss,
      othersShare,
      freeze: one.comparedWith(unfrozen),
    }),
  );
  return { cases: [none, ...frozenCases], kernels: byKernel(unfrozen[0].dispatches) };
}

interface StepProfile {
  dispatches: StepDispatches;
  flops: number;
}

class FrozenCase {
  readonly before: number[] = [];
  readonly after: number[] = [];
  readonly firstsAfter: number[] = [];
  readonly part: Case;
  readonly #profile: StepProfile;

  constructor(part: Case, profile: StepProfile) {
    this.part = part;
    this.#profile = profile;
  }

  comparedWith(unfrozen: readonly StepProfile[]): FreezeMeasurement {
    const pruned = unfrozen.map(({ dispatches }) => missingDispatches(dispatches, this.#profile.dispatches));
    const added = missingDispatches(this.#profile.dispatches, unfrozen[0].dispatches);
    return {
      before: this.before,
      prunedDispatches: pruned[0].dispatches,
      prunedMilliseconds: median(pruned.map(({ milliseconds }) => milliseconds)),
      addedDispatches: added.dispatches,
      addedMilliseconds: added.milliseconds,
      flopsShare: 1 - this.#profile.flops / unfrozen[0].flops,
    };
  }
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

async function profile(device: Device, part: Case, rounds: number): Promise<StepProfile> {
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
