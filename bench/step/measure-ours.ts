import { type Device, snapshotWork, workSince } from '../../src/index.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import {
  type Bytes,
  type FreezeMeasurement,
  type FreezeRound,
  type KernelTime,
  type MeasuredCase,
  send,
} from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { sum } from '../statistics.ts';
import { missingDispatches, type StepDispatches, timeDispatches } from './dispatch-times.ts';
import { Gpt } from './gpt.ts';
import { type Case, type FrozenCase as FrozenCaseName, frozenCases } from './workload.ts';

/** Steps after which buffers, bind groups and compiled JavaScript have settled. */
const WARM_STEPS = 4;
/** The speed of a machine drifts within seconds, so stretches are short and many: what is compared lies close together. */
const STRETCH = { milliseconds: 300, leastSteps: 4, mostSteps: 8 };
/** Rounds go on for so long, within these bounds. */
const FULL = { milliseconds: 25_000, leastRounds: 4, mostRounds: 12 };
const QUICK = { milliseconds: 0, leastRounds: 1, mostRounds: 1 };

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
  const { milliseconds, leastRounds, mostRounds } = quick ? QUICK : FULL;
  await send({ progress: 'compiling, and counting what each freeze prunes' });
  const [first, firstLoss] = await timeStep(new Gpt(device));
  const frozen: FrozenCase[] = [];
  for (const part of frozenCases) frozen.push(new FrozenCase(part, await profile(device, part)));

  const unfrozen: StepProfile[] = [];
  const meter = new LoadMeter();
  const started = performance.now();
  const isEnough = () => unfrozen.length >= leastRounds && performance.now() - started >= milliseconds;
  while (unfrozen.length < mostRounds && !isEnough()) {
    await send({
      progress: `round ${unfrozen.length + 1}: nothing frozen, ${frozenCases.join(', ')}, and each dispatch by itself`,
    });
    for (const { part, rounds, firstsAfter, bytes } of frozen) {
      const gpt = new Gpt(device);
      for (let i = 0; i < WARM_STEPS; i++) await gpt.step();
      const before = await timeStretch(gpt);
      const [bytesBefore, pipelinesBefore] = [memoryOf(device), pipelinesOf(device)];
      gpt.freeze(part);
      firstsAfter.push((await timeStep(gpt))[0]);
      rounds.push({ before, after: await timeStretch(gpt) });
      bytes.push({ before: bytesBefore, after: memoryOf(device), compiled: pipelinesOf(device) - pipelinesBefore });
      gpt.release();
    }
    unfrozen.push(await profile(device, 'none'));
  }
  const othersShare = meter.othersShare();

  const none: MeasuredCase = {
    case: 'none',
    milliseconds: frozen.flatMap(({ rounds }) => rounds.flatMap(({ before }) => before)),
    firstMilliseconds: first,
    firstLoss,
    othersShare,
  };
  const measuredCases = frozen.map(
    (one): MeasuredCase => ({
      case: one.part,
      milliseconds: one.rounds.flatMap(({ after }) => after),
      firstMilliseconds: Math.max(...one.firstsAfter),
      firstLoss,
      othersShare,
      freeze: one.comparedWith(unfrozen),
    }),
  );
  // The calmest round tells where time goes; it plays no part in what a freeze saves.
  const tables = unfrozen.map(({ dispatches }) => byKernel(dispatches));
  const total = (table: readonly KernelTime[]) => sum(table.map(({ milliseconds }) => milliseconds));
  const calmest = tables.reduce((best, table) => (total(table) < total(best) ? table : best));
  return { cases: [none, ...measuredCases], kernels: calmest };
}

interface StepProfile {
  dispatches: StepDispatches;
  flops: number;
}

class FrozenCase {
  readonly rounds: FreezeRound[] = [];
  readonly firstsAfter: number[] = [];
  readonly bytes: { before: Bytes; after: Bytes; compiled: number }[] = [];
  readonly part: FrozenCaseName;
  readonly #profile: StepProfile;

  constructor(part: FrozenCaseName, profile: StepProfile) {
    this.part = part;
    this.#profile = profile;
  }

  comparedWith(unfrozen: readonly StepProfile[]): FreezeMeasurement {
    const pruned = unfrozen.map(({ dispatches }) => missingDispatches(dispatches, this.#profile.dispatches));
    const added = missingDispatches(this.#profile.dispatches, unfrozen[0].dispatches);
    return {
      rounds: this.rounds,
      prunedDispatches: pruned[0].dispatches,
      prunedMilliseconds: pruned.map(({ milliseconds }) => milliseconds),
      addedDispatches: added.dispatches,
      addedMilliseconds: added.milliseconds,
      flopsShare: 1 - this.#profile.flops / unfrozen[0].flops,
      bytesBefore: this.bytes[0].before,
      bytesAfter: this.bytes[0].after,
      compiled: Math.max(...this.bytes.map(({ compiled }) => compiled)),
    };
  }
}

/** Between two steps, with nothing kept for the next. */
function memoryOf(device: Device): Bytes {
  device.trim();
  const { liveBytes, reservedBytes } = device.memory();
  return { live: liveBytes, reserved: reservedBytes };
}

function pipelinesOf(device: Device): number {
  return device instanceof WebGpuDevice ? device.pipelineCount : 0;
}

async function timeStep(gpt: Gpt): Promise<[milliseconds: number, loss: number]> {
  const start = performance.now();
  const loss = await gpt.step();
  return [performance.now() - start, loss];
}

async function timeStretch(gpt: Gpt): Promise<number[]> {
  const times: number[] = [];
  const isEnough = () => times.length >= STRETCH.leastSteps && sum(times) >= STRETCH.milliseconds;
  while (times.length < STRETCH.mostSteps && !isEnough()) times.push((await timeStep(gpt))[0]);
  return times;
}

async function profile(device: Device, part: Case): Promise<StepProfile> {
  const gpt = new Gpt(device);
  gpt.freeze(part);
  for (let i = 0; i < WARM_STEPS; i++) await gpt.step();
  const before = snapshotWork(device);
  await gpt.step();
  const { flops } = workSince(device, before);
  const dispatches = await timeDispatches(device, () => gpt.step());
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
