/** What the page asks of the worker that trains, and what it hears from there: plain data, which passes between threads. */

export const taskNames = ['sort', 'reverse', 'text', 'files'] as const;
export type TaskName = (typeof taskNames)[number];

export const ruleNames = [
  'grades-below',
  'grades',
  'paper-1',
  'paper-3',
  'released-code',
  'from-below',
  'none',
] as const;
export type RuleName = (typeof ruleNames)[number];

export const deviceNames = ['cpu', 'webgpu'] as const;
export type DeviceName = (typeof deviceNames)[number];

/** What freezes, and when. Shares are parts of the schedule. */
export interface RuleSettings {
  rule: RuleName;
  /** Of GradES a share of a matrix's own peak. Of the rules of the paper τ, in units of the sum that is watched. */
  threshold: number;
  /** Share before which nothing freezes. */
  grace: number;
  /** Share during which a value must stay below the threshold: of GradES alone. */
  patience: number;
}

/** Everything that a run depends on, but for a pasted text and dropped files: what a link holds. */
export interface Settings extends RuleSettings {
  task: TaskName;
  seed: number;
  steps: number;
  device: DeviceName;
}

/** What the user gave: a text for the task `text`, two files or more for `files`. */
export interface TaskData {
  text: string;
  files: readonly { name: string; bytes: Uint8Array }[];
}

export type Command =
  /** Ends what runs, and begins anew. */
  | { type: 'start'; settings: Settings; data: TaskData }
  | { type: 'pause' }
  | { type: 'resume' }
  /** One step of both runs; paused from then on. */
  | { type: 'step' }
  /** At most so many steps a second; null: as many as it can. */
  | { type: 'speed'; stepsPerSecond: number | null }
  /** By hand: a matrix by its name. */
  | { type: 'freeze' | 'thaw'; matrix: string }
  /** The rule goes on with other settings from here. */
  | { type: 'rule'; rule: RuleSettings }
  /** Back to a checkpoint, by its step. */
  | { type: 'restore'; step: number }
  /** What is shown of attention, from now on. */
  | { type: 'attention'; look: AttentionLook };

export interface AttentionLook {
  block: number;
  head: number;
  /** Index of one of the samples. */
  sample: number;
}

/** The two runs from one seed: without freezing, and with the rule. */
export type RunName = 'full' | 'rule';

/** Always in the order in which things happened. */
export type Message =
  | { type: 'started'; description: Description }
  /** What the rule watches: at the start, and when the rule has changed. */
  | { type: 'watching'; watching: Watching }
  /** What computes, and why: at the start, and when another has taken over. */
  | { type: 'device'; device: DeviceDescription }
  | { type: 'step'; state: StepState }
  /** The backward graph that the run with the rule will have in its next step: at the start, and whenever it has changed. */
  | { type: 'graph'; graph: DrawnGraph }
  | { type: 'frozen'; event: FreezeEvent }
  | { type: 'thawed'; event: FreezeEvent }
  | { type: 'samples'; step: number; samples: readonly Sample[] }
  | { type: 'attention'; attention: AttentionPicture }
  /** Steps that can be gone back to, all of them. */
  | { type: 'checkpoints'; steps: readonly number[] }
  /** What happened after this step has not happened. */
  | { type: 'restored'; step: number }
  | { type: 'paused'; paused: boolean }
  | { type: 'ended'; ending: Ending }
  /** Something that the user should know; training goes on. */
  | { type: 'notice'; text: string }
  /** Training has stopped, or did not begin. */
  | { type: 'error'; text: string };

export interface Description {
  settings: Settings;
  /** What the task is, in words. */
  task: string;
  model: { blocks: number; heads: number; width: number; parameters: number };
  /** What rules watch, block after block; `StepState.matrices` has the same order. */
  matrices: readonly MatrixDescription[];
}

export interface Watching {
  settings: RuleSettings;
  /** `share`: signals are shares of the matrix's own peak. `sum`: they are sums, without a scale. `none`: nothing is watched. */
  unit: 'share' | 'sum' | 'none';
  /** Name of what is watched, such as `split-half`; null where nothing is. */
  signal: string | null;
  /** The settings in steps. */
  graceSteps: number;
  patienceSteps: number;
}

