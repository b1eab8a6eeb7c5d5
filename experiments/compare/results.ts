/** What every run writes and the reports draw. Times are seconds, sizes bytes, accuracies shares from 0 to 1. */

import type { Circumstances } from '../report/sections.ts';
import type { Sample, WatchedRun } from '../report/watched.ts';
import type { RuleSetting } from './protocol.ts';
import type { Task } from './tasks/task.ts';

/** Floating-point operations counted from what was dispatched. */
export interface Operations {
  forward: number;
  /** Gradients with respect to activations. */
  backward: number;
  optimizer: number;
  validation: number;
}

/** One arm on one task with one seed: the record of every phase, from the sweep to the ablation. */
export interface ArmResult extends WatchedRun {
  /** A name of the table in `arms.ts`, of a setting of GradES, or of the file of a user's own rule. */
  arm: string;
  task: string;
  seed: number;
  /** Length of the schedule as a multiple of the task's own: 0.5, 1 or 2. */
  length: number;
  learningRate: number;
  /** After the run, on the test items; on the validation items where something is still being chosen. */
  accuracy: number;
  loss: number;
  operations: Operations;
  /** Training loss every so often. */
  losses: readonly Sample[];
  /** The evaluations of early stopping, with the operations of training until then. */
  validation: readonly { step: number; accuracy: number; loss: number; operations: number }[];
  /** Bytes live on the device at the end of some steps, small constants that it keeps between runs among them. */
  memory: readonly Sample[];
  /** Null where other runs went on beside it, so that its time says nothing. */
  timing: Timing | null;
}

/** Of an arm run by itself on an idle machine. */
export interface Timing {
  seconds: { train: number; validate: number };
  /** Share of the time in which something else wanted the processor, 0 to 1. */
  disturbance: number;
}

export interface TaskDescription extends Pick<Task, 'name' | 'base' | 'character' | 'description' | 'classes'> {
  /** Steps of the schedule and learning rates fixed by the sweep. */
  steps: number;
  learningRate: { full: number; lora: number };
  /** Whether thresholds were chosen on it; what they give is then no evidence. */
  tuning: boolean;
  /** By arm: the thresholds of the paper's rules, calibrated on this task. */
  paperThresholds: Readonly<Record<string, number>>;
}

/** Arms that can be paired: every seed is expected on every task. */
export interface Results {
  seeds: readonly number[];
  arms: readonly ArmResult[];
  /** The same arms again, each by itself. */
  timings: readonly ArmResult[];
}

export interface Comparison extends Circumstances, Results {
  /** A rule of the user's own: its arm, and the file it came from. */
  policy: { arm: string; file: string } | null;
  /** What was left out for want of time, in plain sentences. */
  omissions: readonly string[];
  tasks: readonly TaskDescription[];
  /** How the schedules and learning rates were fixed, on validation. */
  sweep: readonly ArmResult[];
  /** Full training and every setting of the rule that was tried on the tuning tasks, on validation; and the one chosen. */
  tuning: readonly ArmResult[];
  setting: string;
}

/** Full training, and GradES in every setting of a grid; each run by itself. */
export interface Ablation extends Circumstances, Results {
  task: string;
  /** By arm. */
  settings: Readonly<Record<string, Required<Pick<RuleSetting, 'signal' | 'threshold' | 'grace'>>>>;
}
