/** A training with everything that keeps state: adapters with dropout, GradES or another rule, early stopping. */
import {
  AdamW,
  addLoRA,
  crossEntropy,
  type Device,
  EarlyStopping,
  FixedStop,
  FreezeList,
  fromBelow,
  GradES,
  gradientChange,
  gradientMagnitude,
  LossPlateau,
  noGrad,
  type Optimizer,
  PaperVersion1,
  PaperVersion3,
  ParameterRegistry,
  type Policy,
  Random,
  ReleasedCode,
  step,
  Training,
  Transformer,
  warmupCosine,
  weightChange,
} from '../../src/index.ts';
import { tinyBatch, tinyConfig } from '../nn/tiny.ts';

export const STEPS = 60;

/** Each rule, with options under which it freezes, or ends, within the schedule. */
export const rules: Readonly<
  Record<string, (registry: ParameterRegistry, optimizer: Optimizer, device: Device) => Policy>
> = {
  GradES: (registry, optimizer) =>
    new GradES(registry, optimizer, { steps: STEPS, threshold: 0.9, freezeLeftovers: true }),
  'GradES of the gradient': (registry, optimizer) =>
    new GradES(registry, optimizer, { steps: STEPS, signal: gradientMagnitude, threshold: 0.97, patience: 0.05 }),
  'GradES of the change of the gradient': (registry, optimizer) =>
    new GradES(registry, optimizer, {
      steps: STEPS,
      signal: gradientChange,
      threshold: 0.97,
      interval: 2,
      sampleFrom: 5,
    }),
  'GradES of the change of the weights': (registry, optimizer) =>
    new GradES(registry, optimizer, { steps: STEPS, signal: weightChange, threshold: 0.9, interval: 3 }),
  "the paper's version 1": (registry, optimizer) =>
    new PaperVersion1(registry, optimizer, { steps: STEPS, threshold: 0.6, grace: 0.3 }),
  "the paper's version 3": (registry, optimizer) =>
    new PaperVersion3(registry, optimizer, { steps: STEPS, threshold: 0.9, grace: 0.3 }),
  'the released code': (registry, optimizer) =>
    new ReleasedCode(registry, optimizer, { steps: STEPS, threshold: 1, grace: 0.3, interval: 4, maxFrozenShare: 0.9 }),
  'a list from below': (registry) =>
    new FreezeList(registry, { list: fromBelow(registry, { from: 10, to: 40 }), freezeLeftovers: true }),
  'the plateau': (registry, optimizer) =>
    new LossPlateau(registry, optimizer, {
      steps: STEPS,
      random: new Random(5),
      grace: 0.1,
      horizon: 0.03,
      margin: 0.1,
    }),
  'a stop by operations': (_registry, _optimizer, device) => new FixedStop({ afterOperations: 40e6, device }),
};

export interface Resumable {
  readonly training: Training;
  readonly losses: number[];
  /** Advances to a step, or to the end, noting each loss. */
  advanceTo(step: number): Promise<void>;
  /** Losses, freezes and every bit of the weights. */
  outcome(): Promise<{ losses: number[]; events: unknown; step: number; weights: Record<string, number[]> }>;
  release(): void;
}

export function makeResumable(device: Device, rule: string, { adapters = false } = {}): Resumable {
  const model = new Transformer({ ...tinyConfig, blocks: 2 }, { device, random: new Random(3) });
  if (adapters) addLoRA(model, { rank: 2, dropout: 0.2, random: new Random(3, 9), alsoTrain: ['head'] });
  const registry = new ParameterRegistry(model);
  const trained = model.parameters().filter(({ isFrozen }) => !isFrozen);
  const optimizer = new AdamW(trained, { learningRate: 0.01, weightDecay: 0.1, maxGradientNorm: 0.5 });
  const shuffling = new Random(11);
  const loss = (microBatch: number) => {
    const { tokens, targets } = tinyBatch(device, 2 * shuffling.integer(1000) + microBatch);
    return crossEntropy(model.call(tokens), targets).div(2);
  };
  const validate = async () => {
    model.eval();
    const value = await step(() =>
      noGrad(async () => {
        const { tokens, targets } = tinyBatch(device, 5000);
        return await crossEntropy(model.call(tokens), targets).item();
      }),
    );
    model.train();
    return value;
  };
  const stopping = new EarlyStopping({
    steps: STEPS,
    every: 0.1,
    patience: 8,
    delta: 0.01,
    validate,
    restoreBest: model,
  });
  const training = new Training({
    model,
    optimizer,
    steps: STEPS,
    microBatches: 2,
    schedule: warmupCosine({ peak: 0.01, steps: STEPS, warmup: 5 }),
    registry,
    policies: [rules[rule](registry, optimizer, device), stopping],
    state: { shuffling },
    loss: (_step, microBatch) => loss(microBatch),
  });
  const losses: number[] = [];
  return {
    training,
    losses,
    async advanceTo(step) {
      while (training.step < step && !training.finished) {
        await training.advance();
        losses.push(await training.loss());
      }
    },
    async outcome() {
      await training.end();
      const state = await model.stateDict();
      const weights = Object.entries(state).map(([name, { data }]) => [name, Array.from(data)]);
      return { losses, events: registry.events, step: training.step, weights: Object.fromEntries(weights) };
    },
    release() {
      optimizer.release();
      for (const parameter of model.parameters()) parameter.release('its training was over');
    },
  };
}
