/** Qwen2 and Qwen2.5: Llama with biases on query, key and value. */
import type { ConfigReader } from './config.ts';
import type { Family } from './family.ts';
import { llamaLikeWeights, readLlamaLike } from './llama.ts';

export const qwen2: Family = {
  architecture: 'Qwen2ForCausalLM',
  readConfig(reader) {
    const config = readLlamaLike(reader);
    return {
      ...config,
      biases: { queryKeyValue: true, output: false, feedForward: false },
      windows: qwenWindows(reader, config.blocks),
    };
  },
  weights: (config) => llamaLikeWeights(config),
};

/** A window counts where `use_sliding_window` says so, and then from block `max_window_layers` on. */
export function qwenWindows(reader: ConfigReader, blocks: number): (number | null)[] {
  const isUsed = reader.flag('use_sliding_window', false);
  const window = reader.sizeOrNull('sliding_window');
  const first = Number(reader.get('max_window_layers') ?? 28);
  return reader.windows(blocks, isUsed ? window : null, (block) => block >= first);
}
