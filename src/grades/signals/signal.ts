/** What a signal is: the sum that a rule watches of every matrix. */
import type { ParameterSum } from '../../nn/parameter-sum.ts';

/**
 * A sum over the elements of a matrix that tells whether it still learns. Where several parameters make one matrix (A and B
 * of an adapter) their sums add up (arXiv 2509.01842 v3, Eq. 3 and 4). A signal of your own is one such object.
 */
export interface Signal extends ParameterSum {
  /** 2 where the sum is a product of two gradients: `GradES` takes the root of its average. */
  readonly power: 1 | 2;
  /** Default of `GradES`: a matrix may freeze below this share of the signal's own peak. */
  readonly threshold: number;
}
