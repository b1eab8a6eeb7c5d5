/** One fine-tuning: the training of the library, with what is recorded on the way and kept in its checkpoints. */

import { join } from 'node:path';
import { Interrupted } from '../../command/interrupt.ts';
import {
  AdamW,
  ArgumentError,
  addLoRA,
  type Decoder,
  type Device,
  EarlyStopping,
  GradES,
  isFrozen,
  mul,
  noGrad,
  type Parameter,
  ParameterRegistry,
  type Policy,
  type Pretrained,
  projectionKinds,
  Random,
  type RegistryEntry,
  readCheckpoint,
  step,
  Training,
  tensor,
  warmupCosine,
  writeCheckpoint,
} from '../../src/index.ts';
import { savedNumber, savedObject } from '../../src/nn/saved.ts';
import { stateDictFrom } from '../../src/nn/state-dict.ts';
import { DatasetError } from '../data/files.ts';
import type { MakePolicy } from '../policy-file.ts';
import type { Sample as Point, WatchedRun } from '../report/watched.ts';
import { WatchRecord } from '../watch-record.ts';
import { type Accuracy, accuracyOf, picksOf } from './choice-scores.ts';
import { questionsLogLikelihoods } from './log-likelihood.ts';
import {
  type Batch,
  BatchOrder,
  batchOf,
  byLength,
  ignored,
  type Question,
  type Sample,
  type Splits,
} from './samples.ts';

/** What trains. */
export type Method =
  | {
      readonly kind: 'lora';
      readonly rank: number;
      readonly alpha: number;
      readonly rankStabilized: boolean;
      readonly dropout: number;
      readonly targets: readonly string[] | null;
    }
  | { readonly kind: 'layers'; readonly count: number }
  | { readonly kind: 'full' };

export interface Settings {
  readonly seed: number;
  readonly steps: number;
  /** Samples of a micro-batch. */
  readonly batch: number;
  /** Micro-batches of a step. */
  readonly accumulation: number;
  readonly learningRate: number;
  /** Steps of the warm-up. */
  readonly warmup: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
  /** `none`, `grades`, `early-stopping`, `stop`, or a file. */
  readonly policy: string;
  readonly threshold: number | null;
  readonly grace: number | null;
  readonly patience: number | null;
  readonly stopSteps: number | null;
  readonly stopOperations: number | null;
  /** Bytes of what leaves the frozen blocks that are kept; 0 keeps nothing. */
  readonly prefixBytes: number;
  /** Steps between two validations. */
  readonly validateEvery: number;
  /** How many samples of valid.jsonl they look at. */
  readonly validationItems: number;
  /** How many of test.jsonl are scored; null for all. */
  readonly testItems: number | null;
  readonly keepBest: boolean;
}

export interface Scores {
  /** Mean over the tokens that are learned, in nats. */
  readonly loss: number;
  /** Of multiple choice. */
  readonly acc: Accuracy | null;
  readonly accNorm: Accuracy | null;
}

/** What is recorded. Plain data, so that a checkpoint can hold it. */
interface Recorded {
  seconds: { train: number; evaluate: number };
  losses: Point[];
  validation: Point[];
  /** Tokens without padding, over the seconds of the steps since the last point. */
  speeds: Point[];
  memory: Point[];
  tokens: number;
  peakBytes: number;
  best: Point | null;
  before: Scores | null;
  /** Of what leaves frozen blocks: the most that was kept, and the block that the forward pass last began at. */
  prefix: { bytes: number; block: number };
  /** Operations and positions of the steps before the first freeze. */
  whole: { operations: number; positions: number };
  positions: number;
}

/** What the forward passes saved by beginning above frozen blocks. */
export interface PrefixSavings {
  readonly operations: number;
  /** Of the operations of the forward passes, had they run all blocks. */
  readonly share: number;
  readonly seconds: number;
  /** The most that was kept at once. */
  readonly bytes: number;
  /** Where the last pass began. */
  readonly block: number;
}

/** Of the adapters' first weights and their dropout. */
const adapterStream = 20;
const bestFile = 'best.safetensors';

