/** Attention and its gradients as plain loops. */
import type { NumericArray } from '../../../tensor/dtype.ts';

/** Sizes of the heads, and which keys a query sees. */
export const attentionScalars = {
  batch: 'u32',
  /** Queries: the last of the positions that have a key. */
  time: 'u32',
  /** Positions that have a key. */
  keys: 'u32',
  heads: 'u32',
  /** Each serves heads / keyHeads heads of queries. */
  keyHeads: 'u32',
  scale: 'f32',
  causal: 'u32',
  /** How many keys a query sees, its own and those before; 0: all. */
  window: 'u32',
  /** 0: the lengths are a placeholder. */
  useLengths: 'u32',
} as const;

type AttentionScalars = Readonly<Record<keyof typeof attentionScalars, number>>;
type Arrays<Name extends string> = Readonly<Record<Name, NumericArray>>;

/** Stands in the logSumExp of a query that sees no key: exp(score - 1e30) is 0. */
const nothingSeen = 1e30;

type Visit = (query: number, rowOfQuery: number, begin: number, end: number, rowOfKey: (s: number) => number) => void;

/**
 * Calls `visit` for every query: its index in (batch, heads, time), where its row starts in (batch, time, heads, size),
 * which keys it sees (from `begin` to before `end`), and where their rows start in (batch, keys, keyHeads, size).
 */
function forEachQuery(s: AttentionScalars, lengths: NumericArray, headSize: number, visit: Visit): void {
  for (let b = 0; b < s.batch; b++) {
    const length = s.useLengths === 1 ? Math.min(Math.max(lengths[b], 0), s.keys) : s.keys;
    for (let h = 0; h < s.heads; h++) {
      const keyHead = Math.floor((h * s.keyHeads) / s.heads);
      const rowOfKey = (j: number) => ((b * s.keys + j) * s.keyHeads + keyHead) * headSize;
      for (let t = 0; t < s.time; t++) {
        const position = s.keys - s.time + t;
        const end = s.causal === 1 ? Math.min(length, position + 1) : length;
        const begin = s.window > 0 ? Math.max(0, position + 1 - s.window) : 0;
        visit((b * s.heads + h) * s.time + t, ((b * s.time + t) * s.heads + h) * headSize, begin, end, rowOfKey);
      }
    }
  }
}

function dot(a: NumericArray, aStart: number, b: NumericArray, bStart: number, size: number): number {
  let sum = 0;
  for (let d = 0; d < size; d++) sum += a[aStart + d] * b[bStart + d];
  return sum;
}

/** output = softmax(scale · q kᵀ) v, and the logarithm of each softmax's denominator. */
export function attentionForward(
  { q, k, v, lengths, output, logSumExp }: Arrays<'q' | 'k' | 'v' | 'lengths' | 'output' | 'logSumExp'>,
  s: AttentionScalars,
): void {
  const size = headSizeOf(q, s);
  const weights = new Float64Array(s.keys);
  const sums = new Float64Array(size);
  forEachQuery(s, lengths, size, (query, rowOfQuery, begin, end, rowOfKey) => {
    let highest = Number.NEGATIVE_INFINITY;
    for (let j = begin; j < end; j++) {
      weights[j] = s.scale * dot(q, rowOfQuery, k, rowOfKey(j), size);
      if (weights[j] > highest) highest = weights[j];
    }
    let total = 0;
    sums.fill(0);
    for (let j = begin; j < end; j++) {
      const weight = Math.exp(weights[j] - highest);
      const row = rowOfKey(j);
      total += weight;
      for (let d = 0; d < size; d++) sums[d] += weight * v[row + d];
    }
    for (let d = 0; d < size; d++) output[rowOfQuery + d] = end > begin ? sums[d] / total : 0;
    logSumExp[query] = end > begin ? highest + Math.log(total) : nothingSeen;
  });
}

/**
 * Pairs (logSumExp, delta) for every query, with delta = Σ_d output · its gradient: what the softmax's derivative
 * subtracts.
 */
export function attentionDelta(
  arrays: Arrays<'output' | 'gradientOfOutput' | 'logSumExp' | 'statisticsResult'>,
  s: AttentionScalars,
): void {
  const { output, gradientOfOutput, logSumExp, statisticsResult } = arrays;
  const size = headSizeOf(output, s);
  forEachQuery({ ...s, useLengths: 0 }, logSumExp, size, (query, row) => {
    statisticsResult[2 * query] = logSumExp[query];
    statisticsResult[2 * query + 1] = dot(output, row, gradientOfOutput, row, size);
  });
}

type Saved = 'q' | 'k' | 'v' | 'lengths' | 'outputGradient' | 'statistics';

/** dq = scale · Σ_s p (g·v - delta) k, with the probabilities p recomputed. */
export function attentionQueryGradient(arrays: Arrays<Saved | 'queryGradient'>, s: AttentionScalars): void {
  const { q, k, v, lengths, outputGradient, statistics, queryGradient } = arrays;
  const size = headSizeOf(q, s);
  const sums = new Float64Array(size);
  forEachQuery(s, lengths, size, (query, rowOfQuery, begin, end, rowOfKey) => {
    sums.fill(0);
    for (let j = begin; j < end; j++) {
      const row = rowOfKey(j);
      const p = probability(s.scale * dot(q, rowOfQuery, k, row, size) - statistics[2 * query]);
      const change = s.scale * p * (dot(outputGradient, rowOfQuery, v, row, size) - statistics[2 * query + 1]);
      for (let d = 0; d < size; d++) sums[d] += change * k[row + d];
    }
    for (let d = 0; d < size; d++) queryGradient[rowOfQuery + d] = sums[d];
  });
}

/** dk = scale · Σ_t p (g·v - delta) q and dv = Σ_t p g, over the queries t that see the key. */
export function attentionKeyValueGradient(
  arrays: Arrays<Saved | 'keyGradient' | 'valueGradient'>,
  s: AttentionScalars,
): void {
  const { q, k, v, lengths, outputGradient, statistics, keyGradient, valueGradient } = arrays;
  const size = headSizeOf(q, s);
  keyGradient.fill(0);
  valueGradient.fill(0);
  forEachQuery(s, lengths, size, (query, rowOfQuery, begin, end, rowOfKey) => {
    for (let j = begin; j < end; j++) {
      const row = rowOfKey(j);
      const p = probability(s.scale * dot(q, rowOfQuery, k, row, size) - statistics[2 * query]);
      const change = s.scale * p * (dot(outputGradient, rowOfQuery, v, row, size) - statistics[2 * query + 1]);
      for (let d = 0; d < size; d++) {
        keyGradient[row + d] += change * q[rowOfQuery + d];
        valueGradient[row + d] += p * outputGradient[rowOfQuery + d];
      }
    }
  });
}

function headSizeOf(array: NumericArray, { batch, time, heads }: AttentionScalars): number {
  return array.length / (batch * time * heads);
}

/** exp of a logarithm that is at most 0; rounding can lift it above 0 where scores are large. */
function probability(logarithm: number): number {
  return Math.exp(Math.min(0, logarithm));
}
