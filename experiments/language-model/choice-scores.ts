/** Which choices a model picks, and the accuracy of that, as lm-evaluation-harness counts it. */

export interface Picks {
  /** The likeliest choice. */
  readonly byLikelihood: number;
  /** The likeliest choice per character of it. */
  readonly byCharacter: number;
}

export interface Accuracy {
  readonly value: number;
  /** Deviation of a single answer, over the root of their number; null for one answer. */
  readonly standardError: number | null;
}

/** Of equal choices the first is picked. A character is a code point; the space before a choice is none of it. */
export function picksOf(choices: readonly string[], logLikelihoods: readonly number[]): Picks {
  const perCharacter = logLikelihoods.map((value, i) => value / [...choices[i]].length);
  return { byLikelihood: firstLargest(logLikelihoods), byCharacter: firstLargest(perCharacter) };
}

export function accuracyOf(areRight: readonly boolean[]): Accuracy {
  const count = areRight.length;
  const value = areRight.filter(Boolean).length / count;
  return { value, standardError: count > 1 ? Math.sqrt((value * (1 - value)) / (count - 1)) : null };
}

function firstLargest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}