/** Lets the chosen part of a model train, and nothing else. @throws ArgumentError for targets that are not there, or a rank too large. */
export function prepare({ model, family }: Pick<Pretrained, 'model' | 'family'>, method: Method, seed: number): void {
  if (method.kind === 'lora') {
    const { rank, alpha, rankStabilized, dropout, targets } = method;
    const parameters = model.namedParameters();
    const ofBlocks = family
      .weights(model.config)
      .map(({ name, parameters: paths }) => ({ target: name.split('.').at(-2) ?? '', paths }))
      .filter(({ paths }) => paths.every((path) => path.startsWith('blocks.') && parameters.get(path)?.rank === 2));
    const unknown = targets?.find((name) => !ofBlocks.some(({ target }) => target === name));
    if (unknown !== undefined) {
      const names = [...new Set(ofBlocks.map(({ target }) => target))];
      throw new ArgumentError(`--targets: the model has no matrix ${unknown} (allowed: ${names.join(', ')})`);
    }
    const paths = new Set(ofBlocks.filter(({ target }) => targets?.includes(target)).flatMap((each) => each.paths));
    addLoRA(model, {
      ...{ rank, alpha, rankStabilized, dropout, random: new Random(seed, adapterStream) },
      ...(targets && { target: (path: string) => paths.has(path) }),
    });
  } else {
    const trained = new Set(
      method.kind === 'full'
        ? model.parameters()
        : [...model.blocks.slice(-method.count).flatMap((block) => block.parameters()), ...model.norm.parameters()],
    );
    for (const parameter of model.parameters()) {
      if (trained.has(parameter)) parameter.thaw();
      else parameter.freeze();
    }
  }
}

export class FineTuning {
  readonly settings: Settings;
  readonly model: Decoder;
  readonly training: Training;
  readonly registry: ParameterRegistry;
  /** Those that train at the start and can be watched. */
  readonly matrices: readonly RegistryEntry[];
  readonly trainedCount: number;
  readonly #device: Device;
  readonly #splits: Splits;
  readonly #order: BatchOrder;
  readonly #folder: string;
  readonly #base: ReadonlySet<Parameter>;
  readonly #watch: WatchRecord;
  readonly #validation: readonly Sample[];
  #micro: { step: number; batches: Batch[] } | null = null;
  recorded: Recorded = {
    seconds: { train: 0, evaluate: 0 },
    ...{ losses: [], validation: [], speeds: [], memory: [] },
    ...{ tokens: 0, peakBytes: 0, best: null, before: null, whole: { operations: 0, positions: 0 }, positions: 0 },
    prefix: { bytes: 0, block: 0 },
  };

