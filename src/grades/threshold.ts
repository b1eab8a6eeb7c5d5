import type { ParameterKind } from '../nn/parameter.ts';
import { ArgumentError } from '../tensor/errors.ts';
import type { RegistryEntry } from './registry.ts';

/**
 * Below which value a matrix may freeze.
 *
 * - a number, for all matrices: τ of the paper; with the scale `peak` a share of each matrix's own peak;
 * - one number for each kind of matrix that is watched (the released code has one for vision and one for language);
 * - `{ frozenShare }`: found when the grace period ends, such that this share of the matrices would be below it at the
 *   end of the schedule; see `calibrate`.
 */
export type Threshold = number | Partial<Record<ParameterKind, number>> | { frozenShare: number };

export function isCalibrated(threshold: Threshold): threshold is { frozenShare: number } {
  return typeof threshold === 'object' && 'frozenShare' in threshold;
}

/** @throws ArgumentError for a value out of range, or a kind that is watched and has none. */
export function checkThreshold(threshold: Threshold, watched: readonly RegistryEntry[], highest: number): void {
  const check = (name: string, value: number, largest: number) => {
    if (value > 0 && value <= largest) return;
    throw new ArgumentError(`GradES: ${name} ${value} is out of range (allowed: above 0, at most ${largest})`);
  };
  if (typeof threshold === 'number') check('threshold', threshold, highest);
  else if (isCalibrated(threshold)) check('threshold.frozenShare', threshold.frozenShare, 1);
  else {
    for (const { kind, name } of watched) {
      const value = threshold[kind];
      if (value !== undefined) check(`threshold.${kind}`, value, highest);
      else throw new ArgumentError(`GradES: threshold has no value for ${kind}, the kind of ${name}`);
    }
  }
}

export interface ValueAt {
  step: number;
  value: number;
}

/**
 * A threshold from what the grace period has shown. The logarithm of each matrix's values is continued along its line of
 * least squares to the last step, never upwards; the threshold is the value that `frozenShare` of the matrices, rounded
 * up, would then be at or below.
 *
 * It is a guess at the end from the beginning: a signal that falls late, or in a jump, is judged too slow, and the share
 * that really freezes may be far from the target either way.
 */
export function calibrate(histories: readonly (readonly ValueAt[])[], frozenShare: number, lastStep: number): number {
  const ends = histories.map((history) => continued(history, lastStep)).sort((a, b) => a - b);
  const reached = ends[Math.max(0, Math.ceil(frozenShare * ends.length) - 1)];
  // A little above, since a matrix freezes strictly below its threshold.
  return 1.01 * reached;
}

const lowestValue = 1e-12;

function continued(history: readonly ValueAt[], lastStep: number): number {
  const count = history.length;
  if (count === 0) return Number.MAX_VALUE;
  const logarithms = history.map(({ value }) => Math.log(Math.max(lowestValue, value)));
  const meanStep = history.reduce((sum, { step }) => sum + step, 0) / count;
  const meanLogarithm = logarithms.reduce((sum, logarithm) => sum + logarithm, 0) / count;
  let [covariance, variance] = [0, 0];
  history.forEach(({ step }, i) => {
    covariance += (step - meanStep) * (logarithms[i] - meanLogarithm);
    variance += (step - meanStep) ** 2;
  });
  const slope = variance > 0 ? Math.min(0, covariance / variance) : 0;
  return Math.exp(meanLogarithm + slope * (lastStep - meanStep));
}
