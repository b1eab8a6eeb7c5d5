import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  GradES,
  type GradESOptions,
  ParameterRegistry,
  Random,
  type StateDict,
  step,
  Transformer,
  tensor,
} from '../../src/index.ts';
import { batch, type Case, initialWeights, type Matrix, workload } from './workload.ts';

/** The parameters that a case freezes. */
const frozenNames: Record<Case, RegExp | null> = {
  none: null,
  early: /^(tokens|positions|blocks\.0)\./,
  late: /^(blocks\.1|norm|head)\./,
  most: /^(tokens|positions|blocks\.0)\.|^blocks\.1\.(attention|feedForwardNorm|feedForward\.up)/,
};

/** The GPT of the benchmark in frostgrad. Query, key and value are matrices of their own; the peers fuse them. */
export class Gpt {
  readonly model: Transformer;
  readonly #device: Device;
  readonly #optimizer: AdamW;
  readonly #batch = batch();
  #policy: GradES | null = null;
  #steps = 0;

  constructor(device: Device) {
    const { vocabulary, width, heads, hidden, blocks, time, learningRate, betas, epsilon } = workload;
    this.#device = device;
    this.model = new Transformer(
      {
        vocabulary,
        width,
        heads,
        hidden,
        blocks,
        head: 'language-model',
        causal: true,
        normalization: 'layer',
        positions: { learned: time },
        feedForward: 'relu',
      },
      { device, random: new Random(1) },
    );
    this.model.loadStateDict(sharedWeights());
    this.#optimizer = new AdamW(this.model.parameters(), { learningRate, betas, epsilon });
  }

  /** Has the rule look at every step from the next on. */
  watch(options: GradESOptions): void {
    this.#policy = new GradES(new ParameterRegistry(this.model), this.#optimizer, options);
  }

  /** One training step, up to the loss on the host. */
  async step(): Promise<number> {
    return this.#step(async () => (await this.#optimizer.report()).loss);
  }

  /** Trains until the next step is one in which the rule looks. */
  async stepUntilCheck(): Promise<void> {
    const { interval = 1, sampleFrom = 1 } = this.#policy?.settings ?? {};
    while ((this.#steps + 1 - sampleFrom) % interval !== 0) await this.step();
  }

  /** One training step that reads nothing back. */
  async stepWithoutLoss(): Promise<void> {
    return this.#step(async () => {});
  }

  /** A step that reads its loss, with the time at which each part of recording it was over. */
  async stepInPhases(): Promise<{ started: number; forward: number; backward: number; update: number }> {
    const times = { started: performance.now(), forward: 0, backward: 0, update: 0 };
    await this.#step(
      async () => (await this.#optimizer.report()).loss,
      (phase) => {
        times[phase] = performance.now();
      },
    );
    return times;
  }

  async #step<T>(
    read: () => Promise<T>,
    onPhase: (phase: 'forward' | 'backward' | 'update') => void = () => {},
  ): Promise<T> {
    const device = this.#device;
    const s = ++this.#steps;
    const policy = this.#policy;
    return step(async () => {
      policy?.beforeStep(s);
      const tokens = tensor(this.#batch.tokens, { device, shape: [workload.batch, workload.time] });
      const targets = tensor(this.#batch.targets, { device, shape: [workload.batch, workload.time] });
      const loss = crossEntropy(this.model.call(tokens), targets);
      onPhase('forward');
      backward(loss);
      onPhase('backward');
      this.#optimizer.step(loss);
      onPhase('update');
      await policy?.afterStep(s);
      return read();
    });
  }

  freeze(part: Case): void {
    for (const [name, parameter] of this.model.namedParameters()) {
      if (frozenNames[part]?.test(name)) parameter.freeze();
    }
  }

  release(): void {
    this.#optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its measurement was over');
  }
}

/** The weights that all implementations start from, by our names. */
function sharedWeights(): StateDict {
  const { width } = workload;
  const { tokens, positions, head, blocks } = initialWeights();
  const gain = () => ({ shape: [width], data: new Float32Array(width).fill(1) });
  const state: StateDict = {
    'tokens.table': tokens,
    'positions.table': positions,
    'norm.gain': gain(),
    'head.weight': head,
  };
  blocks.forEach(({ queryKeyValue, output, up, down }, i) => {
    const [query, key, value] = [0, 1, 2].map((third) => columns(queryKeyValue, third * width, width));
    Object.assign(state, {
      [`blocks.${i}.attentionNorm.gain`]: gain(),
      [`blocks.${i}.attention.query.weight`]: query,
      [`blocks.${i}.attention.key.weight`]: key,
      [`blocks.${i}.attention.value.weight`]: value,
      [`blocks.${i}.attention.output.weight`]: output,
      [`blocks.${i}.feedForwardNorm.gain`]: gain(),
      [`blocks.${i}.feedForward.up.weight`]: up,
      [`blocks.${i}.feedForward.down.weight`]: down,
    });
  });
  return state;
}

function columns({ shape: [rows, width], data }: Matrix, first: number, count: number): Matrix {
  const cut = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    cut.set(data.subarray(row * width + first, row * width + first + count), row * count);
  }
  return { shape: [rows, count], data: cut };
}
