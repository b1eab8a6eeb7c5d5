/** What a study writes and its report reads. Times are seconds, sizes bytes, accuracies shares from 0 to 1. */

import type { Circumstances } from '../report/sections.ts';

export const methods = ['lora', 'full'] as const;

/** What trains: adapters on a frozen base, or all weights. */
export type MethodName = (typeof methods)[number];

/** What an arm spent so far, evaluations on test items left out. */
export interface Cost {
  readonly operations: number;
  /** Of the forward pass, not made because it began above frozen blocks. */
  readonly saved: number;
  /** Of the steps alone: of the processor on `cpu`, where a run has one thread, so that other load counts less; else of the clock. */
  readonly seconds: number;
}

/** One arm on one task with one seed. */
export interface StudyResult {
  readonly arm: string;
  readonly task: string;
  readonly method: MethodName;
  readonly seed: number;
  readonly steps: number;
  readonly scheduleSteps: number;
  readonly accuracy: number;
  /** Of the right choices of the test questions, a token. */
  readonly loss: number;
  /** 1 for each test question that is answered rightly, else 0. */
  readonly right: string;
  readonly cost: Cost;
  /** Of the validations that the arm needs. */
  readonly validation: Pick<Cost, 'operations' | 'seconds'>;
  /** The watched matrices that froze, and after which steps. */
  readonly freezes: readonly { readonly name: string; readonly step: number }[];
  readonly matrices: number;
  /** Lowest block that still trained at the end, and what was kept of the blocks below. */
  readonly prefix: { readonly block: number; readonly bytes: number } | null;
}

/** What the thresholds of the paper's rules are on a task. */
export interface Calibration {
  readonly thresholds: Readonly<Record<string, number>>;
}

/** A piece of work that is kept: one arm, or a calibration. What was told with it says whether it is the same. */
export interface StudyUnit {
  readonly arm: string;
  readonly task: string;
  readonly method: MethodName;
  readonly seed: number;
}

export interface Study extends Circumstances {
  readonly tasks: readonly { readonly name: string; readonly train: number; readonly test: number }[];
  readonly methods: readonly MethodName[];
  readonly seeds: readonly number[];
  readonly steps: number;
  readonly omissions: readonly string[];
  readonly results: readonly StudyResult[];
  readonly calibrations: readonly (StudyUnit & Calibration)[];
}
