/** One training of a model on a task, from its first step, and what is recorded on the way. */

import {
  AdamW,
  crossEntropy,
  type Device,
  ParameterRegistry,
  type Policy,
  projectionKinds,
  Training,
  type TrainingOptions,
  type Transformer,
  tensor,
  warmupCosine,
} from '../../src/index.ts';
import { type Evaluation, evaluate } from '../evaluate.ts';
import type { Sample } from '../report/watched.ts';
import { WatchRecord } from '../watch-record.ts';
import { buildClassifier, type ClassifierSource } from './bases.ts';
import { recordEvery, training } from './protocol.ts';
import type { ArmResult, Operations } from './results.ts';
import { type Task, windowLength } from './tasks/task.ts';

/** What a run starts from. */
export interface TrainingSource {
  device: Device;
  task: Pick<Task, 'name' | 'trainingBatch' | 'validation' | 'test'>;
  seed: number;
  /** Length of the schedule in steps. */
  steps: number;
  learningRate: number;
  /** Called after every step. */
  onStep?(): void;
}

/** A task that is fine-tuned from a base. */
export type RunSource = TrainingSource & ClassifierSource;

export interface RunOptions {
  /** The first weights are multiplied by 1 + this. */
  perturb?: number;
  /**
   * Arms are compared bit for bit, so each computes the gradients of the watched matrices in halves, whether a rule looks at
   * them or not. Off where time is taken.
   */
  inHalves?: boolean;
  /** What else a checkpoint holds. */
  state?: TrainingOptions['state'];
  policies?(run: Run): readonly Policy[];
}

/** What a checkpoint holds of the record, as JSON. */
interface Recorded {
  seconds: Run['seconds'];
  validation: Run['validation'];
  validationOperations: number;
  losses: Sample[];
  memory: Sample[];
  checks: WatchRecord['checks'];
}

export class Run {
  readonly source: TrainingSource;
  readonly model: Transformer;
  readonly optimizer: AdamW;
  readonly registry: ParameterRegistry;
  readonly training: Training;
  /** The evaluations that policies asked for, and what they took. */
  readonly validation: ArmResult['validation'][number][] = [];
  /** What training took so far and what validation did; evaluations that nobody asked the run for are no part of either. */
  readonly seconds = { train: 0, validate: 0 };
  #validationOperations = 0;
  readonly #losses: Sample[] = [];
  readonly #memory: Sample[] = [];
  readonly #watch: WatchRecord;

