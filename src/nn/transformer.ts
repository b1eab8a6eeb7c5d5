/** The transformer and its parts. */
import { checkpoint } from '../autograd/checkpoint.ts';
import { attention } from '../autograd/operations/attention/attention.ts';
import { cast } from '../autograd/operations/cast.ts';
import { add, gelu, mul, swiglu } from '../autograd/operations/pointwise/pointwise.ts';
import { mean, sum } from '../autograd/operations/reduction/reduction.ts';
import { rotary } from '../autograd/operations/rotary.ts';
import { reshape, slice } from '../autograd/operations/views.ts';
import { checkTensors } from '../autograd/record.ts';
import { checkDType, defaultDevice, tensor } from '../tensor/create.ts';
import { computeDType } from '../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { BlockModel, Prefix } from './block-model.ts';
import { Embedding } from './embedding.ts';
import { Linear } from './linear.ts';
import { type BuildOptions, besideMatrices, Module } from './module.ts';
import { LayerNorm, RMSNorm } from './normalization.ts';

export interface TransformerConfig {
  /** Number of distinct tokens. */
  vocabulary: number;
  /** Length of the vector that stands for a token, D. */
  width: number;
  /** Attention heads; they share the width equally. */
  heads: number;
  /** Width inside the feed-forward part. */
  hidden: number;
  blocks: number;
  /** `language-model`: logits over the vocabulary at each position. A number: logits over that many classes. */
  head: 'language-model' | { classes: number };
  /** Whether a position sees only itself and those before it. */
  causal?: boolean;
  normalization?: 'rms' | 'layer';
  /** Rotary angles in every attention, or a learned vector a position (which then bounds the length). */
  positions?: 'rotary' | { learned: number };
  feedForward?: 'swiglu' | 'relu' | 'gelu';
  /** Standard deviation of the initial embeddings. */
  embeddingDeviation?: number;
  /**
   * How the values between the layers are stored, and with them what the backward pass keeps of them; f32 by default (the
   * dtype of the parameters). With f16 they take half the memory. Parameters, gradients and everything summed stay in f32.
   */
  activations?: 'f16';
}

const configNames = [
  'vocabulary',
  'width',
  'heads',
  'hidden',
  'blocks',
  'head',
  'causal',
  'normalization',
  'positions',
  'feedForward',
  'embeddingDeviation',
  'activations',
] as const satisfies readonly (keyof TransformerConfig)[];

/** What an option may be that is one of a few words. */
const choices: Readonly<Record<string, readonly string[]>> = {
  normalization: ['rms', 'layer'],
  feedForward: ['swiglu', 'relu', 'gelu'],
  activations: ['f16'],
};

type FeedForwardSizes = Pick<TransformerConfig, 'width' | 'hidden'>;
type Lengths = Tensor | null;
/** What a block adds to the output of its part; null for nothing. */
type Residual = Tensor | null;

/**
 * Self-attention of several heads (Vaswani et al., arXiv 1706.03762): (batch, time, width) → the same. Query, key,
 * value and output are four matrices of their own, so that each can converge and freeze at its own time. A residual is added
 * in the last product.
 */
export class Attention extends Module<[Tensor, Lengths?, Residual?]> {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly heads: number;
  readonly causal: boolean;
  readonly useRotary: boolean;

  constructor(config: TransformerConfig, options: BuildOptions) {
    super();
    const { width, heads, causal = true, positions = 'rotary' } = config;
    this.query = new Linear(width, width, { ...options, kind: 'query' });
    this.key = new Linear(width, width, { ...options, kind: 'key' });
    this.value = new Linear(width, width, { ...options, kind: 'value' });
    this.output = new Linear(width, width, { ...options, kind: 'output' });
    this.heads = heads;
    this.causal = causal;
    this.useRotary = positions === 'rotary';
  }

  forward(x: Tensor, lengths: Lengths = null, residual: Residual = null): Tensor {
    const [batch, time, width] = x.shape;
    const byHead = (projected: Tensor) => reshape(projected, [batch, time, this.heads, width / this.heads]);
    const turn = (projected: Tensor) => (this.useRotary ? rotary(byHead(projected)) : byHead(projected));
    const query = turn(this.query.call(x));
    const key = turn(this.key.call(x));
    const value = byHead(this.value.call(x));
    const mixed = attention(query, key, value, { causal: this.causal, lengths });
    return this.output.call(reshape(mixed, [batch, time, width]), { residual });
  }
}

