/** ‖∇W_t − ∇W_(t−1)‖₁ < τ. */
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { PaperVersion3 } from '../../../src/index.ts';
import { onEachDevice } from '../../devices.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { Play } from '../scripted.ts';
import { distance, firstBelow, follow, grace, one, query, tau, two, values } from './plain-loops.ts';

afterEach(releaseMade);

test('it freezes at the first t > ⌈αT⌉ with ‖∇W_t − ∇W_(t−1)‖₁ < τ', async () => {
  await fc.assert(
    fc.asyncProperty(values, grace, tau, async (values, grace, threshold) => {
      const options = { steps: 30, threshold, grace, watch: one };
      const play = await new Play(PaperVersion3, (s) => values[s - 1], options).run(30);
      expect(play.freezeSteps).toEqual(firstBelow(values, threshold, (t) => t > Math.ceil(grace * 30)));
      releaseMade();
    }),
    { numRuns: 40, seed: 2 },
  );
});

onEachDevice((device) => {
  test('on a real run it sees what a plain loop over the gradients gives, with ∇W_0 = 0', async () => {
    const options = { steps: 8, threshold: 1e-9, grace: 0.1, watch: two };
    const { checks, gradients } = await follow(device, PaperVersion3, options);
    expect(checks.map((check) => check.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const { step: s, values } of checks) {
      expect(values.get(query), `step ${s}`).toBeCloseTo(distance(gradients[s - 1], gradients[s - 2]), 4);
    }
  });
});
