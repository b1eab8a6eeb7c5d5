/** All arms on one task with one seed: trained one after the other from one model, which goes back to where each begins. */

import { Interrupted } from '../../command/interrupt.ts';
import { earlyStop } from '../../src/grades/rivals/early-stopping.ts';
import type { Decoder, Parameter, Pretrained, Saved } from '../../src/index.ts';
import { stopping } from '../compare/protocol.ts';
import { FineTuning, type Method, prepare, type Settings } from '../language-model/fine-tuning.ts';
import type { Splits } from '../language-model/samples.ts';
import { calibrationStep } from '../paper-rules.ts';
import type { MakePolicy } from '../policy-file.ts';
import { type Given, isWatched, type StudyArm, warmupSteps, watchPaperRules } from './arms.ts';
import type { Calibration, Cost, MethodName, StudyResult } from './results.ts';

export interface StudySettings {
  readonly steps: number;
  readonly batch: number;
  readonly rank: number;
  readonly learningRate: Readonly<Record<MethodName, number>>;
  readonly validationItems: number;
  readonly testItems: number | null;
  readonly prefixBytes: number;
}

export interface CellOptions {
  task: { name: string; splits: Splits };
  method: MethodName;
  seed: number;
  settings: StudySettings;
  /** A fresh model, nothing of which trains yet or all of it. */
  pretrained: Pick<Pretrained, 'model' | 'family'>;
  signal: AbortSignal;
  /** Called after each step of any arm. */
  onStep(arm: string, step: number): void;
}

/** The state of a training, and the seconds that it took until then. */
interface State {
  readonly saved: Saved;
  readonly seconds: number;
}

/** Steps that compile what the first arm needs. */
const warmUpSteps = 3;
/** Steps that a branch leaves ahead of what sets it apart: its rule may compare with the step before. */
const stepsAhead = 3;

export class Cell {
  readonly #options: CellOptions;
  readonly #trained: readonly Parameter[];
  /** Of the run to the end, by step: its beginning, and where branches leave. */
  readonly #states = new Map<number, State>();

  constructor(options: CellOptions) {
    const { pretrained, method, seed, settings } = options;
    const { rank } = settings;
    const whatTrains: Readonly<Record<MethodName, Method>> = {
      lora: { kind: 'lora', rank, alpha: 2 * rank, rankStabilized: false, dropout: 0, targets: null },
      full: { kind: 'full' },
    };
    prepare(pretrained, whatTrains[method], seed);
    this.#options = options;
    this.#trained = pretrained.model.parameters().filter((parameter) => !parameter.isFrozen);
  }

  /** One run to the step where τ of each of the paper's rules is what half of the matrices are below. */
  async calibrate(): Promise<Calibration> {
    const thresholds: Record<string, number> = {};
    const run = await this.#begin('calibration', 0, (context) =>
      watchPaperRules(context, (arm, threshold) => {
        thresholds[arm] = threshold;
      }),
    );
    while (run.step < calibrationStep(this.#options.settings.steps)) await run.advance();
    await run.end();
    return { thresholds };
  }

  /** A training of its own, or a branch of the run to the end. */
  async train(arm: StudyArm, given: Given): Promise<StudyResult> {
    const { steps, prefixBytes } = this.#options.settings;
    const leaves = arm.role === 'branch' ? Math.max(0, Math.floor((arm.leavesAt ?? 0) * steps) - stepsAhead) : 0;
    if (leaves > 0 && !this.#states.has(leaves)) await this.#trunkUntil(leaves);
    const { policy } = arm;
    const run = await this.#begin(arm.name, leaves, (context) => policy?.(context, given) ?? {}, {
      steps: arm.steps?.(steps, given) ?? steps,
      prefixBytes: arm.runsPrefix ? 0 : prefixBytes,
    });
    while (!run.isFinished) await run.advance();
    const result = await run.describe(arm.name);
    await run.end();
    return result;
  }

  /**
   * The run to the end, and on the way each arm that is a point of it.
   *
   * @param wanted each with what the arm that it follows came to.
   * @param onResult called as soon as an arm is known.
   */
  async trunk(
    wanted: readonly (readonly [StudyArm, StudyResult | null])[],
    onResult: (result: StudyResult) => void,
  ): Promise<void> {
    const { steps } = this.#options.settings;
    const every = Math.max(1, Math.round(stopping.every * steps));
    const run = await this.#begin('to-the-end', 0, () => ({}));
    const losses: number[] = [];
    let due = [...wanted];
    while (due.length > 0) {
      await run.advance();
      const validates = due.some(([{ stops }]) => stops === 'early') && run.step % every === 0;
      if (validates) losses.push(await run.validate());
      const reached = due.filter(([{ stops }, followed]) => {
        if (run.step === steps) return true;
        if (stops === 'early') return validates && earlyStop(losses, stopping).stopIndex !== null;
        return stops !== undefined && followed !== null && run.cost[stops] >= followed.cost[stops];
      });
      for (const [{ name, stops }] of reached) onResult(await run.describe(name, stops === 'early'));
      due = due.filter((each) => !reached.includes(each));
    }
    await run.end();
  }

