import type { Device } from '../../tensor/device.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { Policy } from '../policy.ts';

/** Where a plain stop ends training: after so many steps, or once a device has done so many more operations. */
export type FixedStopOptions = { afterSteps: number } | { afterOperations: number; device: Device };

/**
 * The plainest rival: training stops at a point fixed beforehand. At the operations that a freezing rule took, it tells
 * whether freezing gained anything over stopping earlier.
 */
export class FixedStop extends Policy {
  readonly #isOver: (step: number) => boolean;
  #finished = false;

  constructor(options: FixedStopOptions) {
    super();
    const limit = 'afterSteps' in options ? options.afterSteps : options.afterOperations;
    if (!(limit > 0)) throw new ArgumentError(`FixedStop: the limit ${limit} must be above 0`);
    if ('afterSteps' in options) this.#isOver = (step) => step >= limit;
    else {
      const { device } = options;
      const before = device.work.flops;
      this.#isOver = () => device.work.flops - before >= limit;
    }
  }

  get finished(): boolean {
    return this.#finished;
  }

  override async afterStep(step: number): Promise<void> {
    this.#finished ||= this.#isOver(step);
  }
}
