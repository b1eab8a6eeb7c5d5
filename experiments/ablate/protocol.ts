/** What the ablation tries. */

/** By signal, as shares of its own peak: the paper's thresholds go with the size of the model and cannot be carried over. */
export const thresholds = {
  'split-half': [0.3, 0.45, 0.6],
  gradient: [0.5, 0.7, 0.9],
  'gradient-change': [0.5, 0.7, 0.9],
  'weight-change': [0.3, 0.5, 0.7],
} as const;

export type SignalName = keyof typeof thresholds;

export const signalNames: readonly SignalName[] = ['split-half', 'gradient', 'gradient-change', 'weight-change'];

/** α of the paper: shares of the schedule before which nothing freezes. */
export const graces: readonly number[] = [0.15, 0.3, 0.5];

export const defaults = { task: 'file-kind', steps: 600, seeds: [1, 2] as readonly number[] } as const;

export const quick = {
  steps: 60,
  seeds: [1] as readonly number[],
  signals: ['split-half', 'gradient'] as readonly SignalName[],
  graces: [0.3] as readonly number[],
};
