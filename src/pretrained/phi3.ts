/** Phi-3 and Phi-4: Llama with fused matrices in the file, which are parted here so that each can freeze by itself. */
import type { DecoderConfig } from '../nn/decoder.ts';
import { type Family, linear, type StoredWeight } from './family.ts';
import { llamaLikeWeights, readLlamaLike } from './llama.ts';

export const phi3: Family = {
  architecture: 'Phi3ForCausalLM',
  readConfig(reader) {
    const config = readLlamaLike(reader);
    return { ...config, windows: reader.windows(config.blocks, reader.sizeOrNull('sliding_window'), () => true) };
  },
  weights: (config) => llamaLikeWeights(config, fusedMatrices),
};

function fusedMatrices(_: DecoderConfig, theirs: string, ours: string): StoredWeight[] {
  const bias = false;
  const parts = ['query', 'key', 'value'].map((part) => `${ours}.attention.${part}`);
  return [
    ...linear(`${theirs}.self_attn.qkv_proj`, parts, { bias }),
    ...linear(`${theirs}.self_attn.o_proj`, `${ours}.attention.output`, { bias }),
    ...linear(`${theirs}.mlp.gate_up_proj`, [`${ours}.feedForward.gate`, `${ours}.feedForward.up`], { bias }),
    ...linear(`${theirs}.mlp.down_proj`, `${ours}.feedForward.down`, { bias }),
  ];
}