  /**
   * @param base what the weights are that do not train.
   * @param folder where the best weights lie.
   * @param state what else a checkpoint holds.
   */
  constructor(
    { model }: Pick<Pretrained, 'model'>,
    splits: Splits,
    settings: Settings,
    {
      base,
      folder,
      makePolicy,
      logBytes,
    }: {
      base: string;
      folder: string;
      makePolicy: MakePolicy<Decoder> | null;
      logBytes: { get(): number; set(bytes: number): void };
    },
  ) {
    const { seed, steps, batch, accumulation, learningRate, warmup, weightDecay, maxGradientNorm, prefixBytes } =
      settings;
    this.settings = settings;
    this.model = model;
    this.#device = model.tokens.table.device;
    this.#splits = splits;
    this.#folder = folder;
    this.#order = new BatchOrder(splits.train.samples, batch, seed);
    this.#validation = splits.valid.samples.slice(0, settings.validationItems);
    this.#base = new Set(model.parameters().filter(({ isFrozen }) => isFrozen));
    const trained = model.parameters().filter(({ isFrozen }) => !isFrozen);
    this.trainedCount = trained.reduce((sum, { size }) => sum + size, 0);
    const optimizer = new AdamW(trained, { learningRate, weightDecay, maxGradientNorm });
    this.registry = new ParameterRegistry(model);
    this.matrices = this.registry.active(this.registry.select(projectionKinds));
    const policies: Policy[] = this.#policies(optimizer, makePolicy);
    this.#watch = new WatchRecord(this.registry, policies);
    this.training = new Training({
      ...{ model, optimizer, steps, registry: this.registry, policies, base, microBatches: accumulation },
      schedule: warmupCosine({ peak: learningRate, steps, warmup }),
      ...(prefixBytes > 0 && {
        cacheFrozenPrefix: {
          bytes: prefixBytes,
          samples: (s: number, micro: number) =>
            this.#order.batch((s - 1) * accumulation + micro).map(({ tokens }) => tokens),
        },
      }),
      state: {
        record: {
          state: () => JSON.stringify({ ...this.recorded, checks: this.#watch.checks, logBytes: logBytes.get() }),
          restore: (saved) => {
            const { logBytes: bytes, checks, ...recorded } = JSON.parse(String(saved));
            this.recorded = recorded;
            this.#watch.checks = checks;
            logBytes.set(bytes);
          },
        },
      },
      loss: (s, micro) => {
        const batches = this.#batchesOf(s);
        const learned = batches.reduce((sum, each) => sum + each.learned, 0);
        return mul(this.#lossSum(batches[micro]), 1 / learned);
      },
    });
  }

  get batchesPerEpoch(): number {
    return this.#order.batchesPerEpoch;
  }

  get frozenCount(): number {
    return this.matrices.filter(isFrozen).length;
  }

  /** Of all steps so far. */
  get operations(): number {
    const { forward, backward, optimizer } = this.training.operations;
    return forward + backward + optimizer;
  }

  /**
   * What was not run of the frozen blocks at the bottom; null where nothing is kept of them. The seconds are reckoned: as if what was
   * not run had been as fast as what was.
   */
  get prefixSavings(): PrefixSavings | null {
    if (!this.training.prefix) return null;
    const { forwardSaved: operations, forward } = this.training.operations;
    const { prefix, seconds } = this.recorded;
    const share = forward === 0 ? 0 : operations / (forward + operations);
    return { ...prefix, operations, share, seconds: (operations / Math.max(1, this.operations)) * seconds.train };
  }

  /** One step, with what is recorded of it. Returns its tokens, without padding, and seconds. */
  async advance(): Promise<{ tokens: number; seconds: number }> {
    const { training, recorded } = this;
    const [operations, evaluated, started] = [this.operations, recorded.seconds.evaluate, performance.now()];
    const hadFrozen = this.registry.events.length > 0;
    await training.advance();
    const isRecorded = training.step === 1 || training.step % this.#recordEvery === 0;
    if (isRecorded) recorded.losses.push({ step: training.step, value: await training.loss() });
    else await this.#device.synchronize();
    const seconds = (performance.now() - started) / 1000 - (recorded.seconds.evaluate - evaluated);
    const batches = this.#batchesOf(training.step);
    const positions = batches.reduce((sum, { rows, time }) => sum + rows.length * time, 0);
    const tokens = batches.reduce((sum, { lengths }) => sum + lengths.reduce((a, b) => a + b, 0), 0);
    recorded.seconds.train += seconds;
    if (training.prefix) {
      const { memoryBytes, diskBytes } = training.prefix.kept;
      const bytes = Math.max(recorded.prefix.bytes, memoryBytes + diskBytes);
      recorded.prefix = { bytes, block: training.prefix.block };
    }
    recorded.tokens += tokens;
    recorded.positions += positions;
    if (!hadFrozen) {
      recorded.whole.operations += this.operations - operations;
      recorded.whole.positions += positions;
    }
    if (isRecorded) {
      const { liveBytes, peakBytes } = this.#device.memory();
      recorded.memory.push({ step: training.step, value: liveBytes });
      recorded.speeds.push({ step: training.step, value: tokens / seconds });
      recorded.peakBytes = Math.max(recorded.peakBytes, peakBytes);
    }
    return { tokens, seconds };
  }

  /** Steps between two recorded losses. */
  get #recordEvery(): number {
    return Math.max(1, Math.floor(this.settings.steps / 200));
  }

  /** The mean loss over a part of valid.jsonl. The best weights so far are kept, if that was asked for. */
  async validate(signal?: AbortSignal): Promise<number> {
    const { step: at } = this.training;
    const known = this.recorded.validation.find((each) => each.step === at);
    if (known) return known.value;
    const value = await this.#timed(() => this.#meanLoss(this.#validation, signal));
    this.recorded.validation.push({ step: at, value });
    if (this.recorded.best === null || value < this.recorded.best.value) {
      this.recorded.best = { step: at, value };
      if (this.settings.keepBest) {
        const weights = await this.model.stateDict(this.#base);
        await writeCheckpoint(join(this.#folder, bestFile), { step: at, weights });
      }
    }
    return value;
  }

  /** Brings the weights of the best validation back. */
  async returnToBest(): Promise<void> {
    const path = join(this.#folder, bestFile);
    const { step: at, weights } = savedObject(path, await readCheckpoint(path));
    if (savedNumber(path, at) !== this.recorded.best?.step) {
      throw new DatasetError(`${path} holds step ${at}, the best one was ${this.recorded.best?.step}`);
    }
    this.model.loadStateDict(stateDictFrom(path, weights), this.#base);
  }

  /** Loss on test.jsonl, and accuracy where it holds questions. @throws {Interrupted} where `signal` is aborted. */
  scoreTest(signal: AbortSignal, onItem?: (done: number, total: number) => void): Promise<Scores> {
    const { samples, questions } = this.#splits.test;
    return this.#timed(async () => {
      const count = this.settings.testItems ?? Number.POSITIVE_INFINITY;
      if (questions.length === 0) {
        return { loss: await this.#meanLoss(samples.slice(0, count), signal), acc: null, accNorm: null };
      }
      const { loss, byLikelihood, byCharacter } = await this.#answer(questions.slice(0, count), signal, onItem);
      return { loss, acc: accuracyOf(byLikelihood), accNorm: accuracyOf(byCharacter) };
    });
  }

  /** Which questions of test.jsonl are answered rightly by likelihood, and the mean loss over the tokens of the right choices. */
  answerTest(signal: AbortSignal): Promise<{ loss: number; byLikelihood: boolean[] }> {
    return this.#timed(() =>
      this.#answer(this.#splits.test.questions.slice(0, this.settings.testItems ?? undefined), signal),
    );
  }

  async #answer(
    questions: readonly Question[],
    signal: AbortSignal,
    onItem: (done: number, total: number) => void = () => {},
  ) {
    const likelihoods = await questionsLogLikelihoods(
      this.model,
      questions.map(({ tokens }) => tokens),
      (done) => {
        throwIfAborted(signal);
        onItem(done, questions.length);
      },
    );
    const picks = questions.map(({ choices }, i) => picksOf(choices, likelihoods[i]));
    const learned = questions.map(({ tokens, answer }) =>
      tokens.length === 1 ? tokens[0].continuations[answer].length : tokens[answer].continuations[0].length,
    );
    return {
      loss: -sumOf(questions.map(({ answer }, i) => likelihoods[i][answer])) / sumOf(learned),
      byLikelihood: questions.map(({ answer }, i) => picks[i].byLikelihood === answer),
      byCharacter: questions.map(({ answer }, i) => picks[i].byCharacter === answer),
    };
  }

  /** In the form that the pictures draw. */
  watched(): WatchedRun & { grace: number | null } {
    const { steps: scheduleSteps } = this.settings;
    const { rule, watched } = this.#watch;
    const grace = rule instanceof GradES ? rule.settings.grace * scheduleSteps : null;
    return { scheduleSteps, steps: this.training.step, ...watched, grace };
  }

  /** What this run saved by freezing: its positions at the operations of a position before the first freeze, less its own. */
  operationsSaved(): number {
    const { whole, positions } = this.recorded;
    if (this.registry.events.length === 0 || whole.positions === 0) return 0;
    return (whole.operations / whole.positions) * positions - this.operations;
  }

  #policies(optimizer: AdamW, makePolicy: MakePolicy<Decoder> | null): Policy[] {
    const { settings, registry, model } = this;
    const { steps, seed, policy, threshold, grace, patience, warmup, stopSteps, stopOperations, prefixBytes } =
      settings;
    if (makePolicy) return [makePolicy({ registry, optimizer, model, steps, seed, device: this.#device })];
    if (policy === 'grades') {
      const options = { steps, sampleFrom: Math.max(1, warmup), freezeLeftovers: true, fromBelow: prefixBytes > 0 };
      return [
        new GradES(registry, optimizer, {
          ...options,
          threshold: threshold ?? undefined,
          grace: grace ?? undefined,
          patience: patience ?? undefined,
        }),
      ];
    }
    if (policy === 'early-stopping') {
      return [new EarlyStopping({ steps, every: settings.validateEvery / steps, validate: () => this.validate() })];
    }
    if (policy !== 'stop') return [];
    const isOver = () =>
      this.training.step >= (stopSteps ?? Number.POSITIVE_INFINITY) ||
      this.operations >= (stopOperations ?? Number.POSITIVE_INFINITY);
    return [
      {
        get finished() {
          return isOver();
        },
      },
    ];
  }

  #batchesOf(s: number): Batch[] {
    if (this.#micro?.step !== s) {
      const { accumulation } = this.settings;
      const numbers = Array.from({ length: accumulation }, (_, micro) => (s - 1) * accumulation + micro);
      this.#micro = { step: s, batches: numbers.map((number) => batchOf(this.#order.batch(number))) };
    }
    return this.#micro.batches;
  }

  #lossSum({ rows, time, tokens, targets, lengths }: Batch) {
    const device = this.#device;
    const shape = [rows.length, time];
    return this.model.loss(tensor(tokens, { device, shape }), tensor(targets, { device, shape }), {
      ...{ lengths: tensor(lengths, { device }), reduction: 'sum', ignoreIndex: ignored },
    });
  }

  /** Leaves nothing behind and draws nothing from any random stream. */
  async #meanLoss(samples: readonly Sample[], signal?: AbortSignal): Promise<number> {
    let [sum, learned] = [0, 0];
    this.model.eval();
    try {
      for (const rows of byLength(samples, this.settings.batch)) {
        throwIfAborted(signal);
        const batch = batchOf(rows);
        sum += await step(() => noGrad(() => this.#lossSum(batch).item()));
        learned += batch.learned;
      }
    } finally {
      this.model.train();
    }
    return sum / learned;
  }

  async #timed<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.recorded.seconds.evaluate += (performance.now() - started) / 1000;
    }
  }
}

function sumOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function throwIfAborted(signal?: AbortSignal): void {
  if (signal?.aborted) throw new Interrupted('An evaluation was under way, and is made again.');
}
