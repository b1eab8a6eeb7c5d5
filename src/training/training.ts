/** The one training loop: steps, micro-batches, schedule, policies, and the state of all of it. */
import { backward } from '../autograd/backward.ts';
import { add } from '../autograd/operations/pointwise/pointwise.ts';
import { noGrad } from '../autograd/record.ts';
import type { Policy } from '../grades/policy.ts';
import { ParameterRegistry } from '../grades/registry.ts';
import { Dropout } from '../nn/dropout.ts';
import { Module } from '../nn/module.ts';
import { Optimizer, optimizerStateFrom } from '../nn/optimizer.ts';
import type { Parameter } from '../nn/parameter.ts';
import { type Saved, savedList, savedNumber, savedObject } from '../nn/saved.ts';
import type { Schedule } from '../nn/schedule.ts';
import { stateDictFrom } from '../nn/state-dict.ts';
import type { Device } from '../tensor/device.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { step } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { FrozenPrefix, type FrozenPrefixOptions } from './frozen-prefix.ts';

/** Something whose state decides how training goes on: a random stream, a data loader. */
export interface Stateful {
  state(): Saved | Promise<Saved>;
  restore(saved: Saved): void | Promise<void>;
}

export interface TrainingOptions {
  model: Module<never, unknown>;
  optimizer: Optimizer;
  /** Length of the schedule. */
  steps: number;
  /**
   * The loss of one micro-batch, one element; called inside `step()`. The losses of a step's micro-batches add up, so each is to
   * be divided by what the whole batch holds. Data that are a function of step and micro-batch need no state of their own.
   */
  loss(step: number, microBatch: number): Tensor | Promise<Tensor>;
  microBatches?: number;
  /** Learning rate of each step; by default that of the optimizer stays. */
  schedule?: Schedule;
  /** Where policies freeze; by default one of the model. */
  registry?: ParameterRegistry;
  policies?: readonly Policy[];
  /**
   * Keeps for each sample what leaves the frozen blocks at the bottom of the model, so that later passes begin there. Without
   * dropout below, and with `freezeLeftovers` or adapters, without which the bottom never freezes.
   */
  cacheFrozenPrefix?: FrozenPrefixOptions;
  /**
   * What the weights are that do not train from the start, such as a fingerprint of their file. A checkpoint then leaves them out,
   * and goes with a training of the same base alone.
   */
  base?: string;
  /** Whatever else a checkpoint is to hold, by name. The random streams of `Dropout` layers are found by themselves. */
  state?: Readonly<Record<string, Stateful>>;
}

/** Floating-point operations of all steps so far. */
export interface Operations {
  forward: number;
  backward: number;
  optimizer: number;
  /** Not made, because the forward pass began above blocks that are frozen. */
  forwardSaved: number;
}

/**
 * One training. It can be saved after any step; a training made with the same options goes on from there bit for bit, on the
 * same kind of device: after a kill, on another machine, or as a fork beside the first.
 *
 *     const training = new Training({ model, optimizer, steps, schedule, registry, policies: [policy], loss });
 *     await training.run();
 */
export class Training {
  readonly options: TrainingOptions;
  readonly registry: ParameterRegistry;
  /** Where `cacheFrozenPrefix` is given: what is kept. */
  readonly prefix: FrozenPrefix | null;
  readonly #policies: readonly Policy[];
  readonly #device: Device;
  /** Where `base` is given, the parameters that it stands for. */
  readonly #ofBase: ReadonlySet<Parameter>;
  #operations: Operations = { forward: 0, backward: 0, optimizer: 0, forwardSaved: 0 };
  #step = 0;
  /** Null until step 1 is over; told apart from later losses to say whether anything was learned. */
  #firstLoss: number | null = null;

