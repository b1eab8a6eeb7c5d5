import { type MeasuredCase, send } from './child-report.ts';
import { LoadMeter } from './load-meter.ts';

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
  release(): void;
}

const roundMilliseconds = 250;
const rounds = { full: 7, quick: 2 };
const mostRepeats = 64;
/** A round that takes longer than this is not repeated as often. */
const longMilliseconds = 1500;

/** Every implementation is measured by this: how long one repetition takes, in rounds of many. */
export async function measureOperations<Case extends OperationCase>(
  cases: readonly Case[],
  build: (one: Case) => Operation | Promise<Operation>,
  quick = false,
): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const one of cases) {
    await send({ progress: one.name });
    const operation = await build(one);
    const time = async (times: number) => {
      const start = performance.now();
      await operation.run(times);
      return (performance.now() - start) / times;
    };
    const firstMilliseconds = await time(1);
    const once = Math.min(await time(1), await time(1));
    const repeats = Math.max(1, Math.min(mostRepeats, Math.round(roundMilliseconds / once)));
    const count = quick ? rounds.quick : once > longMilliseconds ? 3 : rounds.full;
    const meter = new LoadMeter();
    const milliseconds: number[] = [];
    for (let i = 0; i < count; i++) milliseconds.push(await time(repeats));
    operation.release();
    measured.push({
      case: one.name,
      milliseconds,
      firstMilliseconds,
      flops: one.flops,
      othersShare: meter.othersShare(),
    });
  }
  return measured;
}
