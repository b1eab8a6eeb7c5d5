import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { earlyStop } from '../../../src/grades/rivals/early-stopping.ts';
import { ArgumentError, EarlyStopping, type EarlyStoppingOptions } from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { releaseMade, Training } from '../../nn/tiny.ts';

afterEach(releaseMade);

const rule = { delta: 0.01, patience: 3 };

test.each([
  ['falls to the end', [5, 4, 3, 2, 1], null, 4],
  ['rises after the third', [3, 2, 1, 2, 3, 4, 5], 5, 2],
  ['gains less than delta each time', [1, 0.995, 0.991, 0.99, 0.5], 3, 0],
  ['gains delta exactly, which is not more than delta', [1, 0.75, 0.74, 0.74, 0.74, 0.7], 4, 1],
  ['gains little by little, until it is more than delta below the best', [1, 0.995, 0.985, 0.98, 0.98, 0.98], 5, 2],
  ['gets better at the last moment', [1, 1, 1, 0.5, 1, 1, 1], 6, 3],
  ['is not a number for a while', [1, Number.NaN, Number.NaN, 0.5, 0.6], null, 3],
  ['is never a number', [Number.NaN, Number.NaN, Number.NaN, Number.NaN], 3, 0],
  ['is empty', [], null, 0],
])('a loss that %s', (_what, losses, stopIndex, bestIndex) => {
  expect(earlyStop(losses, rule)).toEqual({ stopIndex, bestIndex });
});

test('the decision is that of the sentence: patience evaluations in a row, none better than the best by delta', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      (losses, patience) => {
        const { stopIndex } = earlyStop(losses, { delta: 1, patience });
        const stale = (i: number) => {
          let best = Number.POSITIVE_INFINITY;
          let since = 0;
          losses.slice(0, i + 1).forEach((loss) => {
            if (loss < best - 1) [best, since] = [loss, 0];
            else since++;
          });
          return since >= patience;
        };
        const expected = losses.findIndex((_, i) => stale(i));
        expect(stopIndex).toBe(expected < 0 ? null : expected);
      },
    ),
    { seed: 11 },
  );
});

onEachDevice((device) => {
  /** Trains 20 steps with the validation losses of a script; tells where it ended and with which weights. */
  const train = async (losses: readonly number[], options: Partial<EarlyStoppingOptions> & { returns?: boolean }) => {
    const training = new Training(device);
    const { returns, ...rest } = options;
    const remaining = [...losses];
    const policy = new EarlyStopping({
      steps: 20,
      every: 0.1,
      ...rule,
      validate: async () => remaining.shift() ?? 0,
      ...(returns && { restoreBest: training.model }),
      ...rest,
    });
    const history: Record<string, number[]>[] = [];
    let s = 0;
    while (s < 20 && !policy.finished) {
      s++;
      await training.step(s, { policy });
      history.push(await training.weights());
    }
    await policy.end();
    return { policy, steps: s, history, weights: await training.weights() };
  };

  test('it evaluates every tenth of the schedule and stops when its patience is over', async () => {
    const { policy, steps } = await train([3, 2, 1, 1, 1, 1, 1], {});
    expect(policy.evaluations.map(({ step }) => step)).toEqual([2, 4, 6, 8, 10, 12]);
    expect([policy.stoppedAt, policy.bestStep, steps]).toEqual([12, 6, 12]);
  });

  test('without a stop it goes on to the end', async () => {
    const { policy, steps } = await train([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], {});
    expect([policy.stoppedAt, policy.bestStep, steps]).toEqual([null, 20, 20]);
  });

  test('returning to the best weights restores them bit for bit; otherwise the last ones stay', async () => {
    const losses = [3, 1, 2, 2, 2];
    const returned = await train(losses, { returns: true });
    expect(returned.steps).toBe(10);
    expect(returned.weights).toEqual(returned.history[3]);
    const stayed = await train(losses, {});
    expect(stayed.weights).toEqual(stayed.history[9]);
    expect(stayed.history).toEqual(returned.history);
  });

  test('until it stops, the run is the one without it', async () => {
    const { history } = await train([3, 2, 1, 1, 1, 1, 1], {});
    const plain = new Training(device);
    await plain.steps(1, 12);
    expect(await plain.weights()).toEqual(history[11]);
  });
});

onEachDevice((device) => {
  test('saved after any step it stops where it would have, and goes back to the best weights bit for bit', async () => {
    const losses = [3, Number.NaN, 1, 2, Number.POSITIVE_INFINITY, 2];
    const start = (seed = 1) => {
      const training = new Training(device, { model: { seed } });
      const policy: EarlyStopping = new EarlyStopping({
        steps: 20,
        every: 0.1,
        ...rule,
        validate: async () => losses[policy.evaluations.length],
        restoreBest: training.model,
      });
      return { training, policy };
    };
    const run = async ({ training, policy }: ReturnType<typeof start>, from: number, to: number) => {
      let s = from;
      for (; s <= to && !policy.finished; s++) await training.step(s, { policy });
      return s - 1;
    };
    const whole = start();
    const stoppedAt = await run(whole, 1, 20);
    expect(stoppedAt).toBe(12);
    await whole.policy.end();
    const best = await whole.training.weights();
    for (const at of [1, 4, 6, 9, 12]) {
      const [first, second] = [start(), start(9)];
      await run(first, 1, at);
      const state = first.policy.state();
      second.training.model.loadStateDict(await first.training.model.stateDict());
      second.training.optimizer.loadStateDict(await first.training.optimizer.stateDict());
      second.policy.restore(state);
      // What the first run makes of its weights afterwards is nothing to the second.
      await run(first, at + 1, at + 2);
      expect(await run(second, at + 1, 20)).toBe(stoppedAt);
      expect([second.policy.stoppedAt, second.policy.bestStep]).toEqual([12, 6]);
      expect(second.policy.evaluations).toEqual(whole.policy.evaluations);
      await second.policy.end();
      expect(await second.training.weights(), `from step ${at}`).toEqual(best);
    }
  });
});

test('validation may open steps of its own', async () => {
  const training = new Training(cpu);
  const validate = async () => {
    await training.step(99);
    return 1;
  };
  const policy = new EarlyStopping({ steps: 4, every: 0.5, validate });
  await training.steps(1, 4, { policy });
  expect(policy.evaluations).toEqual([
    { step: 2, loss: 1 },
    { step: 4, loss: 1 },
  ]);
});

test.each<[Partial<EarlyStoppingOptions>, RegExp]>([
  [{ steps: 0 }, /steps 0/],
  [{ every: 0 }, /every 0/],
  [{ every: 1.5 }, /every 1.5/],
  [{ delta: -1 }, /delta -1/],
  [{ patience: 0 }, /patience 0/],
  [{ patience: 1.5 }, /patience 1.5/],
])('%o is refused by name', (options, message) => {
  const make = () => new EarlyStopping({ steps: 10, validate: async () => 0, ...options });
  expect(make).toThrow(ArgumentError);
  expect(make).toThrow(message);
});
