/** How every implementation's operations are measured: how long one repetition takes, in rounds of many. */

import { LoadMeter } from '../command/load-meter.ts';
import { type MeasuredCase, send } from './child-report.ts';
import { time, timeEach } from './timing.ts';

/** One operation at one size. */
export interface OperationCase {
  readonly name: string;
  /** Floating-point operations of one repetition, the same for every implementation. */
  readonly flops: number;
}

/** An implementation of a case, with its inputs made. */
export interface Operation {
  /** Computes it so many times and waits until the last is there. */
  run(times: number): Promise<void>;
  /** Most bytes that lived on the device, where the implementation tells. */
  peakBytes?(): number;
  release(): void;
}

const roundMilliseconds = 250;
const rounds = { full: 7, quick: 2, long: 3 };
const mostRepeats = 64;
/** An operation that takes longer than this is measured in fewer rounds. */
const longMilliseconds = 1500;

export async function measureOperations<Case extends OperationCase>(
  cases: readonly Case[],
  build: (one: Case) => Operation | Promise<Operation>,
  quick = false,
): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const one of cases) {
    await send({ progress: one.name });
    const operation = await build(one);
    const [firstMilliseconds, ...next] = await timeEach(3, () => operation.run(1));
    const once = Math.min(...next);
    const repeats = Math.max(1, Math.min(mostRepeats, Math.round(roundMilliseconds / once)));
    const count = quick ? rounds.quick : once > longMilliseconds ? rounds.long : rounds.full;
    const meter = new LoadMeter();
    const milliseconds: number[] = [];
    for (let i = 0; i < count; i++) milliseconds.push((await time(() => operation.run(repeats))) / repeats);
    const othersShare = meter.othersShare();
    const peakBytes = operation.peakBytes?.();
    operation.release();
    measured.push({ case: one.name, milliseconds, firstMilliseconds, flops: one.flops, othersShare, peakBytes });
  }
  return measured;
}
