/** What one head looks at, computed beside the fused operation, which never holds all of it at once. */
import { matmul, permute, reshape, rotary, type Tensor, type Transformer, transpose } from '../src/index.ts';

/** Of the attention in a block, for tokens (1, time): the products of queries and keys over √d, (1, heads, time, time). */
export function attentionScores(model: Transformer, tokens: Tensor, block: number): Tensor {
  const { attentionNorm, attention } = model.blocks[block];
  const x = attentionNorm.call(model.through(model.embed(tokens), null, 0, block));
  const [batch, time, width] = x.shape;
  const size = width / attention.heads;
  const byHead = (projected: Tensor) =>
    permute(rotary(reshape(projected, [batch, time, attention.heads, size])), [0, 2, 1, 3]);
  const [query, key] = [byHead(attention.query.call(x)), byHead(attention.key.call(x))];
  return matmul(query, transpose(key)).mul(1 / Math.sqrt(size));
}

/** Softmax of each row of one head's scores, over the positions that it may see. */
export function attentionWeights(scores: ArrayLike<number>, head: number, time: number, causal: boolean): number[][] {
  return Array.from({ length: time }, (_, row) => {
    const start = (head * time + row) * time;
    const seen = Array.from({ length: causal ? row + 1 : time }, (_, column) => scores[start + column]);
    const highest = Math.max(...seen);
    const powers = seen.map((score) => Math.exp(score - highest));
    const sum = powers.reduce((total, each) => total + each, 0);
    return Array.from({ length: time }, (_, column) => (powers[column] ?? 0) / sum);
  });
}
