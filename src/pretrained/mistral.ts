/** Mistral: Llama, in its first version with a window. */
import type { Family } from './family.ts';
import { llamaLikeWeights, readLlamaLike } from './llama.ts';

export const mistral: Family = {
  architecture: 'MistralForCausalLM',
  readConfig(reader) {
    const config = readLlamaLike(reader);
    return { ...config, windows: reader.windows(config.blocks, reader.sizeOrNull('sliding_window'), () => true) };
  },
  weights: (config) => llamaLikeWeights(config),
};
