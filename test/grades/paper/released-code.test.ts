/** ‖W − W at the last check‖₁ < τ, with the quirks of the official code. */
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { ReleasedCode, type ReleasedCodeOptions } from '../../../src/index.ts';
import { onEachDevice } from '../../devices.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { Play, type Script } from '../scripted.ts';
import { distance, firstBelow, follow, grace, one, query, tau, two, values } from './plain-loops.ts';

afterEach(releaseMade);

const play = (script: Script, options: Partial<ReleasedCodeOptions>) =>
  new Play(ReleasedCode, script, { steps: 30, threshold: 0.01, ...options });

test('it checks every interval from t ≥ ⌊αT⌋, and a first sample counts as 0', async () => {
  await fc.assert(
    fc.asyncProperty(values, grace, tau, fc.constantFrom(1, 2, 7), async (values, grace, threshold, interval) => {
      const options = { threshold, grace, interval, watch: one };
      const { freezeSteps } = await play((s) => values[s - 1], options).run(30);
      const seen = values.map((value, i) => (i + 1 === interval ? 0 : value));
      const mayDecide = (t: number) => t % interval === 0 && t >= Math.floor(grace * 30);
      expect(freezeSteps).toEqual(firstBelow(seen, threshold, mayDecide));
      releaseMade();
    }),
    { numRuns: 60, seed: 3 },
  );
});

test('without a grace period all freeze at once, and training stops', async () => {
  const { policy, freezeSteps } = await play(() => 1e9, { grace: 0 }).run(5);
  expect(freezeSteps).toEqual(Array.from({ length: 14 }, () => 1));
  expect(policy.finished).toBe(true);
});

test('training stops at the share that is to be frozen', async () => {
  const script: Script = (s, name) => (s > 1 && name.startsWith('blocks.0') ? 0 : 1e9);
  expect((await play(script, { maxFrozenShare: 0.5 }).run(30)).policy.finished).toBe(true);
  expect((await play(script, {}).run(30)).policy.finished).toBe(false);
});

test('the first sample stays the first where training goes on from a saved state', async () => {
  const script: Script = (s) => 12 - s;
  const options = { grace: 0, threshold: 5, interval: 3, watch: () => true };
  const expected = await play(script, { ...options, grace: 0.2 }).run(30);
  expect(expected.freezeSteps[0]).toBe(9);
  const played = play(script, { ...options, grace: 0.2 });
  for (let s = 0; s <= 8; s++) {
    const fork = await (await played.run(s)).fork();
    await fork.run(30);
    expect(fork.checks, `from step ${s}`).toEqual(expected.checks);
    expect(fork.registry.events, `from step ${s}`).toEqual(expected.registry.events);
  }
});

onEachDevice((device) => {
  test('on a real run it sees what a plain loop over the weights gives', async () => {
    const options = { steps: 8, threshold: 1e-9, grace: 0.9, interval: 2, watch: two };
    const { checks, weights } = await follow(device, ReleasedCode, options);
    expect(checks.map((check) => check.step)).toEqual([2, 4, 6, 8]);
    for (const { step: s, values } of checks) {
      const expected = s === 2 ? 0 : distance(weights[s], weights[s - 2]);
      expect(values.get(query), `step ${s}`).toBeCloseTo(expected, 4);
    }
  });
});
