/**
 * The training step that everyone takes: a small GPT, pre-norm and causal, with a ReLU feed-forward part, norms that
 * have a gain only, learned positions, an output matrix of its own, and Adam. The loss is read back after every step.
 * The same initial weights go into every implementation, so all start from the same loss.
 */
export const workload = {
  batch: 4,
  time: 64,
  vocabulary: 128,
  width: 128,
  heads: 4,
  hidden: 512,
  blocks: 2,
  normEpsilon: 1e-5,
  learningRate: 1e-3,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
} as const;

/**
 * What is frozen in each case. `early` (embeddings and block 0) lets the whole lower half of the graph go; `late` (block 1,
 * the last norm and the head) only gradients of weights.
 */
export const cases = ['none', 'early', 'late'] as const;
/** Besides, `most`: everything but the last norm, the head and one matrix of block 1. The peers are not measured with it. */
export const frozenCases = ['early', 'late', 'most'] as const;
export type FrozenCase = (typeof frozenCases)[number];
export type Case = (typeof cases)[number] | FrozenCase;

export interface Matrix {
  shape: [number, number];
  data: Float32Array;
}

/** Every matrix, uniform in ±0.08. Gains are not among them: they start at 1. */
export function initialWeights() {
  const { vocabulary, time, width, hidden, blocks } = workload;
  const range = 0.16;
  let state = 1;
  const uniform = () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31 - 0.5;
  };
  const matrix = (rows: number, columns: number): Matrix => ({
    shape: [rows, columns],
    data: Float32Array.from({ length: rows * columns }, () => uniform() * range),
  });
  return {
    tokens: matrix(vocabulary, width),
    positions: matrix(time, width),
    head: matrix(width, vocabulary),
    blocks: Array.from({ length: blocks }, () => ({
      // Query, key and value side by side.
      queryKeyValue: matrix(width, 3 * width),
      output: matrix(width, width),
      up: matrix(width, hidden),
      down: matrix(hidden, width),
    })),
  };
}

/** The batch of every step: each token, and the one that follows it seven places on. */
export function batch(): { tokens: Int32Array; targets: Int32Array } {
  const sequence = (shift: number) =>
    Int32Array.from({ length: workload.batch * workload.time }, (_, i) => (7 * i + shift) % workload.vocabulary);
  return { tokens: sequence(0), targets: sequence(7) };
}
