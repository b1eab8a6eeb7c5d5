/** Tiny models and their training, for the suites of nn and grades. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  AdamW,
  type AdamWOptions,
  backward,
  crossEntropy,
  type Device,
  type DType,
  type Parameter,
  ParameterRegistry,
  type Policy,
  Random,
  snapshotWork,
  step,
  type Tensor,
  Transformer,
  type TransformerConfig,
  tensor,
  type WorkReport,
  workSince,
} from '../../src/index.ts';

export const tinyConfig = {
  vocabulary: 11,
  width: 8,
  heads: 2,
  hidden: 12,
  blocks: 2,
  head: 'language-model',
} as const satisfies TransformerConfig;

export const BATCH = 4;
export const TIME = 6;

const cleanUps: (() => void)[] = [];

/** Gives back what the test made; for `afterEach`, so that no collected garbage changes the memory of a later test. */
export function releaseMade(): void {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
}

export function releaseLater<T extends { release(): void }>(held: T): T {
  cleanUps.push(() => held.release());
  return held;
}

export interface TinyOptions extends Partial<TransformerConfig> {
  seed?: number;
  dtype?: DType;
}

export function tinyModel(device: Device, { seed = 1, dtype, ...config }: TinyOptions = {}): Transformer {
  const model = new Transformer({ ...tinyConfig, ...config }, { device, dtype, random: new Random(seed) });
  for (const parameter of model.parameters()) releaseLater(parameter);
  return model;
}

/** Random tokens; the target of each is the token that follows it in the vocabulary. A function of `s` alone. */
export function tinyBatch(
  device: Device,
  s: number,
  { batch = BATCH, vocabulary = tinyConfig.vocabulary }: { batch?: number; vocabulary?: number } = {},
): { tokens: Tensor; targets: Tensor } {
  const random = new Random(s, 7);
  const values = Int32Array.from({ length: batch * TIME }, () => random.integer(vocabulary));
  const shape = [batch, TIME];
  return {
    tokens: tensor(values, { device, shape }),
    targets: tensor(
      values.map((value) => (value + 1) % vocabulary),
      { device, shape },
    ),
  };
}

export interface StepOptions {
  policy?: Policy;
  batch?: number;
  afterForward?: (loss: Tensor) => void;
  afterBackward?: () => void;
}

/** A tiny transformer and everything it trains with. */
export class Training {
  readonly device: Device;
  readonly model: Transformer;
  readonly registry: ParameterRegistry;
  readonly optimizer: AdamW;
  /** Loss of the last step that was asked for its loss. */
  readonly losses: number[] = [];

  constructor(device: Device, options: { model?: TinyOptions; optimizer?: Partial<AdamWOptions> } = {}) {
    this.device = device;
    this.model = tinyModel(device, options.model);
    this.registry = new ParameterRegistry(this.model);
    this.optimizer = releaseLater(
      new AdamW(this.model.parameters(), {
        learningRate: 0.01,
        weightDecay: 0.1,
        maxGradientNorm: 0.5,
        ...options.optimizer,
      }),
    );
  }

  parameter(name: string): Parameter {
    return this.registry.get(name).parameters[0];
  }

  freeze(...names: string[]): void {
    for (const name of names) this.registry.freeze(this.registry.get(name), { step: 0, reason: 'test' });
  }

  /** The loss of batch `s`; call it inside a step. */
  loss(s: number, batch = BATCH): Tensor {
    const { vocabulary } = this.model.config;
    const { tokens, targets } = tinyBatch(this.device, s, { batch, vocabulary });
    return crossEntropy(this.model.call(tokens), targets);
  }

  /** One step, and what it dispatched. */
  async step(s: number, { policy, batch, afterForward, afterBackward }: StepOptions = {}): Promise<WorkReport> {
    const before = snapshotWork(this.device);
    await step(async () => {
      policy?.beforeStep?.(s);
      const loss = this.loss(s, batch);
      afterForward?.(loss);
      backward(loss);
      afterBackward?.();
      this.optimizer.step(loss);
      await policy?.afterStep?.(s);
    });
    await policy?.betweenSteps?.(s);
    return workSince(this.device, before);
  }

  async steps(from: number, to: number, options: StepOptions = {}): Promise<void> {
    for (let s = from; s <= to; s++) {
      await this.step(s, options);
      this.losses.push((await this.optimizer.report()).loss);
    }
  }

  /** All weights by name, bit for bit. */
  async weights(): Promise<Record<string, number[]>> {
    const state = await this.model.stateDict();
    return Object.fromEntries(Object.entries(state).map(([name, { data }]) => [name, Array.from(data)]));
  }
}

/** Lets finalizers of earlier tests run now, not in the middle of a measurement. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') return;
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

export function count(work: WorkReport, kernel: string): number {
  return work.dispatches.get(kernel) ?? 0;
}

/** All elements of several tensors as numbers. */
export async function valuesOf(...tensors: readonly Tensor[]): Promise<number[][]> {
  const all: number[][] = [];
  for (const each of tensors) all.push(Array.from(await each.data()));
  return all;
}
