import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  GradES,
  ParameterRegistry,
  type RegistryEvent,
  type Schedule,
  step,
  type Transformer,
  tensor,
  warmupCosine,
} from '../../src/index.ts';
import type { FragmentDataset } from '../data/fragments.ts';
import { buildModel, type Evaluation, evaluate, WINDOW_BYTES } from './model.ts';

export const TRAINING = {
  batch: 16,
  learningRate: 3e-3,
  /** Share of the schedule over which the learning rate rises; half a cosine follows. */
  warmup: 0.05,
  weightDecay: 0.01,
  maxGradientNorm: 1,
} as const;

/**
 * Above the library's default of 0.3, which freezes little in so short a run: here one is to see what freezing does. In the
 * comparison this setting lost half a point (docs/results/comparison-on-two-cores.md).
 */
const THRESHOLD = 0.45;

/** Steps between two looks at the loss; each is a read-back. */
export const LOG_EVERY = 20;

export type ArmName = 'full' | 'grades';

/** Everything one arm trains with. Both arms start from the same weights and see the same batches. */
export class Trainer {
  readonly model: Transformer;
  readonly registry: ParameterRegistry;
  readonly policy: GradES | null;
  readonly #optimizer: AdamW;
  readonly #schedule: Schedule;
  readonly #device: Device;
  readonly #dataset: FragmentDataset;
  readonly #seed: number;

