import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  type OptimizerState,
  type Parameter,
  ParameterRegistry,
  type Policy,
  projectionKinds,
  type Schedule,
  type StateDict,
  step,
  type Transformer,
  tensor,
  warmupCosine,
} from '../../src/index.ts';
import { recordEvery, training } from './protocol.ts';
import type { ArmResult, Operations, Sample } from './results.ts';
import { type Task, windowLength } from './tasks/task.ts';

export interface RunOptions {
  device: Device;
  task: Task;
  seed: number;
  /** Length of the schedule. */
  steps: number;
  learningRate: number;
  /** Where it starts from; frozen parameters of it stay constants. */
  model: Transformer;
  onStep?(): void;
}

/** All that decides how a run goes on. */
export interface Snapshot {
  readonly step: number;
  readonly weights: StateDict;
  readonly optimizer: OptimizerState;
  readonly active: readonly Parameter[];
  readonly operations: Operations;
  readonly losses: readonly Sample[];
  readonly memory: ArmResult['memory'];
}

/** One model in training on one task: it can be advanced, copied and set back. */
export class Run {
  readonly options: RunOptions;
  readonly model: Transformer;
  readonly optimizer: AdamW;
  operations: Operations = { forward: 0, backward: 0, optimizer: 0, validation: 0 };
  losses: Sample[] = [];
  memory: ArmResult['memory'][number][] = [];
  step = 0;
  /**
   * Arms are compared bit for bit, so every arm computes its gradients in halves, whether a rule looks at them or not.
   * Off where an arm's time is taken.
   */
  computesHalvesAlways = true;
  readonly #matrices: readonly Parameter[];
  readonly #schedule: Schedule;

  constructor(options: RunOptions) {
    const { model, steps, learningRate } = options;
    this.options = options;
    this.model = model;
    const trained = model.parameters().filter((parameter) => !parameter.isFrozen);
    const { weightDecay, maxGradientNorm } = training;
    this.optimizer = new AdamW(trained, { learningRate, weightDecay, maxGradientNorm });
    this.#schedule = warmupCosine({ peak: learningRate, steps, warmup: Math.floor(training.warmup * steps) });
    const registry = new ParameterRegistry(model);
    this.#matrices = registry.active(registry.select(projectionKinds)).flatMap(({ parameters }) => parameters);
  }

  get trainingOperations(): number {
    return this.operations.forward + this.operations.backward + this.operations.optimizer;
  }

  get isOver(): boolean {
    return this.step >= this.options.steps;
  }

  /** One step of training, seen by `policies`. */
  async advance(policies: readonly Policy[] = []): Promise<void> {
    const { device, task, seed, steps } = this.options;
    const s = ++this.step;
    await step(async () => {
      const batch = task.trainingBatch(seed, s, training.batch);
      const tokens = tensor(batch.tokens, { device, shape: [training.batch, windowLength] });
      const labels = tensor(batch.labels, { device });
      for (const parameter of this.#matrices) parameter.leaf.splitHalves = this.computesHalvesAlways;
      for (const policy of policies) policy.beforeStep(s);
      const start = device.work.flops;
      const loss = crossEntropy(this.model.call(tokens), labels);
      const afterForward = device.work.flops;
      backward(loss);
      const afterBackward = device.work.flops;
      this.optimizer.learningRate = this.#schedule(s);
      this.optimizer.step(loss);
      this.operations.forward += afterForward - start;
      this.operations.backward += afterBackward - afterForward;
      this.operations.optimizer += device.work.flops - afterBackward;
      for (const policy of policies) await policy.afterStep(s);
      if (s === 1 || s % recordEvery.loss === 0) {
        this.losses.push({ step: s, value: (await this.optimizer.report()).loss });
      }
    });
    for (const policy of policies) await policy.betweenSteps(s);
    this.options.onStep?.();
    if (s === 1 || s % Math.max(1, Math.round(recordEvery.memoryShare * steps)) === 0) {
      device.trim();
      const { liveBytes, reservedBytes } = device.memory();
      this.memory.push({ step: s, live: liveBytes, reserved: reservedBytes });
    }
  }

  async snapshot(): Promise<Snapshot> {
    return {
      step: this.step,
      weights: await this.model.stateDict(),
      optimizer: await this.optimizer.stateDict(),
      active: this.model.parameters().filter((parameter) => !parameter.isFrozen),
      operations: { ...this.operations },
      losses: [...this.losses],
      memory: [...this.memory],
    };
  }

  /** Sets everything back to the snapshot; what froze since trains again. */
  restore(snapshot: Snapshot): void {
    for (const parameter of snapshot.active) parameter.thaw();
    this.model.loadStateDict(snapshot.weights);
    this.optimizer.loadStateDict(snapshot.optimizer);
    this.step = snapshot.step;
    this.operations = { ...snapshot.operations };
    this.losses = [...snapshot.losses];
    this.memory = [...snapshot.memory];
  }

  release(): void {
    this.optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its run was over');
    this.options.device.trim();
  }
}