  constructor(source: TrainingSource, model: Transformer, { inHalves = true, policies, state }: RunOptions = {}) {
    const { device, task, seed, steps, learningRate } = source;
    this.source = source;
    this.model = model;
    const trained = model.parameters().filter((parameter) => !parameter.isFrozen);
    const { weightDecay, maxGradientNorm } = training;
    this.optimizer = new AdamW(trained, { learningRate, weightDecay, maxGradientNorm });
    this.registry = new ParameterRegistry(model);
    if (inHalves) {
      for (const { parameters } of this.registry.active(this.registry.select(projectionKinds))) {
        for (const { leaf } of parameters) leaf.requestHalves();
      }
    }
    const own = policies?.(this) ?? [];
    this.#watch = new WatchRecord(this.registry, own);
    this.training = new Training({
      ...{ model, optimizer: this.optimizer, steps, registry: this.registry, policies: own },
      state: { ...state, run: { state: () => this.#recorded(), restore: (saved) => this.#goOn(String(saved)) } },
      schedule: warmupCosine({ peak: learningRate, steps, warmup: Math.floor(training.warmup * steps), final: 0 }),
      loss: (step) => {
        const batch = task.trainingBatch(seed, step, training.batch);
        const tokens = tensor(batch.tokens, { device, shape: [training.batch, windowLength] });
        return crossEntropy(model.call(tokens), tensor(batch.labels, { device }));
      },
    });
  }

  static async start(source: RunSource, options: RunOptions = {}): Promise<Run> {
    return new Run(source, await buildClassifier(source, options.perturb), options);
  }

  get loss(): number | undefined {
    return this.#losses.at(-1)?.value;
  }

  get operations(): Operations {
    return { ...this.training.operations, validation: this.#validationOperations };
  }

  /**
   * Trains until the schedule or a policy ends it, or until `limit` operations are used. A run that is limited is there to
   * freeze as well, so it does not end before its first freeze.
   */
  async train({
    limit = Number.POSITIVE_INFINITY,
    signal,
    onStep,
  }: {
    limit?: number;
    /** Aborted, it ends after the step under way. */
    signal?: AbortSignal;
    onStep?(): unknown;
  } = {}): Promise<void> {
    const isSpent = () => trainingOperations(this) >= limit && this.registry.events.length > 0;
    while (!this.training.finished && !isSpent() && !signal?.aborted) {
      await this.#timed(() => this.#step());
      this.source.onStep?.();
      await onStep?.();
    }
  }

  /** Keeps what the device holds at some of the steps; call it after each. */
  recordMemory(): void {
    const { device, steps } = this.source;
    const { step } = this.training;
    if (step !== 1 && step % Math.max(1, Math.round(recordEvery.memoryShare * steps)) !== 0) return;
    device.trim();
    this.#memory.push({ step, value: device.memory().liveBytes });
  }

  /** Waits for the device: what is under way on it belongs to the time of the training, what follows does not. */
  async settle(): Promise<void> {
    await this.#timed(() => this.source.device.synchronize());
  }

  /** An evaluation that is part of the run and of its price; its loss. */
  async validate(items: number): Promise<number> {
    const { step, operations: before } = this.training;
    const operations = before.forward + before.backward + before.optimizer;
    const { accuracy, loss, ...cost } = await this.evaluate('validation', items);
    this.#validationOperations += cost.operations;
    this.seconds.validate += cost.seconds;
    this.validation.push({ step, accuracy, loss, operations });
    return loss;
  }

  evaluate(part: 'validation' | 'test', items?: number, batch?: number): Promise<Evaluation> {
    return evaluate(this.model, this.source.device, this.source.task[part], items, batch);
  }

  /** What it came to so far. Training can go on, and is the same for it. */
  async describe(arm: string, length: number, part: 'validation' | 'test' = 'test'): Promise<ArmResult> {
    const { accuracy, loss } = await this.evaluate(part);
    return { ...this.record(arm, length), accuracy, loss };
  }

  /** The same, without looking at an item. */
  record(arm: string, length: number): Omit<ArmResult, 'accuracy' | 'loss'> {
    const { task, seed, steps, learningRate } = this.source;
    return {
      ...{ arm, task: task.name, seed, length, scheduleSteps: steps, steps: this.training.step, learningRate },
      operations: this.operations,
      ...this.#watch.watched,
      losses: [...this.#losses],
      validation: [...this.validation],
      memory: [...this.#memory],
      timing: null,
    };
  }

  /** @throws NonFiniteGradientError where a gradient was broken. */
  async end(): Promise<void> {
    await this.#timed(() => this.training.end());
    await this.settle();
  }

  release(): void {
    this.optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its run was over');
    this.source.device.trim();
  }

  #recorded(): string {
    return JSON.stringify({
      ...{ seconds: this.seconds, validation: this.validation, validationOperations: this.#validationOperations },
      ...{ losses: this.#losses, memory: this.#memory, checks: this.#watch.checks },
    });
  }

  #goOn(saved: string): void {
    const { seconds, validation, validationOperations, losses, memory, checks }: Recorded = JSON.parse(saved);
    Object.assign(this.seconds, seconds);
    this.#validationOperations = validationOperations;
    replace(this.validation, validation);
    replace(this.#losses, losses);
    replace(this.#memory, memory);
    this.#watch.checks = checks;
  }

  /** A step, and its loss where that is recorded. */
  async #step(): Promise<void> {
    await this.training.advance();
    const { step } = this.training;
    if (step === 1 || step % recordEvery.loss === 0) this.#losses.push({ step, value: await this.training.loss() });
  }

  /** Adds the seconds that `work` takes, without those of validations in it. */
  async #timed(work: () => Promise<void>): Promise<void> {
    const [started, validated] = [performance.now(), this.seconds.validate];
    await work();
    this.seconds.train += (performance.now() - started) / 1000 - (this.seconds.validate - validated);
  }
}

function replace<T>(list: T[], by: readonly T[]): void {
  list.splice(0, list.length, ...by);
}

/** Operations without those of validation. */
export function trainingOperations({ operations }: { readonly operations: Operations }): number {
  return operations.forward + operations.backward + operations.optimizer;
}
