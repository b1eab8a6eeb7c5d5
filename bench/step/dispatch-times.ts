import type { Device, KernelCall } from '../../src/tensor/device.ts';
import { median } from '../statistics.ts';
import { type RecordedCall, recordCalls } from './record-calls.ts';

/** All dispatches of a step that do the same work: one kernel over operands of the same shapes. */
export interface DispatchGroup {
  kernel: string;
  count: number;
  /** Of one dispatch. */
  milliseconds: number;
  /** Of one dispatch. */
  flops: number;
}

/** By what is computed: see `workOf`. */
export type StepDispatches = Map<string, DispatchGroup>;

/** A repeated dispatch must take this long, or the wait for it, which polls up to a millisecond apart, would decide its time. */
const measuredMilliseconds = 12;
const mostRepeats = 2048;

/**
 * The dispatches of one step, each with the time it takes by itself.
 *
 * On `cpu` a dispatch is a call, timed where it stands. On `webgpu` a recorded step is walked through in its own order,
 * so that each dispatch finds the values it found in the step; at the first dispatch of each group the walk halts and
 * enqueues it once, and then many times, as one submission each. The difference of the two, divided by the
 * difference in repeats, is the time of one dispatch, with its encoding and without submission and wait. Being
 * repeated, a dispatch finds its operands in the caches: its time is, if anything, lower than within the step.
 *
 * Replayed updates leave the optimizer's state meaningless: a model measured so must not be trained on.
 *
 * @param step takes one training step on `device`.
 */
export async function timeDispatches(device: Device, step: () => Promise<unknown>): Promise<StepDispatches> {
  const recorded = await recordCalls(device, step);
  const times = device.kind === 'cpu' ? callTimes(recorded) : await replayTimes(device, recorded);
  const groups: StepDispatches = new Map();
  for (const { call } of recorded) {
    const work = workOf(call);
    const group = groups.get(work);
    if (group) group.count++;
    else {
      const milliseconds = median(times.get(work) ?? []);
      groups.set(work, { kernel: call.kernel.name, count: 1, milliseconds, flops: call.flops });
    }
  }
  return groups;
}

function callTimes(recorded: readonly RecordedCall[]): Map<string, number[]> {
  const times = new Map<string, number[]>();
  for (const { call, milliseconds } of recorded) {
    const work = workOf(call);
    times.set(work, [...(times.get(work) ?? []), milliseconds]);
  }
  return times;
}

async function replayTimes(device: Device, recorded: readonly RecordedCall[]): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>();
  for (const call of recorded.map(({ call }) => harmless(call))) {
    const work = workOf(call);
    if (times.has(work)) {
      device.run(call);
      continue;
    }
    await device.synchronize();
    const repeats = await enoughRepeats(device, call);
    const once = await timeRepeated(device, call, 1);
    const often = await timeRepeated(device, call, repeats);
    times.set(work, [Math.max(0, often - once) / (repeats - 1)]);
  }
  await device.synchronize();
  return times;
}

async function enoughRepeats(device: Device, call: KernelCall): Promise<number> {
  let repeats = 8;
  while (repeats < mostRepeats && (await timeRepeated(device, call, repeats)) < measuredMilliseconds) repeats *= 2;
  return repeats;
}

async function timeRepeated(device: Device, call: KernelCall, repeats: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) device.run(call);
  await device.synchronize();
  return performance.now() - start;
}

/** An update by the optimizer, repeated, must not carry the weights away: at rate 0 it does all of its work in place. */
function harmless(call: KernelCall): KernelCall {
  return 'rate' in call.scalars ? { ...call, scalars: { ...call.scalars, rate: 0 } } : call;
}

/** What decides how long a dispatch takes: kernel, shapes and layouts of the operands, workgroups, operations. */
function workOf({ kernel, operands, workgroups, flops }: KernelCall): string {
  const views = operands.map(({ shape, strides }) => `${shape.join('x')}:${strides.join(',')}`);
  return `${kernel.name} ${views.join(' ')} [${workgroups.join(',')}] ${flops}`;
}

export interface Difference {
  dispatches: number;
  milliseconds: number;
}

/** The dispatches of `more` that `less` lacks, counted as often as they are missing, with their times from `more`. */
export function missingDispatches(more: StepDispatches, less: StepDispatches): Difference {
  const difference: Difference = { dispatches: 0, milliseconds: 0 };
  for (const [work, { count, milliseconds }] of more) {
    const missing = Math.max(0, count - (less.get(work)?.count ?? 0));
    difference.dispatches += missing;
    difference.milliseconds += missing * milliseconds;
  }
  return difference;
}