/** The gated feed-forward part (Shazeer, arXiv 2002.05202): down( silu(gate x) · up x ), plus a residual. */
export class SwiGLU extends Module<[Tensor, Residual?]> {
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;

  constructor({ width, hidden }: FeedForwardSizes, options: BuildOptions & { bias?: boolean }) {
    super();
    this.gate = new Linear(width, hidden, { ...options, kind: 'gate' });
    this.up = new Linear(width, hidden, { ...options, kind: 'up' });
    this.down = new Linear(hidden, width, { ...options, kind: 'down' });
  }

  forward(x: Tensor, residual: Residual = null): Tensor {
    return this.down.call(swiglu(this.gate.call(x), this.up.call(x)), { residual });
  }
}

/** The plain feed-forward part: down( activation(up x) ), plus a residual. */
export class FeedForward extends Module<[Tensor, Residual?]> {
  readonly up: Linear;
  readonly down: Linear;
  readonly activation: 'relu' | 'gelu';

  constructor(
    { width, hidden, feedForward }: FeedForwardSizes & Pick<TransformerConfig, 'feedForward'>,
    options: BuildOptions & { bias?: boolean },
  ) {
    super();
    this.up = new Linear(width, hidden, { ...options, kind: 'up' });
    this.down = new Linear(hidden, width, { ...options, kind: 'down' });
    this.activation = feedForward === 'gelu' ? 'gelu' : 'relu';
  }

  forward(x: Tensor, residual: Residual = null): Tensor {
    const hidden =
      this.activation === 'gelu' ? gelu(this.up.call(x)) : this.up.call(x, { activation: this.activation });
    return this.down.call(hidden, { residual });
  }
}

/** x + attention(norm x), then x + feedForward(norm x): (batch, time, width) → the same. */
export class Block extends Module<[Tensor, Lengths?]> {
  readonly attentionNorm: RMSNorm | LayerNorm;
  readonly attention: Attention;
  readonly feedForwardNorm: RMSNorm | LayerNorm;
  readonly feedForward: SwiGLU | FeedForward;

  constructor(config: TransformerConfig, options: BuildOptions) {
    super();
    this.attentionNorm = normFor(config, options);
    this.attention = new Attention(config, options);
    this.feedForwardNorm = normFor(config, options);
    this.feedForward =
      (config.feedForward ?? 'swiglu') === 'swiglu' ? new SwiGLU(config, options) : new FeedForward(config, options);
  }

  forward(x: Tensor, lengths: Lengths = null): Tensor {
    const attended = this.attention.call(this.attentionNorm.call(x), lengths, x);
    return this.feedForward.call(this.feedForwardNorm.call(attended), attended);
  }
}

/**
 * A decoder-style transformer: i32 tokens (batch, time) → logits, (batch, time, vocabulary) for a language model or
 * (batch, classes) for a classifier, which averages over the positions.
 *
 * @param lengths i32 (batch): how many tokens of each row count; keys beyond are not seen.
 */
export class Transformer extends Module<[Tensor, Lengths?]> implements BlockModel {
  readonly config: TransformerConfig;
  readonly tokens: Embedding;
  readonly positions: Embedding | null;
  readonly blocks: Block[];
  readonly norm: RMSNorm | LayerNorm;
  readonly head: Linear;
  prefix: Prefix | null = null;
  /** Whether each block keeps its input alone for the backward pass, which computes the rest again: see `checkpoint`. */
  checkpointBlocks = false;

