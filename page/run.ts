/** One of the two runs: a model, its optimizer and what may freeze it, stepped by the library's own loop. */
import {
  AdamW,
  argmax,
  crossEntropy,
  type Device,
  Graph,
  type GraphSummary,
  noGrad,
  ParameterRegistry,
  projectionKinds,
  Random,
  type RegistryEntry,
  type Saved,
  snapshotWork,
  step,
  type Tensor,
  Training,
  Transformer,
  type TransformerConfig,
  tensor,
  warmupCosine,
  workSince,
} from '../src/index.ts';
import { savedObject } from '../src/nn/saved.ts';
import { drawnGraph, ModulePaths } from './graph.ts';
import type { DrawnGraph, RuleSettings, RunState } from './protocol.ts';
import { makeRule, type Rule } from './rule.ts';
import { type Example, noTarget, type Task } from './tasks.ts';

export const sizes = { width: 32, heads: 4, hidden: 64, blocks: 2 } as const;
const batch = 32;
const peakRate = 3e-3;
const warmupShare = 0.05;
/** Streams of random numbers beside those of the steps, which are numbered from 1. */
const heldOutStream = 2 ** 31;
const heldOutExamples = 64;

export interface RunOptions {
  device: Device;
  task: Task;
  seed: number;
  steps: number;
  /** Null: nothing freezes. */
  rule: RuleSettings | null;
}

export class Run {
  readonly options: RunOptions;
  readonly model: Transformer;
  readonly registry: ParameterRegistry;
  /** What rules watch. */
  readonly matrices: readonly RegistryEntry[];
  readonly rule: Rule | null;
  readonly heldOut: readonly Example[];
  readonly #optimizer: AdamW;
  readonly #training: Training;
  readonly #paths: ModulePaths;
  #summary: GraphSummary | null = null;
  /** Spent in a step on what only the page wants. */
  #looking = 0;
  state: RunState = {
    ...{ step: 0, loss: Number.NaN, accuracy: null, milliseconds: 0, dispatches: 0 },
    ...{ operationsSoFar: 0, nodes: 0, savedBytes: 0, ended: false },
  };

