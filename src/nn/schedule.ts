/** Learning rates over the steps of a training. */
import { ArgumentError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';

/** The learning rate of step 1, 2, …, `steps`. */
export type Schedule = (step: number) => number;

export interface ScheduleOptions {
  /** Highest rate, reached when the warm-up ends. */
  peak: number;
  /** Length of the whole schedule in steps. */
  steps: number;
  /** Steps over which the rate rises linearly from 0. */
  warmup?: number;
  /** Rate of the last step. Without it the rate falls towards 0, which the step behind the last would have: a step at 0 trains nothing. */
  final?: number;
}

/** Linear warm-up, then half a cosine from the peak to `final` (Loshchilov & Hutter, arXiv 1608.03983). */
export function warmupCosine(options: ScheduleOptions): Schedule {
  return schedule('warmupCosine', options, (progress) => (1 + Math.cos(Math.PI * progress)) / 2);
}

/** Linear warm-up, then a straight line from the peak to `final`. */
export function warmupLinear(options: ScheduleOptions): Schedule {
  return schedule('warmupLinear', options, (progress) => 1 - progress);
}

/** `shape` falls from 1 to 0 while progress goes from 0 to 1. Where the warm-up takes all steps, the last is at the peak. */
function schedule(name: string, options: ScheduleOptions, shape: (progress: number) => number): Schedule {
  checkOptions(name, options, ['peak', 'steps', 'warmup', 'final']);
  const { peak, steps, warmup = 0, final } = options;
  const lowest = final ?? 0;
  if (!(peak > 0 && peak < Number.POSITIVE_INFINITY) || !(lowest >= 0) || lowest > peak) {
    throw new ArgumentError(`${name}: need 0 <= final <= peak and peak > 0, got peak ${peak} and final ${final}`);
  }
  if (!Number.isInteger(steps) || !Number.isInteger(warmup) || steps < 1 || warmup < 0 || warmup > steps) {
    throw new ArgumentError(`${name}: need whole 0 <= warmup <= steps and steps >= 1, got ${warmup} and ${steps}`);
  }
  /** The steps with the highest and with the lowest rate. */
  const top = Math.max(1, warmup);
  const bottom = final === undefined ? steps + 1 : steps;
  return (step) => {
    if (step < warmup) return (peak * step) / warmup;
    const progress = step <= top ? 0 : Math.min(1, (step - top) / (bottom - top));
    return lowest + (peak - lowest) * shape(progress);
  };
}
