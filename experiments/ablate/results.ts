/** What an ablation of the rule writes and its report draws. Times are seconds, accuracies shares from 0 to 1. */

/** One run of the rule beside the full run of the same seed. */
export interface AblationRow {
  /** The paper's τ. */
  threshold: number;
  /** The paper's α: share of the schedule before anything may freeze. */
  grace: number;
  /** What is watched, as a share of its own peak. */
  signal: string;
  seed: number;
  accuracy: number;
  fullAccuracy: number;
  operations: number;
  fullOperations: number;
  seconds?: number;
  /** Share of the watched matrices that were frozen at the end. */
  frozenShare: number;
  steps: number;
  scheduleSteps: number;
}

export interface Ablation {
  /** 'smoke' for quick runs, which prove nothing. */
  kind: 'full' | 'smoke';
  date: string;
  machine: string;
  device: { kind: string; adapter: string };
  task: string;
  model: string;
  rows: readonly AblationRow[];
}