  constructor(options: RunOptions) {
    const { device, task, seed, steps, rule } = options;
    const { vocabulary, head } = task;
    const config: TransformerConfig = { ...sizes, vocabulary, head, causal: head === 'language-model' };
    this.options = options;
    this.model = new Transformer(config, { device, random: new Random(seed) });
    this.registry = new ParameterRegistry(this.model);
    this.matrices = this.registry.select(projectionKinds);
    this.#paths = new ModulePaths(this.model);
    this.#optimizer = new AdamW(this.model.parameters(), { learningRate: peakRate });
    this.rule = rule && makeRule(rule, this.registry, this.matrices, this.#optimizer, steps);
    this.#training = new Training({
      model: this.model,
      optimizer: this.#optimizer,
      steps,
      schedule: warmupCosine({ peak: peakRate, steps, warmup: Math.round(warmupShare * steps) }),
      registry: this.registry,
      policies: this.rule ? [this.rule.policy] : [],
      loss: (at) => this.#watchedLoss(at),
    });
    const random = new Random(seed, heldOutStream);
    this.heldOut = Array.from({ length: heldOutExamples }, () => task.example(random, 'held-out'));
  }

  /** One step, after which `state` is new. */
  async advance(): Promise<void> {
    const before = snapshotWork(this.options.device);
    this.#looking = 0;
    const start = performance.now();
    await this.#training.advance();
    const loss = await this.#training.loss();
    const milliseconds = performance.now() - start - this.#looking;
    const { totalDispatches: dispatches } = workSince(this.options.device, before);
    const { forward, backward, optimizer } = this.#training.operations;
    const operationsSoFar = forward + backward + optimizer;
    this.state = {
      ...{ step: this.#training.step, loss, accuracy: this.state.accuracy, milliseconds, dispatches, operationsSoFar },
      nodes: this.#summary?.nodes ?? 0,
      savedBytes: this.#summary?.savedBytes ?? 0,
      ended: this.#training.finished,
    };
  }

  /** The backward graph that the next step would have. */
  nextGraph(): Promise<DrawnGraph> {
    const at = this.#training.step + 1;
    return step(() => this.#paths.looking(() => drawnGraph(new Graph(this.#loss(at)), this.#paths, at)));
  }

  /** To be called when the run has ended. */
  end(): Promise<void> {
    return this.#training.end();
  }

  /** Measures the accuracy on what is held out. */
  async measureAccuracy(): Promise<void> {
    const answers = await this.answers(this.heldOut.map(({ tokens }) => tokens));
    let [right, all] = [0, 0];
    for (const [i, { targets }] of this.heldOut.entries()) {
      for (const [position, target] of targets.entries()) {
        if (target === noTarget) continue;
        all++;
        if (answers[i][position] === target) right++;
      }
    }
    this.state = { ...this.state, accuracy: right / all };
  }

  /** For each position of each row the token that the model finds likeliest next; of a classifier one class a row. */
  async answers(rows: readonly (readonly number[])[]): Promise<number[][]> {
    const found = await this.looking((tokens) => argmax(this.model.call(tokens), { axis: -1 }), rows);
    const each = found.length / rows.length;
    return rows.map((_, i) => Array.from(found.subarray(i * each, (i + 1) * each)));
  }

  /** Values computed from tokens without a graph, in a step of its own. */
  looking(body: (tokens: Tensor) => Tensor, rows: readonly (readonly number[])[]) {
    return step(() => noGrad(() => body(this.#tensor(rows)).data()));
  }

  /** What the model makes of the first tokens of each row by itself: what follows them, or of a classifier one class a row. */
  async continuations(rows: readonly (readonly number[])[]): Promise<number[][]> {
    const { head, given, length } = this.options.task;
    if (head !== 'language-model') return this.answers(rows);
    // It sees no position to the right, so what stands there does not matter.
    const written = rows.map((row) => row.map((token, i) => (i < given ? token : 0)));
    const found: number[][] = rows.map(() => []);
    for (let position = given - 1; position < length; position++) {
      const answers = await this.answers(written);
      for (const [i, row] of written.entries()) {
        const next = answers[i][position];
        found[i].push(next);
        if (position + 1 < length) row[position + 1] = next;
      }
    }
    return found;
  }

  save(): Promise<Saved> {
    return this.#training.save();
  }

  /**
   * @param saved of a run with the same options, but for the rule's. @param state as it was then. @param keepsRule false where the
   * rule is another: it begins without a past.
   */
  async restore(saved: Saved, state: RunState, keepsRule = true): Promise<void> {
    await this.#training.restore(keepsRule ? saved : { ...savedObject('run', saved), policies: [null] });
    this.state = state;
  }

  /** Gives back everything on the device. */
  release(): void {
    this.#optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its run is over');
  }

  #loss(at: number): Tensor {
    const { task, device, seed } = this.options;
    const random = new Random(seed, at);
    const examples = Array.from({ length: batch }, () => task.example(random, 'training'));
    const targets = examples.map((example) => example.targets);
    const shape = task.head === 'language-model' ? [batch, task.length] : [batch];
    const wanted = tensor(Int32Array.from(targets.flat()), { device, shape });
    return crossEntropy(this.model.call(this.#tensor(examples.map(({ tokens }) => tokens))), wanted);
  }

  #watchedLoss(at: number): Tensor {
    const loss = this.#loss(at);
    const start = performance.now();
    this.#summary = new Graph(loss).summary();
    this.#looking += performance.now() - start;
    return loss;
  }

  #tensor(rows: readonly (readonly number[])[]): Tensor {
    const { device } = this.options;
    return tensor(Int32Array.from(rows.flat()), { device, shape: [rows.length, rows[0].length] });
  }
}