  constructor(arm: ArmName, device: Device, dataset: FragmentDataset, seed: number, steps: number) {
    const warmup = Math.floor(TRAINING.warmup * steps);
    this.model = buildModel(device, seed, dataset.classes.length);
    this.registry = new ParameterRegistry(this.model);
    this.#optimizer = new AdamW(this.model.parameters(), TRAINING);
    this.#schedule = warmupCosine({ peak: TRAINING.learningRate, steps, warmup });
    const rule = { steps, threshold: THRESHOLD, sampleFrom: Math.max(1, warmup), freezeLeftovers: true };
    this.policy = arm === 'grades' ? new GradES(this.registry, this.#optimizer, rule) : null;
    this.#device = device;
    this.#dataset = dataset;
    this.#seed = seed;
  }

  /** One step of training; the loss is read back only if asked for. */
  async train(s: number, readLoss: boolean): Promise<number | undefined> {
    const device = this.#device;
    const { length: eventsBefore } = this.registry.events;
    let loss: number | undefined;
    await step(async () => {
      const batch = this.#dataset.trainingBatch(this.#seed, s, TRAINING.batch);
      const tokens = tensor(batch.tokens, { device, shape: [TRAINING.batch, WINDOW_BYTES] });
      const labels = tensor(batch.labels, { device });
      this.policy?.beforeStep(s);
      const batchLoss = crossEntropy(this.model.call(tokens), labels);
      backward(batchLoss);
      this.#optimizer.learningRate = this.#schedule(s);
      this.#optimizer.step(batchLoss);
      await this.policy?.afterStep(s);
      if (readLoss) loss = (await this.#optimizer.report()).loss;
    });
    await this.policy?.betweenSteps(s);
    // What the frozen parameters held is free now; given back, reserved memory falls as well.
    if (this.registry.events.length > eventsBefore) device.trim();
    return loss;
  }

  /** Ends training: rethrows what was found of a broken gradient in the last steps. */
  async end(): Promise<void> {
    await this.policy?.end();
    await this.#optimizer.report();
  }

  /** Gives everything back, so that the next arm finds the memory this one found. */
  release(): void {
    this.#optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its arm was over');
    this.#device.trim();
  }
}

export interface ArmOptions {
  arm: ArmName;
  device: Device;
  dataset: FragmentDataset;
  seed: number;
  /** Length of the schedule. */
  steps: number;
  /** After this many operations the model is evaluated once more: what a plain stop there would have reached. */
  evaluateAtFlops?: number;
  /** Ends training after the current step. */
  signal?: AbortSignal;
  /** Called after every step; `loss` is the last one that was read back. */
  onStep?(report: { step: number; loss?: number; milliseconds: number; frozen: number }): void;
  onEvent?(event: RegistryEvent): void;
}

export interface Sample {
  step: number;
  value: number;
}

export interface Arm {
  name: ArmName;
  /** Steps made; fewer than the schedule where every watched matrix was frozen, or Ctrl-C came. */
  steps: number;
  seconds: { train: number; evaluate: number };
  flops: number;
  accuracy: number;
  loss: number;
  peakBytes: number;
  events: readonly RegistryEvent[];
  watched: readonly { name: string; kind: string; block: number | null; samples: Sample[] }[];
  threshold: number | null;
  /** Until this step nothing may freeze. */
  graceSteps: number;
  frozenCount: number;
  losses: readonly Sample[];
  plainStop: (Evaluation & { step: number }) | null;
  interrupted: boolean;
}

/** Trains one arm to the end of the schedule, or until nothing is left to train, and evaluates it. */
export async function trainArm(options: ArmOptions): Promise<Arm> {
  const { arm, device, dataset, seed, steps } = options;
  device.resetPeak();
  const trainer = new Trainer(arm, device, dataset, seed, steps);
  const { model, policy, registry } = trainer;
  registry.onEvent((event) => options.onEvent?.(event));

  const losses: Sample[] = [];
  let plainStop: Arm['plainStop'] = null;
  let milliseconds = 0;
  let flops = 0;
  let s = 0;
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const [start, flopsBefore] = [performance.now(), device.work.flops];
    const result = await work();
    milliseconds += performance.now() - start;
    flops += device.work.flops - flopsBefore;
    return result;
  };

  // Evaluations run on larger batches; the peak that counts is that of training.
  let peakBytes = 0;
  const evaluated = async (): Promise<Evaluation> => {
    peakBytes = Math.max(peakBytes, device.memory().peakBytes);
    const evaluation = await evaluate(model, device, dataset);
    device.resetPeak();
    return evaluation;
  };

  while (s < steps && !policy?.finished && !options.signal?.aborted) {
    s++;
    const before = milliseconds;
    const loss = await timed(() => trainer.train(s, s === 1 || s % LOG_EVERY === 0));
    if (loss !== undefined) losses.push({ step: s, value: loss });
    options.onStep?.({
      step: s,
      loss: losses.at(-1)?.value,
      milliseconds: milliseconds - before,
      frozen: policy?.frozenCount ?? 0,
    });
    if (!plainStop && options.evaluateAtFlops !== undefined && flops >= options.evaluateAtFlops) {
      plainStop = { ...(await evaluated()), step: s };
    }
  }
  await trainer.end();
  await timed(() => device.synchronize());
  const { accuracy, loss, seconds } = await evaluated();
  trainer.release();
  return {
    name: arm,
    steps: s,
    seconds: { train: milliseconds / 1000, evaluate: seconds },
    flops,
    accuracy,
    loss,
    peakBytes,
    events: registry.events,
    watched: policy ? watchedBy(policy) : [],
    threshold: policy?.threshold ?? null,
    graceSteps: (policy?.settings.grace ?? 1) * steps,
    frozenCount: policy?.frozenCount ?? 0,
    losses,
    plainStop,
    interrupted: s < steps && !policy?.finished,
  };
}

function watchedBy(policy: GradES): Arm['watched'] {
  return policy.watched.map(({ name, kind, block }) => {
    const samples = policy.checks.flatMap(({ step: at, values }) => {
      const value = values.get(name);
      return value === undefined ? [] : [{ step: at, value }];
    });
    return { name, kind, block, samples };
  });
}

/** Compiles every pipeline that either arm uses. Nothing of it is left behind. */
export async function warmUp(device: Device, dataset: FragmentDataset): Promise<void> {
  const steps = 10;
  const trainer = new Trainer('grades', device, dataset, 0, steps);
  for (let s = 1; s <= steps && !trainer.policy?.finished; s++) await trainer.train(s, true);
  await trainer.end();
  await evaluate(trainer.model, device, dataset, 1);
  trainer.release();
}
