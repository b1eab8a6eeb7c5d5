/** The split-half signal: the size of the gradient with the mini-batch noise taken out. */
import type { Signal } from './signal.ts';

/**
 * ⟨gA, gB⟩, with gA and gB the gradients of the two halves of one batch at the same weights. Their noise is independent,
 * so the product is an unbiased estimate of the squared norm of the expected gradient: 0 where only noise is left.
 *
 * The batch is halved along the first axis of the activations, which must count samples, two or more.
 */
export const splitHalf: Signal = {
  name: 'split-half',
  over: 'halves',
  wgsl: 'x * y',
  reference: (x, y) => x * y,
  simd: 'productStatistics',
  power: 2,
  threshold: 0.3,
};
