/** Which token comes next: the likeliest, or one drawn from the likely ones. */
import type { NumericArray } from '../tensor/dtype.ts';
import { ArgumentError } from '../tensor/errors.ts';
import type { Random } from '../tensor/random.ts';

export interface SamplingOptions {
  /** Logits are divided by it before the softmax. 0, the default, takes the likeliest token. */
  temperature?: number;
  /** Only so many of the likeliest tokens are drawn from; 0, the default: all. */
  topK?: number;
  /**
   * Only the likeliest tokens that together have at least this probability are drawn from (Holtzman et al., arXiv 1904.09751);
   * 1, the default: all.
   */
  topP?: number;
}

/** @throws ArgumentError for a negative temperature, a topK that is no whole number, or a topP outside 0 … 1. */
export function checkSampling({ temperature = 0, topK = 0, topP = 1 }: SamplingOptions): void {
  if (!(Number.isFinite(temperature) && temperature >= 0)) {
    throw new ArgumentError(`generate: temperature is ${temperature} (allowed: finite numbers of at least 0)`);
  }
  if (!(Number.isInteger(topK) && topK >= 0)) {
    throw new ArgumentError(`generate: topK is ${topK} (allowed: whole numbers of at least 0)`);
  }
  if (!(topP > 0 && topP <= 1)) throw new ArgumentError(`generate: topP is ${topP} (allowed: above 0, up to 1)`);
}

/** The index of one of the logits. Of equal ones the first is likelier. */
export function pickToken(logits: NumericArray, options: SamplingOptions, random: Random): number {
  const { temperature = 0, topK = 0, topP = 1 } = options;
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return best;

  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - logits[best]) / temperature));
  let order = Array.from(weights, (_, i) => i);
  // Sorting the whole vocabulary is the dear part: where all are drawn from, nothing needs an order.
  if (topK > 0 || topP < 1) order.sort((a, b) => weights[b] - weights[a] || a - b);
  if (topK > 0) order = order.slice(0, topK);
  const sum = (indices: readonly number[]) => indices.reduce((total, i) => total + weights[i], 0);
  if (topP < 1) {
    const needed = topP * sum(order);
    let reached = 0;
    const last = order.findIndex((i) => {
      reached += weights[i];
      return reached >= needed;
    });
    order = order.slice(0, last < 0 ? order.length : last + 1);
  }
  let left = random.uniform() * sum(order);
  for (const i of order) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return order[order.length - 1];
}
