/** Means, their spread, and the interval that a bootstrap gives them. */

import { ArgumentError, Random } from '../../src/index.ts';

/** A mean with its percentile bootstrap. */
export interface Interval {
  mean: number;
  /** Ends of the two-sided 95 % interval. */
  low: number;
  high: number;
  /** One-sided: the mean is above it with 95 % confidence. */
  lowerBound: number;
}

const seed = 2026;
export const resamples = 10_000;

/**
 * Mean over tasks of the means over seeds, resampled as the data arose: tasks with replacement, then seeds within each
 * drawn task (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Equal shapes are
 * resampled alike, so that contrasts over the same runs can be compared, and the same data give the same interval.
 *
 * @param groups - one a task, one value a seed in each.
 * @throws {ArgumentError} no group, an empty group, or a value that is not finite.
 */
export function hierarchicalBootstrap(groups: readonly (readonly number[])[]): Interval {
  const values = groups.flat();
  if (groups.length === 0 || groups.some((group) => group.length === 0)) {
    throw new ArgumentError('hierarchicalBootstrap: groups must hold at least one value each, and at least one group');
  }
  const strange = values.find((value) => !Number.isFinite(value));
  if (strange !== undefined) throw new ArgumentError(`hierarchicalBootstrap: value ${strange} must be finite`);

  const weights = resampledWeights(groups.map((group) => group.length));
  const means = new Float64Array(resamples);
  // Deviations from one value keep a constant difference exact.
  const origin = values[0]!;
  for (let sample = 0, at = 0; sample < resamples; sample++) {
    let sum = 0;
    for (const value of values) sum += weights[at++]! * (value - origin);
    means[sample] = origin + sum;
  }
  means.sort();
  return {
    mean: origin + mean(groups.map((group) => mean(group.map((value) => value - origin)))),
    low: quantile(means, 0.025),
    high: quantile(means, 0.975),
    lowerBound: quantile(means, 0.05),
  };
}

const weightsByShape = new Map<string, Float64Array>();

/** For every resample the weight of every value in the mean of means. */
function resampledWeights(counts: readonly number[]): Float64Array {
  const shape = counts.join(',');
  const known = weightsByShape.get(shape);
  if (known) return known;
  const starts = counts.map((_, index) => counts.slice(0, index).reduce((a, b) => a + b, 0));
  const cells = counts.reduce((a, b) => a + b, 0);
  const weights = new Float64Array(resamples * cells);
  const random = new Random(seed);
  for (let sample = 0; sample < resamples; sample++) {
    for (let draw = 0; draw < counts.length; draw++) {
      const task = random.integer(counts.length);
      const count = counts[task]!;
      const weight = 1 / (counts.length * count);
      for (let inner = 0; inner < count; inner++) {
        const cell = sample * cells + starts[task]! + random.integer(count);
        weights[cell] = weights[cell]! + weight;
      }
    }
  }
  weightsByShape.set(shape, weights);
  return weights;
}

/** Linear between the two nearest of ascending values. */
export function quantile(ascending: Float64Array, share: number): number {
  const position = share * (ascending.length - 1);
  const below = ascending[Math.floor(position)]!;
  const above = ascending[Math.ceil(position)]!;
  return below + (position - Math.floor(position)) * (above - below);
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Of a sample, by n − 1; null for fewer than two values. */
export function standardDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}
