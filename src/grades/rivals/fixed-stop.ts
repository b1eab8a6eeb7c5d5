/** A stop that was fixed beforehand: the plainest rival. */

import { type Saved, savedList, savedNumber } from '../../nn/saved.ts';
import { checkDevice } from '../../tensor/create.ts';
import type { Device } from '../../tensor/device.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import type { Policy } from '../policy.ts';

/** Where a plain stop ends training: after so many steps, or once a device has done so many more operations. */
export type FixedStopOptions = { afterSteps: number } | { afterOperations: number; device: Device };

/**
 * The plainest rival: training stops at a point fixed beforehand. At the operations that a freezing rule took, it tells
 * whether freezing gained anything over stopping earlier.
 */
export class FixedStop implements Policy {
  readonly #options: FixedStopOptions;
  /** Operations of the device that count as made before this training. */
  #operationsBefore = 0;
  #finished = false;

  constructor(options: FixedStopOptions) {
    checkOptions('FixedStop', options, ['afterSteps', 'afterOperations', 'device'], 'afterSteps');
    if ('afterSteps' in options && 'afterOperations' in options) {
      throw new ArgumentError('FixedStop: got afterSteps and afterOperations (allowed: one of them)');
    }
    const limit: unknown = 'afterSteps' in options ? options.afterSteps : options.afterOperations;
    if (!(typeof limit === 'number' && limit > 0)) {
      throw new ArgumentError(`FixedStop: the limit ${String(limit)} must be above 0`);
    }
    if ('afterOperations' in options) checkDevice('FixedStop', options.device);
    this.#options = options;
    if ('device' in options) this.#operationsBefore = options.device.work.flops;
  }

  get finished(): boolean {
    return this.#finished;
  }

  afterStep(step: number): void {
    const options = this.#options;
    this.#finished ||=
      'afterSteps' in options ? step >= options.afterSteps : this.#operations(options) >= options.afterOperations;
  }

  state(): Saved {
    const options = this.#options;
    return [this.#finished ? 1 : 0, 'device' in options ? this.#operations(options) : 0];
  }

  restore(state: Saved): void {
    const [finished, operations] = savedList('FixedStop', state);
    this.#finished = savedNumber('FixedStop', finished) === 1;
    const { flops } = 'device' in this.#options ? this.#options.device.work : { flops: 0 };
    this.#operationsBefore = flops - savedNumber('FixedStop', operations);
  }

  #operations({ device }: { device: Device }): number {
    return device.work.flops - this.#operationsBefore;
  }
}
