/** ‖∇W‖₁ < τ. */
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import {
  AdamW,
  backward,
  Linear,
  Module,
  PaperVersion1,
  ParameterRegistry,
  Random,
  step,
  type Tensor,
  tensor,
} from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { releaseLater, releaseMade } from '../../nn/tiny.ts';
import { Play } from '../scripted.ts';
import { distance, firstBelow, follow, grace, one, query, tau, two, values } from './plain-loops.ts';

afterEach(releaseMade);

test('it freezes at the first t > ⌈αT⌉ with ‖∇W‖₁ < τ', async () => {
  await fc.assert(
    fc.asyncProperty(values, grace, tau, async (values, grace, threshold) => {
      const options = { steps: 30, threshold, grace, watch: one };
      const play = await new Play(PaperVersion1, (s) => values[s - 1], options).run(30);
      expect(play.freezeSteps).toEqual(firstBelow(values, threshold, (t) => t > Math.ceil(grace * 30)));
      releaseMade();
    }),
    { numRuns: 40, seed: 1 },
  );
});

test('its grace period is half the schedule where nothing else is said', async () => {
  const play = await new Play(PaperVersion1, () => 1, { steps: 30, threshold: 2, watch: one }).run(30);
  expect(play.freezeSteps).toEqual([16]);
});

onEachDevice((device) => {
  test('on a real run it sees what a plain loop over the gradients gives', async () => {
    const options = { steps: 8, threshold: 1e-9, grace: 0.1, watch: two };
    const { checks, gradients } = await follow(device, PaperVersion1, options);
    expect(checks.map((check) => check.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const { step: s, values } of checks) {
      expect(values.get(query), `step ${s}`).toBeCloseTo(distance(gradients[s - 1]), 4);
    }
  });
});

/** Two matrices in a row. */
class Pair extends Module {
  readonly first: Linear;
  readonly second: Linear;

  constructor() {
    super();
    const options = { device: cpu, random: new Random(3) };
    this.first = new Linear(6, 6, { ...options, kind: 'up' });
    this.second = new Linear(6, 6, { ...options, kind: 'down' });
  }

  forward(x: Tensor): Tensor {
    return this.second.call(this.first.call(x).tanh());
  }
}

test('parameters of one group are watched as ‖∇A‖₁ + ‖∇B‖₁, and frozen together', async () => {
  const model = new Pair();
  for (const parameter of model.parameters()) {
    parameter.group = 'pair';
    releaseLater(parameter);
  }
  const registry = new ParameterRegistry(model);
  expect(registry.entries.map(({ name, kind, parameters }) => [name, kind, parameters.length])).toEqual([
    ['pair', 'up', 2],
  ]);
  const optimizer = releaseLater(new AdamW(model.parameters(), { learningRate: 0.01 }));
  const policy = new PaperVersion1(registry, optimizer, { steps: 10, threshold: 1e9, grace: 0.2, watch: ['up'] });
  const seen: (number | undefined)[] = [];
  policy.onCheck(({ values }) => seen.push(values.get('pair')));
  const sums: number[] = [];
  for (let s = 1; s <= 10 && !policy.finished; s++) {
    await step(async () => {
      policy.beforeStep(s);
      backward(model.call(tensor([[1, 2, 3, 4, 5, s]], { device: cpu })).sum());
      let sum = 0;
      for (const { leaf } of model.parameters()) sum += distance((await leaf.gradient?.data()) ?? []);
      sums.push(sum);
      optimizer.step();
      await policy.afterStep(s);
    });
  }
  expect(sums.length).toBe(3);
  for (const [i, sum] of sums.entries()) expect(seen[i]).toBeCloseTo(sum, 4);
  expect(model.parameters().every((parameter) => parameter.isFrozen)).toBe(true);
  expect(registry.events.length).toBe(1);
});