  /** @throws ArgumentError for options that are unknown, or numbers that are no whole numbers of at least 1. */
  constructor(options: TrainingOptions) {
    checkOptions('Training', options, optionNames, null);
    const {
      steps,
      microBatches = 1,
      optimizer,
      model,
      registry,
      policies = [],
      cacheFrozenPrefix: prefix,
      base,
    } = options;
    if (!(model instanceof Module)) throw new ArgumentError(`Training: model is ${model} (allowed: a Module)`);
    if (!(optimizer instanceof Optimizer))
      throw new ArgumentError(`Training: optimizer is ${optimizer} (allowed: an Optimizer, such as AdamW)`);
    if (typeof options.loss !== 'function')
      throw new ArgumentError(
        `Training: loss is ${options.loss} (allowed: a function of the step that gives the loss)`,
      );
    for (const [name, value] of Object.entries({ steps, microBatches })) {
      if (Number.isInteger(value) && value >= 1) continue;
      throw new ArgumentError(`Training: ${name} ${value} is out of range (allowed: whole numbers of at least 1)`);
    }
    this.options = options;
    this.registry = registry ?? new ParameterRegistry(model);
    this.prefix = prefix ? new FrozenPrefix(model, prefix) : null;
    this.#policies = policies;
    this.#ofBase = new Set(base === undefined ? [] : model.parameters().filter(({ isFrozen }) => isFrozen));
    this.#device = optimizer.parameters[0].device;
  }

  /** Steps made so far. */
  get step(): number {
    return this.#step;
  }

  get operations(): Readonly<Operations> {
    return this.#operations;
  }

  /** True where the schedule is over, or a policy sees no reason to go on. */
  get finished(): boolean {
    return this.#step >= this.options.steps || this.#policies.some(({ finished }) => finished);
  }

