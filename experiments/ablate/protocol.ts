import type { Quantity, Scale } from '../../src/index.ts';

/** What is tried of one quantity: every threshold with every grace period. */
export interface Tried {
  quantity: Quantity;
  scale: Scale;
  thresholds: readonly number[];
}

/** Each quantity as a share of its own peak: the paper's thresholds go with the size of the model and cannot be carried over. */
export const tried: readonly Tried[] = [
  { quantity: 'split-half', scale: 'peak', thresholds: [0.3, 0.45, 0.6] },
  { quantity: 'gradient', scale: 'peak', thresholds: [0.5, 0.7, 0.9] },
  { quantity: 'gradient-change', scale: 'peak', thresholds: [0.5, 0.7, 0.9] },
  { quantity: 'weight-change', scale: 'peak', thresholds: [0.3, 0.5, 0.7] },
];

/** α of the paper: shares of the schedule before which nothing freezes. */
export const graces: readonly number[] = [0.15, 0.3, 0.5];

export const defaults = { task: 'file-kind', steps: 600, seeds: [1, 2] } as const;
export const quick = { steps: 60, seeds: [1], quantities: ['split-half', 'gradient'], graces: [0.3] } as const;