  constructor(config: TransformerConfig, options: BuildOptions) {
    super();
    checkOptions('Transformer', config, configNames, null);
    const { vocabulary, width, heads, hidden, blocks, embeddingDeviation: deviation = 1 } = config;
    for (const [name, allowed] of Object.entries(choices)) {
      const value: unknown = Reflect.get(config, name);
      if (value === undefined || allowed.includes(String(value))) continue;
      throw new ArgumentError(`Transformer: ${name} is ${String(value)} (allowed: ${allowed.join(', ')})`);
    }
    const { positions = 'rotary', head } = config;
    if (positions !== 'rotary' && typeof positions !== 'object') {
      throw new ArgumentError(`Transformer: positions are ${positions} (allowed: 'rotary', or { learned })`);
    }
    const learned = positions === 'rotary' ? {} : positions;
    if (head !== 'language-model' && typeof head !== 'object') {
      throw new ArgumentError(`Transformer: head is ${head} (allowed: 'language-model', or { classes })`);
    }
    const classes = head === 'language-model' ? {} : head;
    for (const [name, value] of Object.entries({ vocabulary, width, heads, hidden, blocks, ...learned, ...classes })) {
      if (Number.isInteger(value) && value > 0) continue;
      throw new ArgumentError(`Transformer: ${name} ${value} must be a whole number of at least 1`);
    }
    if (width % heads !== 0 || (positions === 'rotary' && (width / heads) % 2 !== 0)) {
      const parity = positions === 'rotary' ? ', and the share must be even for rotary positions' : '';
      throw new ArgumentError(`Transformer: width ${width} must divide equally among ${heads} heads${parity}`);
    }
    if (config.activations) checkDType('Transformer', options.device ?? defaultDevice(), config.activations);
    this.config = config;
    this.tokens = new Embedding(vocabulary, width, { ...options, deviation });
    this.positions =
      positions === 'rotary'
        ? null
        : new Embedding(positions.learned, width, { ...besideMatrices(options), deviation });
    this.blocks = Array.from({ length: blocks }, () => new Block(config, options));
    this.norm = normFor(config, options);
    const outputs = head === 'language-model' ? vocabulary : head.classes;
    this.head = new Linear(width, outputs, { ...options, kind: 'head' });
  }

  forward(tokens: Tensor, lengths: Lengths = null): Tensor {
    checkTensors('Transformer', [tokens]);
    if (tokens.rank !== 2) {
      throw new ShapeError(`Transformer: tokens ${formatShape(tokens.shape)} must have shape (batch, time)`);
    }
    const { block, hidden } = this.prefix?.enter(tokens, lengths) ?? { block: 0, hidden: this.embed(tokens) };
    const normalized = this.norm.call(this.through(hidden, lengths, block));
    return this.head.call(this.config.head === 'language-model' ? normalized : meanOverTime(normalized, lengths));
  }

  embed(tokens: Tensor): Tensor {
    let x = this.tokens.call(tokens);
    if (this.positions) x = add(x, this.#learnedPositions(this.positions, tokens.shape[1]));
    return this.config.activations ? cast(x, this.config.activations) : x;
  }

  through(x: Tensor, lengths: Lengths, from = 0, to = this.blocks.length): Tensor {
    return this.blocks.slice(from, to).reduce((hidden, block) => {
      if (!this.checkpointBlocks) return block.call(hidden, lengths);
      return checkpoint((h, held) => block.call(h, lengths && held), hidden, ...(lengths ? [lengths] : []));
    }, x);
  }

  protected override onLoad(): void {
    this.prefix?.forget();
  }

  #learnedPositions({ table }: Embedding, time: number): Tensor {
    if (time > table.shape[0]) {
      throw new ShapeError(`Transformer: ${time} tokens exceed the ${table.shape[0]} learned positions`);
    }
    return time === table.shape[0] ? table : slice(table, [0], [time]);
  }
}

/** (batch, time, width) → (batch, width): the mean over the positions that count; 0 where a row has none. */
function meanOverTime(x: Tensor, lengths: Lengths): Tensor {
  if (!lengths) return mean(x, { axes: 1 });
  const counts = lengths.storage.hostIntegers;
  if (!counts) throw new ArgumentError('Transformer: the lengths of a classifier must come from the host');
  const [batch, time] = x.shape;
  const weights = Float64Array.from({ length: batch * time }, (_, i) => {
    const count = Math.min(time, counts[lengths.offset + Math.floor(i / time) * lengths.strides[0]]);
    return i % time < count ? 1 / count : 0;
  });
  const { device } = x;
  const dtype = computeDType(x.dtype);
  return sum(mul(x, tensor(weights, { device, dtype, shape: [batch, time, 1] })), { axes: 1 });
}

function normFor({ width, normalization = 'rms' }: TransformerConfig, { device, dtype }: BuildOptions) {
  return normalization === 'rms'
    ? new RMSNorm(width, { device, dtype })
    : new LayerNorm(width, { device, dtype, bias: false });
}
