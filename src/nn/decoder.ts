/** The decoder that published language models are: one description covers the families of `src/pretrained`. */
import { checkpoint } from '../autograd/checkpoint.ts';
import { attention } from '../autograd/operations/attention/attention.ts';
import { type CrossEntropyOptions, crossEntropyOptions } from '../autograd/operations/cross-entropy.ts';
import { linearCrossEntropy } from '../autograd/operations/linear-cross-entropy.ts';
import { matmul } from '../autograd/operations/matmul/matmul.ts';
import { add } from '../autograd/operations/pointwise/pointwise.ts';
import { type RotaryScaling, rotary } from '../autograd/operations/rotary.ts';
import { reshape, slice, transpose } from '../autograd/operations/views.ts';
import { checkTensors } from '../autograd/record.ts';
import { ArgumentError, ShapeError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { BlockModel, Prefix } from './block-model.ts';
import { Embedding } from './embedding.ts';
import type { BlockCache, KeyValueCache } from './key-value-cache.ts';
import { Linear } from './linear.ts';
import { type BuildOptions, besideMatrices, Module } from './module.ts';
import { LayerNorm, RMSNorm } from './normalization.ts';
import { FeedForward, SwiGLU } from './transformer.ts';

/** What there is to say of a decoder beside its weights. */
export interface DecoderConfig {
  /** Number of distinct tokens. */
  vocabulary: number;
  /** Length of the vector that stands for a token. */
  width: number;
  blocks: number;
  /** Heads of queries. */
  heads: number;
  /** Heads of keys and values, each shared by heads / keyHeads neighbouring heads of queries. */
  keyHeads: number;
  /** Length of a head's vectors: a number of its own, heads · headSize need not be the width. */
  headSize: number;
  /** Width inside the feed-forward part. */
  hidden: number;
  /** Positions that the model was made for. Learned ones end there. */
  contextLength: number;
  positions: RotaryPositions | 'learned';
  normalization: 'rms' | 'layer';
  /** Added to the variance under the root of every norm. */
  epsilon: number;
  /** An RMSNorm on each head of the queries and of the keys, before they are turned. */
  headNorms: boolean;
  /** Which linear layers have biases: query, key and value; the output of attention; the feed-forward part. */
  biases: { queryKeyValue: boolean; output: boolean; feedForward: boolean };
  feedForward: 'swiglu' | 'gelu';
  /** Of each block: how many positions a token sees, itself and those just before it; null for all. */
  windows: readonly (number | null)[];
  /** Whether the logits are products with the table of the embedding, which then serves twice. */
  tiedHead: boolean;
}

/** Rotary positions: see `rotary`. */
export interface RotaryPositions {
  base: number;
  /** Elements of each head that turn. */
  size: number;
  scaling: RotaryScaling | null;
}

/** How many numbers the parameters of such a decoder are, before it is built. */
export function parameterCount(config: DecoderConfig): number {
  const { vocabulary, width, blocks, heads, keyHeads, headSize, hidden, biases } = config;
  const queries = heads * headSize;
  const keysAndValues = 2 * keyHeads * headSize;
  const norm = config.normalization === 'layer' ? 2 * width : width;
  const attention =
    width * (queries + keysAndValues) +
    (biases.queryKeyValue ? queries + keysAndValues : 0) +
    (config.headNorms ? 2 * headSize : 0) +
    queries * width +
    (biases.output ? width : 0);
  const inner = config.feedForward === 'swiglu' ? 2 * hidden : hidden;
  const feedForward = width * (inner + hidden) + (biases.feedForward ? inner + width : 0);
  const positions = config.positions === 'learned' ? config.contextLength * width : 0;
  const tables = (config.tiedHead ? 1 : 2) * vocabulary * width + positions;
  return tables + blocks * (attention + feedForward + 2 * norm) + norm;
}

/** How a decoder is called. */
export interface DecoderCall {
  /** i32 (batch): how many tokens of each row count; keys beyond are not seen. */
  lengths?: Tensor | null;
  /** Keys and values of the tokens before these, to which those of these are added. No gradient goes through it. */
  cache?: KeyValueCache | null;
  /** Whether logits of the last position alone are wanted: (batch, 1, vocabulary). */
  lastOnly?: boolean;
}

/** How its loss is computed. */
export interface DecoderLossOptions extends CrossEntropyOptions {
  /** i32 (batch): how many tokens of each row count. */
  lengths?: Tensor | null;
}

/** Self-attention with grouped heads: (batch, time, width) → the same, with the residual added in the last product. */
export class GroupedAttention extends Module<[Tensor, Tensor, DecoderCall?, BlockCache?]> {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly queryNorm: RMSNorm | null;
  readonly keyNorm: RMSNorm | null;
  readonly config: DecoderConfig;
  readonly window: number | null;

  constructor(config: DecoderConfig, window: number | null, options: BuildOptions) {
    super();
    const { width, heads, keyHeads, headSize, biases, headNorms, epsilon } = config;
    const bias = biases.queryKeyValue;
    this.query = new Linear(width, heads * headSize, { ...options, bias, kind: 'query' });
    this.key = new Linear(width, keyHeads * headSize, { ...options, bias, kind: 'key' });
    this.value = new Linear(width, keyHeads * headSize, { ...options, bias, kind: 'value' });
    this.output = new Linear(heads * headSize, width, { ...options, bias: biases.output, kind: 'output' });
    this.queryNorm = headNorms ? new RMSNorm(headSize, { ...options, epsilon }) : null;
    this.keyNorm = headNorms ? new RMSNorm(headSize, { ...options, epsilon }) : null;
    this.config = config;
    this.window = window;
  }

  forward(x: Tensor, residual: Tensor, { lengths = null }: DecoderCall = {}, cache?: BlockCache): Tensor {
    const { heads, keyHeads, headSize, positions } = this.config;
    const [batch, time] = x.shape;
    const byHead = (projected: Tensor, count: number, norm: RMSNorm | null = null) => {
      const split = reshape(projected, [batch, time, count, headSize]);
      return norm ? norm.call(split) : split;
    };
    const positionOffset = cache?.length ?? 0;
    const turn = (each: Tensor) => (positions === 'learned' ? each : rotary(each, { ...positions, positionOffset }));
    const query = turn(byHead(this.query.call(x), heads, this.queryNorm));
    const ownKey = turn(byHead(this.key.call(x), keyHeads, this.keyNorm));
    const ownValue = byHead(this.value.call(x), keyHeads);
    const [key, value] = cache ? cache.append(ownKey, ownValue) : [ownKey, ownValue];
    const mixed = attention(query, key, value, { causal: true, window: this.window, lengths });
    return this.output.call(reshape(mixed, [batch, time, heads * headSize]), { residual });
  }
}

/** x + attention(norm x), then x + feedForward(norm x): (batch, time, width) → the same. */
export class DecoderBlock extends Module<[Tensor, DecoderCall?, BlockCache?]> {
  readonly attentionNorm: RMSNorm | LayerNorm;
  readonly attention: GroupedAttention;
  readonly feedForwardNorm: RMSNorm | LayerNorm;
  readonly feedForward: SwiGLU | FeedForward;

  constructor(config: DecoderConfig, window: number | null, options: BuildOptions) {
    super();
    this.attentionNorm = normFor(config, options);
    this.attention = new GroupedAttention(config, window, options);
    this.feedForwardNorm = normFor(config, options);
    const ofFeedForward = { ...options, bias: config.biases.feedForward };
    this.feedForward =
      config.feedForward === 'swiglu' ? new SwiGLU(config, ofFeedForward) : new FeedForward(config, ofFeedForward);
  }

  forward(x: Tensor, call: DecoderCall = {}, cache?: BlockCache): Tensor {
    const attended = this.attention.call(this.attentionNorm.call(x), x, call, cache);
    return this.feedForward.call(this.feedForwardNorm.call(attended), attended);
  }
}

/** A language model: i32 tokens (batch, time) → logits (batch, time, vocabulary). */
export class Decoder extends Module<[Tensor, DecoderCall?]> implements BlockModel {
  readonly config: DecoderConfig;
  readonly tokens: Embedding;
  readonly positions: Embedding | null;
  readonly blocks: DecoderBlock[];
  readonly norm: RMSNorm | LayerNorm;
  /** Null where the table of the embedding is the head. */
  readonly head: Linear | null;
  prefix: Prefix | null = null;
  /** Whether each block keeps its input alone for the backward pass, which computes the rest again: see `checkpoint`. */
  checkpointBlocks = false;

  /** @throws ArgumentError for sizes that are no whole numbers above 0, heads that cannot share keys, or other windows than blocks. */
  constructor(config: DecoderConfig, options: BuildOptions) {
    super();
    const { vocabulary, width, heads, keyHeads, headSize, hidden, blocks, contextLength, windows } = config;
    const sizes = { vocabulary, width, heads, keyHeads, headSize, hidden, blocks, contextLength };
    for (const [name, value] of Object.entries(sizes)) {
      if (Number.isSafeInteger(value) && value > 0) continue;
      throw new ArgumentError(`Decoder: ${name} is ${value} (allowed: whole numbers of at least 1)`);
    }
    if (heads % keyHeads !== 0) {
      throw new ArgumentError(`Decoder: keyHeads is ${keyHeads} (allowed: what divides ${heads}, the heads)`);
    }
    if (windows.length !== blocks) {
      throw new ArgumentError(`Decoder: windows are ${windows.length} (allowed: one for each of the ${blocks} blocks)`);
    }
    this.config = config;
    const deviation = 0.02;
    this.tokens = new Embedding(vocabulary, width, { ...options, deviation });
    this.positions =
      config.positions === 'learned'
        ? new Embedding(contextLength, width, { ...besideMatrices(options), deviation })
        : null;
    this.blocks = windows.map((window) => new DecoderBlock(config, window, options));
    this.norm = normFor(config, options);
    this.head = config.tiedHead ? null : new Linear(width, vocabulary, { ...options, kind: 'head' });
  }

  /** @throws ShapeError for tokens of another rank, or more than there are learned positions or room in the cache. */
  forward(tokens: Tensor, call: DecoderCall = {}): Tensor {
    const normalized = this.#hidden(tokens, call);
    return this.head ? this.head.call(normalized) : matmul(normalized, transpose(this.tokens.table));
  }

  /**
   * The cross-entropy of i32 targets (batch, time): what `crossEntropy(model.call(tokens), targets)` is, but the logits never exist
   * whole, and not at all where there is no target. See `linearCrossEntropy`.
   *
   * @throws ShapeError as `forward`, and where the targets have another shape than the tokens.
   */
  loss(tokens: Tensor, targets: Tensor, options: DecoderLossOptions = {}): Tensor {
    checkOptions('Decoder.loss', options, ['lengths', ...crossEntropyOptions], 'lengths');
    const { lengths, ...ofLoss } = options;
    return scope('Decoder', () => {
      const normalized = this.#hidden(tokens, { lengths });
      return this.head
        ? this.head.crossEntropy(normalized, targets, ofLoss)
        : linearCrossEntropy(normalized, this.tokens.table, targets, { ...ofLoss, isTransposed: true });
    });
  }

  /** What the head is applied to: (batch, time, width), or (batch, 1, width). */
  #hidden(tokens: Tensor, call: DecoderCall): Tensor {
    checkOptions('Decoder', call, ['lengths', 'cache', 'lastOnly']);
    const { lengths = null, cache = null, lastOnly = false } = call;
    checkTensors('Decoder', [tokens]);
    if (tokens.rank !== 2 || tokens.shape[1] === 0) {
      throw new ShapeError(
        `Decoder: tokens have shape ${formatShape(tokens.shape)} (allowed: [batch, time], time above 0)`,
      );
    }
    const time = tokens.shape[1];
    // Keys and values of the blocks below would be missing from the cache.
    const kept = cache ? null : this.prefix?.enter(tokens, lengths);
    let x = kept?.hidden ?? this.embed(tokens, cache?.length);
    cache?.makeRoom(time);
    x = this.through(x, lengths, kept?.block, this.blocks.length, cache);
    return this.norm.call(lastOnly ? slice(x, [0, time - 1]) : x);
  }

  embed(tokens: Tensor, position = 0): Tensor {
    const x = this.tokens.call(tokens);
    return this.positions ? add(x, this.#learnedPositions(this.positions, position, tokens.shape[1])) : x;
  }

  through(
    x: Tensor,
    lengths: Tensor | null,
    from = 0,
    to = this.blocks.length,
    cache: KeyValueCache | null = null,
  ): Tensor {
    const blocks = this.blocks.slice(from, to);
    return blocks.reduce((hidden, block, i) => {
      if (cache || !this.checkpointBlocks) return block.call(hidden, { lengths }, cache?.blocks[from + i]);
      return checkpoint(
        (h, held) => block.call(h, { lengths: lengths && held }),
        hidden,
        ...(lengths ? [lengths] : []),
      );
    }, x);
  }

  protected override onLoad(): void {
    this.prefix?.forget();
  }

  #learnedPositions({ table }: Embedding, start: number, time: number): Tensor {
    if (start + time <= table.shape[0]) return slice(table, [start], [start + time]);
    throw new ShapeError(`Decoder: ${start + time} tokens exceed the ${table.shape[0]} learned positions`);
  }
}

function normFor({ width, normalization, epsilon }: DecoderConfig, { device, dtype }: BuildOptions) {
  return normalization === 'rms'
    ? new RMSNorm(width, { device, dtype, epsilon })
    : new LayerNorm(width, { device, dtype, epsilon });
}
