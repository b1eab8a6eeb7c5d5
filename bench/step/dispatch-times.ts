/** The dispatches of one step, each with the time it takes by itself. */

import type { Device, KernelCall } from '../../src/tensor/device.ts';
import type { KernelTime } from '../child-report.ts';
import { median, sum } from '../statistics.ts';
import { time } from '../timing.ts';

/** All dispatches of a step that do the same work: one kernel over operands of the same shapes. */
export interface DispatchGroup {
  kernel: string;
  count: number;
  /** Of one dispatch. */
  milliseconds: number;
  /** Of them, those in which the plain loop of the kernel ran; 0 on `webgpu`. */
  plainMilliseconds: number;
  /** Of one dispatch. */
  flops: number;
}

/** By what is computed: see `workOf`. */
export type StepDispatches = Map<string, DispatchGroup>;

/** A repeated dispatch must take this long, or the wait for it, which polls up to a millisecond apart, would decide its time. */
const measuredMilliseconds = 12;
const mostRepeats = 2048;

/**
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
  const calls = await recordCalls(device, step);
  const groups: StepDispatches = new Map();
  for (const { call, work } of calls) {
    const group = groups.get(work);
    if (group) group.count++;
    else {
      const { kernel, flops } = call;
      groups.set(work, { kernel: kernel.name, count: 1, milliseconds: Number.NaN, plainMilliseconds: 0, flops });
    }
  }
  const replayed = device.kind === 'webgpu' ? await replayTimes(device, calls) : new Map<string, number>();
  for (const [work, group] of groups) {
    const called = calls.filter((each) => each.work === work);
    group.milliseconds = replayed.get(work) ?? median(called.map(({ milliseconds }) => milliseconds));
    group.plainMilliseconds = median(called.map(({ plainMilliseconds }) => plainMilliseconds));
  }
  return groups;
}

interface RecordedCall {
  call: KernelCall;
  work: string;
  /** Of the call itself: all of the work on `cpu`, only its encoding on `webgpu`. */
  milliseconds: number;
  plainMilliseconds: number;
}

async function recordCalls(device: Device, step: () => Promise<unknown>): Promise<RecordedCall[]> {
  const calls: RecordedCall[] = [];
  const run = device.run;
  device.run = (call) => {
    let plainMilliseconds = 0;
    const reference: typeof call.kernel.reference = (arrays, scalars) => {
      const began = performance.now();
      call.kernel.reference(arrays, scalars);
      plainMilliseconds = performance.now() - began;
    };
    // On webgpu a kernel is known by its identity, and has no plain loop to time.
    const timed = device.kind === 'cpu' ? { ...call, kernel: { ...call.kernel, reference } } : call;
    const started = performance.now();
    run.call(device, timed);
    const milliseconds = performance.now() - started;
    calls.push({ call, work: workOf(call), milliseconds, plainMilliseconds });
  };
  try {
    await step();
  } finally {
    device.run = run;
  }
  return calls;
}

/** Share of a step that no kernel call takes, on `cpu`: both times are of one step, or the machine's moods would be in it. */
export async function shareOutsideCalls(device: Device, step: () => Promise<unknown>): Promise<number> {
  let inside = 0;
  const run = device.run;
  device.run = (call) => {
    const started = performance.now();
    run.call(device, call);
    inside += performance.now() - started;
  };
  try {
    const whole = await time(step);
    return 1 - inside / whole;
  } finally {
    device.run = run;
  }
}

async function replayTimes(device: Device, calls: readonly RecordedCall[]): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const { call, work } of calls) {
    // Repeated, an update by the optimizer must not carry the weights away: at rate 0 it does all of its work in place.
    const harmless = 'rate' in call.scalars ? { ...call, scalars: { ...call.scalars, rate: 0 } } : call;
    const repeated = (repeats: number) =>
      time(() => {
        for (let i = 0; i < repeats; i++) device.run(harmless);
        return device.synchronize();
      });
    if (times.has(work)) {
      device.run(harmless);
      continue;
    }
    await device.synchronize();
    let repeats = 8;
    while (repeats < mostRepeats && (await repeated(repeats)) < measuredMilliseconds) repeats *= 2;
    const once = await repeated(1);
    times.set(work, Math.max(0, (await repeated(repeats)) - once) / (repeats - 1));
  }
  await device.synchronize();
  return times;
}

/** What decides how long a dispatch takes: kernel, shapes and layouts of the operands, workgroups, operations. */
function workOf({ kernel, operands, workgroups, flops }: KernelCall): string {
  const views = operands.map(({ shape, strides }) => `${shape.join('x')}:${strides.join(',')}`);
  return `${kernel.name} ${views.join(' ')} [${workgroups.join(',')}] ${flops}`;
}

/** The dispatches of `more` that `less` lacks, counted as often as they are missing, with their times from `more`. */
export function missingDispatches(
  more: StepDispatches,
  less: StepDispatches,
): { dispatches: number; milliseconds: number } {
  const missing = [...more].map(([work, { count, milliseconds }]) => {
    const dispatches = Math.max(0, count - (less.get(work)?.count ?? 0));
    return { dispatches, milliseconds: dispatches * milliseconds };
  });
  return {
    dispatches: sum(missing.map(({ dispatches }) => dispatches)),
    milliseconds: sum(missing.map(({ milliseconds }) => milliseconds)),
  };
}

/** The kernels of a step, most time first. */
export function byKernel(dispatches: StepDispatches): KernelTime[] {
  const kernels = new Map<string, KernelTime>();
  for (const { kernel, count, milliseconds, plainMilliseconds, flops } of dispatches.values()) {
    const total = kernels.get(kernel) ?? { kernel, dispatches: 0, milliseconds: 0, plainMilliseconds: 0, flops: 0 };
    total.dispatches += count;
    total.milliseconds += count * milliseconds;
    total.plainMilliseconds += count * plainMilliseconds;
    total.flops += count * flops;
    kernels.set(kernel, total);
  }
  return [...kernels.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}