  /** The run to the end as far as a branch shares it. */
  async #trunkUntil(step: number): Promise<void> {
    const known = Math.max(...[...this.#states.keys(), 0].filter((each) => each <= step));
    const run = await this.#begin('to-the-end', known, () => ({}));
    while (run.step < step) await run.advance();
    this.#states.set(step, await run.save());
    await run.end();
  }

  /** Lets the model go. */
  release(): void {
    const { model } = this.#options.pretrained;
    const { device } = model.tokens.table;
    for (const parameter of model.parameters()) parameter.release('its cell is done');
    device.trim();
  }

  async #begin(
    arm: string,
    step: number,
    makePolicy: MakePolicy<Decoder>,
    own: Partial<Pick<Settings, 'steps' | 'prefixBytes'>> = {},
  ): Promise<Run> {
    if (!this.#states.has(0)) {
      const first = this.#fresh('warm-up', () => ({}), {});
      this.#states.set(0, await first.save());
      for (let i = 0; i < warmUpSteps; i++) await first.advance();
      await first.end();
    }
    const state = this.#states.get(step);
    if (!state) throw new Error(`the run to the end was not kept at step ${step}`);
    const run = this.#fresh(arm, makePolicy, own);
    await run.restore(state);
    return run;
  }

  #fresh(arm: string, makePolicy: MakePolicy<Decoder>, own: Partial<Pick<Settings, 'steps' | 'prefixBytes'>>): Run {
    for (const parameter of this.#trained) parameter.thaw();
    return new Run(this.#options, arm, makePolicy, own);
  }
}

/** One of the trainings of a cell. */
class Run {
  readonly #options: CellOptions;
  readonly #arm: string;
  readonly #tuning: FineTuning;
  #seconds = 0;
  readonly #validation = { operations: 0, seconds: 0 };
  #answered: { step: number; loss: number; byLikelihood: readonly boolean[] } | null = null;

  constructor(
    options: CellOptions,
    arm: string,
    makePolicy: MakePolicy<Decoder>,
    own: Partial<Pick<Settings, 'steps' | 'prefixBytes'>>,
  ) {
    const { task, method, seed, settings, pretrained } = options;
    const { batch, learningRate, validationItems, testItems } = settings;
    const steps = own.steps ?? settings.steps;
    this.#options = options;
    this.#arm = arm;
    const whole: Settings = {
      ...{ seed, steps, batch, accumulation: 1, learningRate: learningRate[method], warmup: warmupSteps(steps) },
      ...{ weightDecay: 0.01, maxGradientNorm: 1, policy: arm, threshold: null, grace: null, patience: null },
      ...{ stopSteps: null, stopOperations: null, prefixBytes: own.prefixBytes ?? 0, validateEvery: steps },
      ...{ validationItems, testItems, keepBest: false },
    };
    const logBytes = { get: () => 0, set: () => {} };
    this.#tuning = new FineTuning(pretrained, task.splits, whole, { base: '', folder: '', makePolicy, logBytes });
  }

  get step(): number {
    return this.#tuning.training.step;
  }

  get isFinished(): boolean {
    return this.#tuning.training.finished;
  }

  get cost(): Cost {
    const { operations, training } = this.#tuning;
    return { operations, saved: training.operations.forwardSaved, seconds: this.#seconds };
  }

  async advance(): Promise<void> {
    const { signal, onStep } = this.#options;
    if (signal.aborted) throw new Interrupted('');
    this.#seconds += await this.#timed(() => this.#tuning.advance());
    onStep(this.#arm, this.step);
  }

  async validate(): Promise<number> {
    const { work } = this.#device;
    const before = work.flops;
    let loss = Number.NaN;
    this.#validation.seconds += await this.#timed(async () => {
      loss = await this.#tuning.validate();
    });
    this.#validation.operations += this.#device.work.flops - before;
    return loss;
  }

  /** What it has come to. Training can go on. */
  async describe(arm: string, validates = false): Promise<StudyResult> {
    const { task, method, seed, signal } = this.#options;
    const { training, registry, matrices, settings } = this.#tuning;
    const { cost } = this;
    const savings = this.#tuning.prefixSavings;
    await training.prefix?.close();
    // Several arms may end at the same step.
    if (this.#answered?.step !== this.step) {
      this.#answered = { step: this.step, ...(await this.#tuning.answerTest(signal)) };
    }
    const { loss, byLikelihood } = this.#answered;
    const none = { operations: 0, seconds: 0 };
    return {
      ...{ arm, task: task.name, method, seed, steps: this.step, scheduleSteps: settings.steps },
      ...{ accuracy: byLikelihood.filter(Boolean).length / byLikelihood.length, loss, cost },
      right: byLikelihood.map(Number).join(''),
      validation: validates ? { ...this.#validation } : none,
      freezes: registry.events
        .filter(({ type, name }) => type === 'freeze' && isWatched(registry.get(name)))
        .map(({ name, step }) => ({ name, step })),
      matrices: matrices.length,
      prefix: savings && { block: savings.block, bytes: savings.bytes },
    };
  }

  async save(): Promise<State> {
    return { saved: await this.#tuning.training.save(), seconds: this.#seconds };
  }

  async restore({ saved, seconds }: State): Promise<void> {
    await this.#tuning.training.restore(saved);
    this.#seconds = seconds;
  }

  async end(): Promise<void> {
    const { training } = this.#tuning;
    await training.end();
    training.options.optimizer.release();
    this.#device.trim();
  }

  get #device() {
    return this.#options.pretrained.model.tokens.table.device;
  }

  /** The seconds of the processor on `cpu`, else of the clock. */
  async #timed(work: () => Promise<unknown>): Promise<number> {
    const [started, used] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(used);
    return this.#device.kind === 'cpu' ? (user + system) / 1e6 : (performance.now() - started) / 1000;
  }
}