export interface DeviceDescription {
  kind: DeviceName;
  adapter: string;
  software: boolean;
  /** Why this one runs, and what another page or browser would have. */
  reason: string;
}

export interface MatrixDescription {
  /** Path of the parameter, such as `blocks.0.attention.query.weight`. */
  name: string;
  block: number;
  kind: MatrixKind;
  shape: readonly number[];
}

export const matrixKinds = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;
export type MatrixKind = (typeof matrixKinds)[number];

/** After one step of both runs. */
export interface StepState {
  /** Steps so far of the run that is ahead: the two go together until one ends. */
  step: number;
  full: RunState;
  rule: RunState;
  matrices: readonly MatrixState[];
  stop: PlainStop;
}

export interface RunState {
  /** Steps made. */
  step: number;
  /** Training loss of this step's batch, mean over its targets. */
  loss: number;
  /** On held-out samples, the newest there is, from 0 to 1; null before the first. */
  accuracy: number | null;
  /** Wall time of this step, not counting what the page looks at. */
  milliseconds: number;
  /** Kernels dispatched by this step. */
  dispatches: number;
  /** Floating-point operations of all steps so far. */
  operationsSoFar: number;
  /** Of this step's backward graph. */
  nodes: number;
  savedBytes: number;
  ended: boolean;
}

export interface MatrixState {
  /** The newest value; null before there is one. A frozen matrix keeps its last. */
  signal: number | null;
  threshold: number;
  /** The highest value so far and its step; with the unit `share` the value is 1. */
  peak: number | null;
  peakStep: number | null;
  frozen: { step: number; reason: string } | null;
}

/** Where the run without freezing was when it had made as many operations as the run with the rule has by now. */
export interface PlainStop {
  step: number;
  loss: number | null;
  accuracy: number | null;
}

export interface FreezeEvent {
  /** Path of a parameter: of a matrix, or of a norm or embedding that froze with the last of them. */
  name: string;
  /** Step after whose update it happened. */
  step: number;
  reason: string;
}

/** The graph of one step, as the backward pass will walk it. */
export interface DrawnGraph {
  step: number;
  nodes: readonly DrawnNode[];
  /** From what is computed first to what is computed from it; gradients flow the other way. Ids of nodes. */
  edges: readonly (readonly [from: string, to: string])[];
  /** Parameters that gradients are computed for. */
  parameters: readonly { name: string; shape: readonly number[]; node: string }[];
  savedBytes: number;
}

export interface DrawnNode {
  /** The same in every step of a run, so that a node can be followed. */
  id: string;
  /** As the library names it, such as `matmul`. */
  operation: string;
  /** Path of the module that it belongs to, such as `blocks.0.attention.query`; empty for the loss. */
  module: string;
  /** Null outside of blocks. */
  block: number | null;
  shape: readonly number[];
  /** In words and symbols. */
  computes: string;
  saved: readonly SavedTensor[];
  /** What the backward pass computes here: gradients of these nodes, by id, and of these parameters, by name. */
  gradientsOf: readonly string[];
  /** Those of them that are parameters. */
  parameters: readonly string[];
}

export interface SavedTensor {
  /** What made it: an operation, or the name of a parameter. */
  origin: string;
  shape: readonly number[];
  /** 0 where it costs nothing: a parameter is there anyway, and a tensor that two nodes keep counts at the first. */
  bytes: number;
  /** The gradients that need it: ids of nodes and names of parameters. */
  neededFor: readonly string[];
}

export interface Sample {
  input: string;
  /** What is right; empty where nothing is. */
  target: string;
  /** What the model with the rule says. */
  output: string;
}

/** How much each position of an input looks at those before it, in one head. */
export interface AttentionPicture extends AttentionLook {
  step: number;
  /** The characters at the positions. */
  tokens: readonly string[];
  /** One row a position that looks, one column a position that is looked at; each row sums to 1. */
  weights: readonly (readonly number[])[];
}

/** Of one run. */
export interface Ending {
  run: RunName;
  step: number;
  /** Training loss of the last step, and accuracy on held-out samples after it. */
  loss: number;
  accuracy: number;
  /** `schedule`: all steps are made. `frozen`: nothing that is watched trains any more. */
  reason: 'schedule' | 'frozen';
}
