/** What an ablation of the rule writes and its report draws. Times are seconds, accuracies shares from 0 to 1. */

import type { AblationRun, Circumstances } from '../compare/results.ts';

/** One run of the rule beside the full run of the same seed. */
export interface AblationRow extends Omit<AblationRun, 'setting' | 'seconds'> {
  /** What is watched, as a share of its own peak. */
  signal: string;
  /** The paper's τ, and its α: share of the schedule before anything may freeze. */
  threshold: number;
  grace: number;
  fullAccuracy: number;
  fullOperations: number;
  scheduleSteps: number;
  /** Absent where it was not timed. */
  seconds?: number;
}

export interface Ablation extends Circumstances {
  task: string;
  rows: readonly AblationRow[];
}
