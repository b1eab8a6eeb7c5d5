/** Measures the step of the small GPT: the first one of a process, and steps right before and right after a freeze. */

import { LoadMeter } from '../../command/load-meter.ts';
import type { Device } from '../../src/index.ts';
import type { MemoryReport } from '../../src/tensor/device.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { median, sum } from '../statistics.ts';
import { time, timeEach } from '../timing.ts';
import { byKernel, missingDispatches, type StepDispatches, timeDispatches } from './dispatch-times.ts';
import { freeze, smallGpt } from './small-gpt.ts';
import { type Case, frozenCases } from './workload.ts';

/** Steps after which buffers, bind groups and compiled JavaScript have settled. */
const warmSteps = 4;
/** The speed of a machine drifts within seconds, so stretches are short and many: what is compared lies close together. */
const stretchSteps = 8;
/** Rounds go on for so long, within these bounds. */
const full = { milliseconds: 25_000, leastRounds: 4, mostRounds: 12 };
const quickly = { milliseconds: 0, leastRounds: 1, mostRounds: 1 };

/** The first step of this process, from a model that is built to its loss. */
export async function measureCold(device: Device): Promise<MeasuredCase[]> {
  const meter = new LoadMeter();
  const first = await firstStep(device);
  return [{ case: 'cold', milliseconds: [first.firstMilliseconds], ...first, othersShare: meter.othersShare() }];
}

/**
 * Each round takes a new model for each case, trains it, freezes in the middle of training what the case names, and
 * trains on. So every frozen stretch is compared with the unfrozen one right before it, and with the dispatches that
 * were timed one by one in the same round.
 */
export async function measureWarm(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const { milliseconds, leastRounds, mostRounds } = quick ? quickly : full;
  await send({ progress: 'compiling, and counting what each freeze prunes' });
  const first = await firstStep(device);
  const frozen: { part: Case; profile: StepDispatches; rounds: Round[] }[] = [];
  for (const part of frozenCases) frozen.push({ part, profile: await profileStep(device, part), rounds: [] });

  const unfrozen: StepDispatches[] = [];
  const meter = new LoadMeter();
  const started = performance.now();
  const isEnough = () => unfrozen.length >= leastRounds && performance.now() - started >= milliseconds;
  while (unfrozen.length < mostRounds && !isEnough()) {
    await send({ progress: `round ${unfrozen.length + 1}: ${frozenCases.join(', ')}, and each dispatch by itself` });
    for (const { part, rounds } of frozen) rounds.push(await measureRound(device, part));
    unfrozen.push(await profileStep(device, 'none'));
  }
  const othersShare = meter.othersShare();

  // The calmest round tells where time goes; it plays no part in what a freeze saves.
  const total = (dispatches: StepDispatches) => sum(byKernel(dispatches).map((kernel) => kernel.milliseconds));
  const [calmest] = unfrozen.toSorted((a, b) => total(a) - total(b));
  const before = frozen.flatMap(({ rounds }) => rounds.flatMap((round) => round.before));
  return [
    { case: 'none', milliseconds: before, ...first, othersShare, kernels: byKernel(calmest) },
    ...frozen.map(({ part, profile, rounds }) => ({
      ...{ case: part, milliseconds: rounds.flatMap(({ after }) => after), firstLoss: first.firstLoss, othersShare },
      firstMilliseconds: Math.max(...rounds.map(({ firstAfter }) => firstAfter)),
      ...compareFreeze(unfrozen, profile, rounds),
    })),
  ];
}

/** One model before and after its freeze. */
interface Round {
  before: number[];
  firstAfter: number;
  after: number[];
  figures: Record<string, number>;
}

async function measureRound(device: Device, part: Case): Promise<Round> {
  const gpt = smallGpt(device);
  await timeEach(warmSteps, () => gpt.step());
  const before = await timeEach(stretchSteps, () => gpt.step());
  const [memory, pipelines] = [memoryOf(device), pipelinesOf(device)];
  freeze(gpt, part);
  const firstAfter = await time(() => gpt.step());
  const after = await timeEach(stretchSteps, () => gpt.step());
  const compiledPipelines = pipelinesOf(device) - pipelines;
  const { liveBytes: liveBytesAfter, reservedBytes: reservedBytesAfter } = memoryOf(device);
  gpt.release();
  const { liveBytes: liveBytesBefore, reservedBytes: reservedBytesBefore } = memory;
  const bytes = { liveBytesBefore, liveBytesAfter, reservedBytesBefore, reservedBytesAfter };
  return { before, firstAfter, after, figures: { ...bytes, compiledPipelines } };
}

async function profileStep(device: Device, part: Case): Promise<StepDispatches> {
  const gpt = smallGpt(device);
  freeze(gpt, part);
  await timeEach(warmSteps, () => gpt.step());
  const dispatches = await timeDispatches(device, () => gpt.step());
  gpt.release();
  return dispatches;
}

function flopsOf(dispatches: StepDispatches): number {
  return sum([...dispatches.values()].map(({ count, flops }) => count * flops));
}

/** Milliseconds saved, beside the summed time of the dispatches that are gone, and what changed beside the time. */
function compareFreeze(unfrozen: readonly StepDispatches[], frozen: StepDispatches, rounds: readonly Round[]) {
  const pruned = unfrozen.map((each) => missingDispatches(each, frozen));
  const added = missingDispatches(frozen, unfrozen[0]);
  return {
    series: {
      before: rounds.flatMap(({ before }) => before),
      saved: rounds.map(({ before, after }) => median(before) - median(after)),
      pruned: pruned.map(({ milliseconds }) => milliseconds),
    },
    figures: {
      ...rounds[0].figures,
      ...{ prunedDispatches: pruned[0].dispatches, addedDispatches: added.dispatches },
      flopsShare: 1 - flopsOf(frozen) / flopsOf(unfrozen[0]),
    },
  };
}

async function firstStep(device: Device): Promise<{ firstMilliseconds: number; firstLoss: number }> {
  const started = performance.now();
  const gpt = smallGpt(device);
  const firstLoss = await gpt.step();
  const firstMilliseconds = performance.now() - started;
  gpt.release();
  return { firstMilliseconds, firstLoss };
}

/** Between two steps, with nothing kept for the next. */
function memoryOf(device: Device): MemoryReport {
  device.trim();
  return device.memory();
}

function pipelinesOf(device: Device): number {
  return device instanceof WebGpuDevice ? device.pipelineCount : 0;
}
