/** Qwen3: heads of a size of their own, with a norm on each head of queries and keys. */
import type { Family } from './family.ts';
import { llamaLikeWeights, readLlamaLike } from './llama.ts';
import { qwenWindows } from './qwen2.ts';

export const qwen3: Family = {
  architecture: 'Qwen3ForCausalLM',
  readConfig(reader) {
    const config = readLlamaLike(reader);
    const bias = reader.flag('attention_bias', false);
    return {
      ...config,
      headNorms: true,
      biases: { queryKeyValue: bias, output: bias, feedForward: false },
      windows: qwenWindows(reader, config.blocks),
    };
  },
  weights: (config) => llamaLikeWeights(config),
};
