/** The settings of a run: what is allowed, what is usual, and how a link holds them. */
import {
  deviceNames,
  type RuleName,
  type RuleSettings,
  ruleNames,
  type Settings,
  type TaskName,
  taskNames,
} from './protocol.ts';

export interface Range {
  lowest: number;
  highest: number;
  step: number;
}

export interface RuleDescription {
  label: string;
  explanation: string;
  usual: Pick<RuleSettings, 'threshold' | 'grace' | 'patience'>;
  /** Null where the rule has no such setting. */
  threshold: Range | null;
  grace: Range | null;
  patience: Range | null;
}

const share: Range = { lowest: 0, highest: 0.9, step: 0.01 };
const gradesRanges = {
  usual: { threshold: 0.3, grace: 0.15, patience: 0.02 },
  threshold: { lowest: 0.05, highest: 0.95, step: 0.01 },
  grace: share,
  patience: { lowest: 0, highest: 0.3, step: 0.005 },
};
const sum: Range = { lowest: 0.05, highest: 10, step: 0.05 };

export const rules: Readonly<Record<RuleName, RuleDescription>> = {
  'grades-below': {
    label: 'GradES, the lowest block first',
    explanation:
      'The split-half signal of a matrix has fallen below a share of its own peak, and stayed there. Of several, one of the lowest ' +
      'block freezes first: once that block is done, nothing has to be carried down to it.',
    ...gradesRanges,
  },
  grades: {
    label: 'GradES, the lowest signal first',
    explanation: 'The same, but of several the one with the lowest signal freezes first, wherever it stands.',
    ...gradesRanges,
  },
  'paper-1': {
    label: 'The paper, version 1',
    explanation: 'The magnitude of the gradient, ‖∇W‖₁, is below τ, once.',
    usual: { threshold: 0.2, grace: 0.5, patience: 0 },
    threshold: sum,
    grace: share,
    patience: null,
  },
  'paper-3': {
    label: 'The paper, version 3',
    explanation: 'The change of the gradient from step to step, ‖∇Wₜ − ∇Wₜ₋₁‖₁, is below τ, once.',
    usual: { threshold: 0.5, grace: 0.5, patience: 0 },
    threshold: sum,
    grace: share,
    patience: null,
  },
  'released-code': {
    label: 'The code that the paper released',
    explanation: 'The weights changed by less than τ since the step before, ‖ΔW‖₁: it never looks at a gradient.',
    usual: { threshold: 0.05, grace: 0.5, patience: 0 },
    threshold: { lowest: 0.005, highest: 1, step: 0.005 },
    grace: share,
    patience: null,
  },
  'from-below': {
    label: 'By the clock, from below',
    explanation: 'Whole blocks at fixed steps: the lowest when grace ends, the highest halfway from there to the end.',
    usual: { threshold: 0.3, grace: 0.4, patience: 0 },
    threshold: null,
    grace: share,
    patience: null,
  },
  none: {
    label: 'By hand alone',
    explanation: 'Nothing freezes by itself.',
    usual: { threshold: 0.3, grace: 0, patience: 0 },
    threshold: null,
    grace: null,
    patience: null,
  },
};

export const seeds: Range = { lowest: 0, highest: 2 ** 32 - 1, step: 1 };
export const lengths: Range = { lowest: 10, highest: 5000, step: 1 };

/** That can be told apart at once. */
export const mostFiles = 8;

const usualRule: RuleName = 'grades-below';
const usualTask: TaskName = 'sort';

export const usualSettings: Settings = {
  task: usualTask,
  seed: 0,
  steps: 800,
  device: 'cpu',
  rule: usualRule,
  ...rules[usualRule].usual,
};

/** What stands in an address behind `#`. */
export function addressOf(settings: Settings): string {
  return new URLSearchParams(
    Object.entries(settings).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();
}

/** The settings in such a text. What makes no sense is left at what is usual, and told in words that go on after “in the address”. */
export function settingsFrom(address: string): { settings: Settings; faults: string[] } {
  const given = new URLSearchParams(address);
  const faults: string[] = [];
  const word = <Word extends string>(name: keyof Settings, allowed: readonly Word[], usual: Word): Word => {
    const text = given.get(name);
    if (text === null) return usual;
    const found = allowed.find((each) => each === text);
    if (found === undefined)
      faults.push(`${name} is “${shortened(text)}” (allowed: ${allowed.join(', ')}); ${usual} is taken`);
    return found ?? usual;
  };
  const number = (name: keyof Settings, range: Range | null, usual: number): number => {
    const text = given.get(name);
    if (text === null || range === null) return usual;
    const value = text.trim() === '' ? Number.NaN : Number(text);
    const isWhole = range.step < 1 || Number.isInteger(value);
    if (isWhole && value >= range.lowest && value <= range.highest) return value;
    const kind = range.step < 1 ? 'numbers' : 'whole numbers';
    faults.push(
      `${name} is “${shortened(text)}” (allowed: ${kind} from ${range.lowest} to ${range.highest}); ${usual} is taken`,
    );
    return usual;
  };
  const rule = word('rule', ruleNames, usualRule);
  const { usual, ...ranges } = rules[rule];
  const settings: Settings = {
    task: word('task', taskNames, usualSettings.task),
    seed: number('seed', seeds, usualSettings.seed),
    steps: number('steps', lengths, usualSettings.steps),
    device: word('device', deviceNames, usualSettings.device),
    rule,
    threshold: number('threshold', ranges.threshold, usual.threshold),
    grace: number('grace', ranges.grace, usual.grace),
    patience: number('patience', ranges.patience, usual.patience),
  };
  const unknown = [...given.keys()].filter((name) => !Object.hasOwn(settings, name));
  for (const name of unknown) faults.push(`there is no setting “${shortened(name)}”`);
  return { settings, faults };
}

function shortened(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
