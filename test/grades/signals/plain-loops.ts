/** A signal against a plain float64 loop over known gradients and weights. */
import { describe, expect, test } from 'vitest';
import type { Device, DType, Parameter, Signal } from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { GivenGradients, optimizers, type RecordedStep, sizes } from '../../nn/given-gradients.ts';

/** What a loop may look at: the step, the one before, and the weights when the signal was last measured. */
export interface Seen {
  now: RecordedStep;
  last: RecordedStep | undefined;
  weightsBefore: Float64Array;
}

/**
 * The signal over several steps, on both devices and in float64.
 *
 * @param plain its value, and the size of what is added up, against which it is compared.
 * @param every steps between measurements.
 */
export function testAgainstPlainLoops(
  signal: Signal,
  plain: (seen: Seen) => { value: number; size: number },
  every = 1,
): void {
  const suite = (device: Device, dtype: DType) => {
    test.each(Object.keys(optimizers) as (keyof typeof optimizers)[])(
      `every ${every} steps, with %s, it is the formula over ${dtype} values`,
      async (kind) => {
        const given = new GivenGradients(device, kind, { sizes, dtype });
        const watch = given.optimizer.watch(signal, given.parameters);
        const weights = new Map<Parameter, Float64Array>();
        let last: ReadonlyMap<Parameter, RecordedStep> = new Map();
        for (let s = 1; s <= 3 * every; s++) {
          if (s % every === 0) watch.measureNext();
          const { report, recorded } = await given.step();
          expect(report.sums.size).toBe(s % every === 0 ? 1 : 0);
          for (const [parameter, now] of recorded) {
            const weightsBefore = weights.get(parameter) ?? now.before;
            weights.set(parameter, weightsBefore);
            if (s % every !== 0) continue;
            const { value, size } = plain({ now, last: last.get(parameter), weightsBefore });
            const actual = report.sums.get(watch)?.get(parameter) ?? Number.NaN;
            expect((actual - value) / size, `${parameter.name}, step ${s}`).toBeCloseTo(0, 5);
            weights.set(parameter, now.after);
          }
          last = recorded;
        }
      },
    );
  };
  describe('float64', () => suite(cpu, 'f64'));
  onEachDevice((device) => suite(device, 'f32'));
}
