/** What the comparison writes and the report draws. Times are seconds, sizes bytes, accuracies shares from 0 to 1. */

import type { Sample } from '../report/watched.ts';

/** Floating-point operations counted from what was dispatched. */
export interface Operations {
  forward: number;
  /** Gradients with respect to activations. */
  backward: number;
  optimizer: number;
  validation: number;
}

export interface Freeze {
  step: number;
  name: string;
  kind: string;
  block: number | null;
  /** What the rule saw; null where the parameter followed another or a list said so. */
  value: number | null;
}

/** One arm on one task with one seed. */
export interface ArmResult {
  /** A name of the table in `arms.ts`, or one after the file of a user's own rule. */
  arm: string;
  task: string;
  seed: number;
  /** Length of the schedule as a multiple of the task's own: 0.5, 1 or 2. */
  length: number;
  /** Steps of the schedule, and steps run. */
  scheduleSteps: number;
  steps: number;
  /** On the test items, after the run. */
  accuracy: number;
  loss: number;
  operations: Operations;
  freezes: readonly Freeze[];
  /** Training loss every so often. */
  losses: readonly Sample[];
  /** The evaluations of early stopping, with the operations of training until then. */
  validation: readonly { step: number; accuracy: number; loss: number; operations: number }[];
  /** Bytes live and reserved on the device at the end of some steps, small constants that it keeps between runs among them. */
  memory: readonly { step: number; live: number; reserved: number }[];
  /** What a rule watched at some of its checks, and the threshold; empty and null where nothing was watched. */
  signals: readonly { name: string; kind: string; block: number | null; samples: readonly Sample[] }[];
  threshold: number | null;
}

/** One arm run by itself on an idle machine. */
export interface Timing {
  arm: string;
  task: string;
  seed: number;
  scheduleSteps: number;
  steps: number;
  seconds: { train: number; validate: number };
  /** Between two changes of the number of frozen matrices. */
  speeds: readonly { fromStep: number; toStep: number; frozen: number; tokensPerSecond: number }[];
  /** Share of the time in which something else wanted the processor, 0 to 1. */
  disturbance: number;
}

/** One setting of the rule, run by itself on an idle machine; full training where it is null. */
export interface AblationRun {
  setting: { signal: string; threshold: number; grace: number } | null;
  seed: number;
  accuracy: number;
  operations: number;
  steps: number;
  seconds: number;
  /** Share of the watched matrices that were frozen at the end. */
  frozenShare: number;
}

/** How the schedule and the learning rates of a task were fixed, on validation. */
export interface SweepResult {
  task: string;
  /** Whether adapters were trained; else all weights. */
  adapters: boolean;
  steps: number;
  learningRate: number;
  seed: number;
  validationAccuracy: number;
}

/** One setting of the rule that was tried on the tuning tasks. */
export interface SettingResult {
  setting: string;
  task: string;
  seed: number;
  /** On validation, against the full arm of the same seed. */
  accuracyDifference: number;
  operationsRatio: number;
  chosen: boolean;
}

export interface TaskDescription {
  name: string;
  base: string;
  character: string;
  source: string;
  description: string;
  classes: readonly string[];
  /** Steps of the schedule and learning rates fixed by the sweep. */
  steps: number;
  learningRate: { full: number; lora: number };
  /** Whether thresholds were chosen on it; what they give is then no evidence. */
  tuning: boolean;
  /** By arm: the thresholds of the paper's rules, calibrated on this task. Absent in results from before they were arms. */
  paperThresholds?: Readonly<Record<string, number>>;
}

/** When, where and with what results were made. */
export interface Circumstances {
  /** 'smoke' for quick runs, which prove nothing. */
  kind: 'full' | 'smoke';
  date: string;
  machine: string;
  device: { kind: string; adapter: string };
  model: string;
}

export interface Comparison extends Circumstances {
  seeds: readonly number[];
  /** A rule of the user's own: its arm, and the file it came from. Absent or null without one. */
  policy?: { arm: string; file: string } | null;
  /** What was left out for want of time, in plain sentences. */
  omissions: readonly string[];
  tasks: readonly TaskDescription[];
  arms: readonly ArmResult[];
  timings: readonly Timing[];
  sweep: readonly SweepResult[];
  settings: readonly SettingResult[];
}
