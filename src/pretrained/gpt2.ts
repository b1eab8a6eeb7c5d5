/** GPT-2: learned positions, LayerNorm with biases, GELU, one fused matrix for query, key and value, stored as (in, out). */
import { type Family, linear, ofBlocks, type StoredWeight, same } from './family.ts';

export const gpt2: Family = {
  architecture: 'GPT2LMHeadModel',
  readConfig(reader) {
    reader.expect('activation_function', 'gelu_new', 'gelu_pytorch_tanh');
    reader.expect('scale_attn_weights', true);
    const width = reader.size('n_embd');
    const heads = reader.size('n_head');
    const blocks = reader.blocks('n_layer');
    return {
      vocabulary: reader.size('vocab_size'),
      width,
      blocks,
      heads,
      keyHeads: heads,
      headSize: width / heads,
      hidden: reader.size('n_inner', 4 * width),
      contextLength: reader.size('n_positions'),
      positions: 'learned',
      normalization: 'layer',
      epsilon: reader.positive('layer_norm_epsilon', 1e-5),
      headNorms: false,
      biases: { queryKeyValue: true, output: true, feedForward: true },
      feedForward: 'gelu',
      windows: new Array<null>(blocks).fill(null),
      tiedHead: reader.flag('tie_word_embeddings', true),
    };
  },
  weights: (config) => [
    same('transformer.wte.weight', 'tokens.table'),
    same('transformer.wpe.weight', 'positions.table'),
    ...ofBlocks(config.blocks, (i) => {
      const [theirs, ours] = [`transformer.h.${i}`, `blocks.${i}`];
      const stored = { bias: true, isTransposed: false };
      const parts = ['query', 'key', 'value'].map((part) => `${ours}.attention.${part}`);
      return [
        ...norm(`${theirs}.ln_1`, `${ours}.attentionNorm`),
        ...linear(`${theirs}.attn.c_attn`, parts, stored),
        ...linear(`${theirs}.attn.c_proj`, `${ours}.attention.output`, stored),
        ...norm(`${theirs}.ln_2`, `${ours}.feedForwardNorm`),
        ...linear(`${theirs}.mlp.c_fc`, `${ours}.feedForward.up`, stored),
        ...linear(`${theirs}.mlp.c_proj`, `${ours}.feedForward.down`, stored),
      ];
    }),
    ...norm('transformer.ln_f', 'norm'),
    ...(config.tiedHead ? [] : linear('lm_head', 'head', { bias: false })),
  ],
};

function norm(theirs: string, ours: string): StoredWeight[] {
  return [same(`${theirs}.weight`, `${ours}.gain`), same(`${theirs}.bias`, `${ours}.bias`)];
}
