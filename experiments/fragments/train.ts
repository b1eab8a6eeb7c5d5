import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  GradES,
  ParameterRegistry,
  type RegistryEvent,
  step,
  tensor,
  type Transformer,
  warmupCosine,
} from '../../src/index.ts';
import type { FragmentDataset } from './dataset.ts';
import { buildModel, type Evaluation, evaluate, WINDOW_BYTES } from './model.ts';

export const BATCH = 16;
const LEARNING_RATE = 3e-3;
const WARMUP = 0.05;
const WEIGHT_DECAY = 0.01;
const MAX_GRADIENT_NORM = 1;
/** Steps between two looks at the loss; each is a read-back. */
const LOG_EVERY = 20;

export type ArmName = 'full' | 'grades';

export interface TrainOptions {
  arm: ArmName;
  device: Device;
  dataset: FragmentDataset;
  seed: number;
  /** Length of the schedule. */
  steps: number;
  /** Operations after which the model is evaluated once more, for the comparison with a plain stop. */
  evaluateAtFlops?: number;
  signal?: AbortSignal;
  onStep?(report: { step: number; loss?: number; milliseconds: number; frozen: number }): void;
  onFreeze?(event: RegistryEvent): void;
}

export interface Arm {
  name: ArmName;
  steps: number;
  seconds: { train: number; evaluate: number };
  flops: number;
  accuracy: number;
  loss: number;
  peakBytes: number;
  /** The watched matrices and whatever froze with them, in order. */
  frozen: { parameter: string; step: number; value: number | null; threshold: number | null }[];
  /** Last step; below the length of the schedule where everything was frozen, or Ctrl-C came. */
  stoppedAt: number;
  interrupted: boolean;
  losses: { step: number; value: number }[];
  /** Signal of each watched matrix at each check. */
  signals: Map<string, { step: number; value: number }[]>;
  /** What a plain stop at `evaluateAtFlops` would have reached. */
  plainStop: (Evaluation & { step: number; flops: number }) | null;
}

export const WATCHED_MATRICES = 14;

/** Trains one arm from the seed: the same weights and the same batches in either. */
export async function trainArm(options: TrainOptions): Promise<Arm> {
  const { arm, device, dataset, seed, steps } = options;
  device.trim();
  device.resetPeak();
  const model = buildModel(device, seed, dataset.classes.length);
  const registry = new ParameterRegistry(model);
  const optimizer = new AdamW(model.parameters(), {
    learningRate: LEARNING_RATE,
    weightDecay: WEIGHT_DECAY,
    maxGradientNorm: MAX_GRADIENT_NORM,
  });
  const warmup = Math.floor(WARMUP * steps);
  const schedule = warmupCosine({ peak: LEARNING_RATE, steps, warmup });
  const policy =
    arm === 'grades'
      ? new GradES(registry, optimizer, { steps, sampleFrom: Math.max(1, warmup), freezeLeftovers: true })
      : null;
  registry.onEvent((event) => options.onFreeze?.(event));

  const losses: Arm['losses'] = [];
  let plainStop: Arm['plainStop'] = null;
  let milliseconds = 0;
  let flops = 0;
  let s = 0;
  while (s < steps && !policy?.finished && !options.signal?.aborted) {
    s++;
    const started = performance.now();
    const flopsBefore = device.work.flops;
    const frozenBefore = registry.events.length;
    let loss: number | undefined;
    await step(async () => {
      const batch = dataset.trainingBatch(seed, s, BATCH);
      const tokens = tensor(batch.tokens, { device, shape: [BATCH, WINDOW_BYTES] });
      const labels = tensor(batch.labels, { device });
      policy?.beforeStep(s);
      const batchLoss = crossEntropy(model.call(tokens), labels);
      backward(batchLoss);
      optimizer.learningRate = schedule(s);
      optimizer.step(batchLoss);
      await policy?.afterStep(s);
      if (s % LOG_EVERY === 0 || s === 1) loss = (await optimizer.report()).loss;
    });
    // What a frozen parameter held is free now; giving it back makes reserved memory fall as well.
    if (registry.events.length > frozenBefore) device.trim();
    const elapsed = performance.now() - started;
    milliseconds += elapsed;
    flops += device.work.flops - flopsBefore;
    if (loss !== undefined) losses.push({ step: s, value: loss });
    options.onStep?.({ step: s, loss, milliseconds: elapsed, frozen: policy?.frozenCount ?? 0 });
    if (!plainStop && options.evaluateAtFlops !== undefined && flops >= options.evaluateAtFlops) {
      plainStop = { ...(await evaluate(model, device, dataset)), step: s, flops };
    }
  }
  await policy?.end();
  const last = performance.now();
  await device.synchronize();
  milliseconds += performance.now() - last;
  const peakBytes = device.memory().peakBytes;
  const final = await evaluate(model, device, dataset);
  releaseAll(model, optimizer);
  return {
    name: arm,
    steps: s,
    seconds: { train: milliseconds / 1000, evaluate: final.seconds },
    flops,
    accuracy: final.accuracy,
    loss: final.loss,
    peakBytes,
    frozen: registry.events.map(({ name, step: at, value, threshold }) => ({ parameter: name, step: at, value, threshold })),
    stoppedAt: s,
    interrupted: s < steps && !policy?.finished,
    losses,
    signals: signalsOf(policy),
    plainStop,
  };
}

/** The next arm should find the memory this one had. */
function releaseAll(model: Transformer, optimizer: AdamW): void {
  optimizer.release();
  for (const parameter of model.parameters()) parameter.release('its arm was over');
}

function signalsOf(policy: GradES | null): Arm['signals'] {
  const signals: Arm['signals'] = new Map(policy?.watched.map(({ name }) => [name, []]));
  for (const { step: at, values } of policy?.checks ?? []) {
    for (const [name, value] of values) signals.get(name)?.push({ step: at, value });
  }
  return signals;
}
