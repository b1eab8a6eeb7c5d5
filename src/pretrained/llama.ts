/** Llama 2 and 3, SmolLM2, TinyLlama; and what the families after it share with it. */
import type { DecoderConfig } from '../nn/decoder.ts';
import type { ConfigReader } from './config.ts';
import { type Family, linear, ofBlocks, type StoredWeight, same } from './family.ts';

export const llama: Family = {
  architecture: 'LlamaForCausalLM',
  readConfig(reader) {
    const bias = reader.flag('attention_bias', false);
    return {
      ...readLlamaLike(reader),
      biases: { queryKeyValue: bias, output: bias, feedForward: reader.flag('mlp_bias', false) },
    };
  },
  weights: (config) => llamaLikeWeights(config),
};

/** A block of RMSNorms, rotary positions, grouped keys and a gated feed-forward part; no biases, norms on heads or windows. */
export function readLlamaLike(reader: ConfigReader): DecoderConfig {
  reader.expect('hidden_act', 'silu');
  const width = reader.size('hidden_size');
  const heads = reader.size('num_attention_heads');
  const headSize = reader.size('head_dim', width / heads);
  const blocks = reader.blocks('num_hidden_layers');
  return {
    vocabulary: reader.size('vocab_size'),
    width,
    blocks,
    heads,
    keyHeads: reader.size('num_key_value_heads', heads),
    headSize,
    hidden: reader.size('intermediate_size'),
    contextLength: reader.size('max_position_embeddings'),
    positions: reader.rotary(headSize),
    normalization: 'rms',
    epsilon: reader.positive('rms_norm_eps', 1e-6),
    headNorms: false,
    biases: { queryKeyValue: false, output: false, feedForward: false },
    feedForward: 'swiglu',
    windows: new Array<null>(blocks).fill(null),
    tiedHead: reader.flag('tie_word_embeddings', false),
  };
}

/** The names of Llama. A family whose file has other matrices in a block gives its own `matrices`. */
export function llamaLikeWeights(config: DecoderConfig, matrices = separateMatrices): StoredWeight[] {
  return [
    same('model.embed_tokens.weight', 'tokens.table'),
    ...ofBlocks(config.blocks, (i) => [
      same(`model.layers.${i}.input_layernorm.weight`, `blocks.${i}.attentionNorm.gain`),
      same(`model.layers.${i}.post_attention_layernorm.weight`, `blocks.${i}.feedForwardNorm.gain`),
      ...matrices(config, `model.layers.${i}`, `blocks.${i}`),
    ]),
    same('model.norm.weight', 'norm.gain'),
    ...(config.tiedHead ? [] : linear('lm_head', 'head', { bias: false })),
  ];
}

function separateMatrices({ biases, headNorms }: DecoderConfig, theirs: string, ours: string): StoredWeight[] {
  const ofQueryKeyValue = { bias: biases.queryKeyValue };
  const ofFeedForward = { bias: biases.feedForward };
  const headNorm = (theirName: string, ourName: string) =>
    same(`${theirs}.self_attn.${theirName}.weight`, `${ours}.attention.${ourName}.gain`);
  return [
    ...linear(`${theirs}.self_attn.q_proj`, `${ours}.attention.query`, ofQueryKeyValue),
    ...linear(`${theirs}.self_attn.k_proj`, `${ours}.attention.key`, ofQueryKeyValue),
    ...linear(`${theirs}.self_attn.v_proj`, `${ours}.attention.value`, ofQueryKeyValue),
    ...linear(`${theirs}.self_attn.o_proj`, `${ours}.attention.output`, { bias: biases.output }),
    ...(headNorms ? [headNorm('q_norm', 'queryNorm'), headNorm('k_norm', 'keyNorm')] : []),
    ...linear(`${theirs}.mlp.gate_proj`, `${ours}.feedForward.gate`, ofFeedForward),
    ...linear(`${theirs}.mlp.up_proj`, `${ours}.feedForward.up`, ofFeedForward),
    ...linear(`${theirs}.mlp.down_proj`, `${ours}.feedForward.down`, ofFeedForward),
  ];
}
