/** What every rule does where there is no gradient: nothing has converged then. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  crossEntropy,
  type Device,
  GradES,
  gradientChange,
  gradientMagnitude,
  LossPlateau,
  type Optimizer,
  PaperVersion1,
  PaperVersion3,
  ParameterRegistry,
  type Policy,
  Random,
  ReleasedCode,
  SGD,
  type Tensor,
  Training,
  tensor,
  weightChange,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { releaseLater, releaseMade, tinyBatch, tinyModel } from '../nn/tiny.ts';

afterEach(releaseMade);

const steps = 6;
const grace = 0.4;
const paper = { steps, grace, threshold: 1e-3 };
const rules: Readonly<Record<string, (registry: ParameterRegistry, optimizer: Optimizer) => Policy>> = {
  GradES: (...where) => new GradES(...where, { steps, grace }),
  'GradES over magnitudes': (...where) => new GradES(...where, { steps, grace, signal: gradientMagnitude }),
  'GradES over changes': (...where) => new GradES(...where, { steps, grace, signal: gradientChange }),
  'GradES over weights': (...where) => new GradES(...where, { steps, grace, signal: weightChange }),
  PaperVersion1: (...where) => new PaperVersion1(...where, paper),
  PaperVersion3: (...where) => new PaperVersion3(...where, paper),
  ReleasedCode: (...where) => new ReleasedCode(...where, paper),
  LossPlateau: (...where) => new LossPlateau(...where, { steps, grace, random: new Random(1) }),
};

type Batch = (device: Device, s: number) => { tokens: Tensor; targets: Tensor };
const usual: Batch = (device, s) => tinyBatch(device, s);
const empty: Batch = (device) => {
  const none = () => tensor(new Int32Array(0), { device, shape: [0, 3] });
  return { tokens: none(), targets: none() };
};
const troubles: readonly [string, { factor: number; zeroWeights: boolean; batch: Batch }][] = [
  ['a loss times 0', { factor: 0, zeroWeights: false, batch: usual }],
  ['weights of 0', { factor: 1, zeroWeights: true, batch: usual }],
  ['an empty batch', { factor: 1, zeroWeights: false, batch: empty }],
];

onEachDevice((device) => {
  describe.each(troubles)('%s', (_, { factor, zeroWeights, batch }) => {
    test.each(Object.keys(rules))('%s ends with an error, and nothing freezes', async (rule) => {
      const model = tinyModel(device);
      if (zeroWeights) {
        const state = await model.stateDict();
        for (const { data } of Object.values(state)) data.fill(0);
        model.loadStateDict(state);
      }
      const optimizer = releaseLater(new SGD(model.parameters(), { learningRate: 0.1 }));
      const registry = new ParameterRegistry(model);
      const loss = (s: number) => {
        const { tokens, targets } = batch(device, s);
        return crossEntropy(model.call(tokens), targets).mul(factor);
      };
      const training = new Training({
        model,
        optimizer,
        registry,
        steps,
        policies: [rules[rule](registry, optimizer)],
        loss,
      });
      await expect(training.run()).rejects.toThrow(
        /exactly 0 at every check|asked for in two halves, but the batch holds 0/,
      );
      expect(training.step).toBeLessThanOrEqual(grace * steps + 1);
      expect(registry.events).toEqual([]);
    });
  });
});