  /** One step of training. */
  async advance(): Promise<void> {
    const { optimizer, schedule } = this.options;
    const s = this.#step + 1;
    const { length: eventsBefore } = this.registry.events;
    await step(async () => {
      for (const policy of this.#policies) policy.beforeStep?.(s);
      const loss = await this.#forwardAndBackward(s);
      if (schedule) optimizer.learningRate = schedule(s);
      await this.#counting('optimizer', () => optimizer.step(loss));
      for (const policy of this.#policies) await policy.afterStep?.(s);
    });
    this.#step = s;
    if (s === 1) this.#firstLoss = await this.loss();
    for (const policy of this.#policies) await policy.betweenSteps?.(s);
    // What the frozen parameters held is free now; given back, reserved memory falls as well.
    if (this.registry.events.length > eventsBefore) this.#device.trim();
  }

  /** Loss of the last step. One read-back, which serves `optimizer.report()` too. */
  async loss(): Promise<number> {
    return (await this.options.optimizer.report()).loss;
  }

  /**
   * Trains until the schedule or a policy ends it, or `signal` is aborted, then calls `end`.
   *
   * @param onStep called after every step.
   */
  async run(options: { signal?: AbortSignal; onStep?(training: Training): void | Promise<void> } = {}): Promise<void> {
    checkOptions('Training.run', options, ['signal', 'onStep'], 'onStep');
    const { signal, onStep } = options;
    while (!this.finished && !signal?.aborted) {
      await this.advance();
      await onStep?.(this);
    }
    await this.end();
  }

  /**
   * Ends training. Throws NonFiniteGradientError where a gradient was broken that nobody has been told of yet; warns where a policy
   * ended a run that has learned nothing, such as one that diverged to a flat loss.
   */
  async end(): Promise<void> {
    await this.prefix?.close();
    for (const policy of this.#policies) await policy.end?.();
    const { loss } = await this.options.optimizer.report();
    const [first, { steps }] = [this.#firstLoss, this.options];
    if (first !== null && this.finished && this.#step < steps && !(loss < first)) {
      platform.warn(
        `a policy ended training at step ${this.#step} of ${steps}, at a loss of ${loss.toPrecision(4)}, which is not below that of ` +
          `step 1 (${first.toPrecision(4)}): it may have learned nothing`,
      );
    }
  }

  /** Everything the next steps depend on. Taken between two steps. */
  async save(): Promise<Saved> {
    const { model, optimizer } = this.options;
    const policies: Saved[] = [];
    for (const policy of this.#policies) policies.push((await policy.state?.()) ?? null);
    const others: [string, Saved][] = [];
    for (const [name, each] of this.#stateful()) others.push([name, await each.state()]);
    return {
      step: this.#step,
      firstLoss: this.#firstLoss,
      operations: { ...this.#operations },
      base: this.options.base ?? null,
      model: await model.stateDict(this.#ofBase),
      registry: this.registry.state(),
      optimizer: { ...(await optimizer.stateDict()) },
      learningRate: optimizer.learningRate,
      policies,
      others: Object.fromEntries(others),
    };
  }

  /**
   * Goes on from what `save` gave.
   *
   * @throws FileFormatError or ArgumentError where it is the state of another training.
   */
  async restore(saved: Saved): Promise<void> {
    const what = 'checkpoint';
    const { model, optimizer } = this.options;
    const { step: at, registry, policies, others, learningRate, ...rest } = savedObject(what, saved);
    const base = rest.base ?? null;
    if (base !== (this.options.base ?? null)) {
      throw new ArgumentError(
        `restore: the checkpoint stands on the base ${base}, this training on ${this.options.base}`,
      );
    }
    const ofPolicies = savedList(what, policies);
    if (ofPolicies.length !== this.#policies.length) {
      throw new ArgumentError(
        `restore: the checkpoint has ${ofPolicies.length} policies, this training ${this.#policies.length}`,
      );
    }
    const ofOthers = savedObject(what, others);
    const stateful = this.#stateful();
    const missing = [...stateful.keys()].find((name) => !Object.hasOwn(ofOthers, name));
    if (missing !== undefined) throw new ArgumentError(`restore: the checkpoint has no state of ${missing}`);
    const operations = savedObject(what, rest.operations);
    const [weights, moments] = [stateDictFrom(what, rest.model), optimizerStateFrom(what, rest.optimizer)];
    model.loadStateDict(weights, this.#ofBase);
    this.registry.restore(registry);
    optimizer.loadStateDict(moments);
    optimizer.learningRate = savedNumber(what, learningRate);
    for (const [i, policy] of this.#policies.entries()) {
      if (ofPolicies[i] !== null) await policy.restore?.(ofPolicies[i]);
    }
    for (const [name, each] of stateful) await each.restore(ofOthers[name]);
    this.#step = savedNumber(what, at);
    this.#firstLoss = typeof rest.firstLoss === 'number' ? rest.firstLoss : null;
    this.#operations = {
      forward: savedNumber(what, operations.forward),
      backward: savedNumber(what, operations.backward),
      optimizer: savedNumber(what, operations.optimizer),
      forwardSaved: savedNumber(what, operations.forwardSaved),
    };
    this.#device.trim();
  }

  /** Leaves the gradients of the whole batch, and returns its loss. */
  async #forwardAndBackward(s: number): Promise<Tensor> {
    const { loss, microBatches = 1, steps } = this.options;
    let total: Tensor | null = null;
    for (let microBatch = 0; microBatch < microBatches; microBatch++) {
      const isLast = microBatch + 1 === microBatches;
      const next = isLast ? { step: s + 1, microBatch: 0 } : { step: s, microBatch: microBatch + 1 };
      await this.prefix?.prepare(next.step <= steps ? next : null);
      const savedBefore = this.prefix?.operationsSaved ?? 0;
      const part = await this.#counting('forward', () => loss(s, microBatch));
      this.#operations.forwardSaved += (this.prefix?.operationsSaved ?? 0) - savedBefore;
      await this.#counting('backward', () => backward(part));
      const before: Tensor | null = total;
      total = before === null ? part : noGrad(() => add(before, part));
    }
    if (total === null) throw new ArgumentError('Training: no micro-batch was trained on');
    return total;
  }

  async #counting<T>(part: Exclude<keyof Operations, 'forwardSaved'>, work: () => T | Promise<T>): Promise<T> {
    const before = this.#device.work.flops;
    const result = await work();
    this.#operations[part] += this.#device.work.flops - before;
    return result;
  }

  /** What has a state beside model, optimizer, registry and policies. */
  #stateful(): Map<string, Stateful> {
    const { model, state = {} } = this.options;
    const found = new Map<string, Stateful>(Object.entries(state));
    for (const [path, module] of model.namedModules()) {
      if (module instanceof Dropout) found.set(`dropout of ${path}`, module.random);
    }
    return found;
  }
}

const optionNames: readonly string[] = [
  'model',
  'optimizer',
  'steps',
  'loss',
  'microBatches',
  'schedule',
  'registry',
  'policies',
  'cacheFrozenPrefix',
  'base',
  'state',
] satisfies (keyof TrainingOptions)[];
