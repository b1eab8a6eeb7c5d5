/** The arms of the comparison: what each of them trains, what decides when it freezes or stops, and when it is run. */

import {
  allAtOnce,
  EarlyStopping,
  FreezeList,
  type FreezeListItem,
  GradES,
  gradientChange,
  gradientMagnitude,
  inRandomOrder,
  inReversedOrder,
  LossPlateau,
  type Policy,
  projectionKinds,
  Random,
  splitHalf,
  weightChange,
} from '../../src/index.ts';
import { type PaperArm, paperArms, paperPolicy, paperRules } from '../paper-rules.ts';
import { type RuleSetting, stopping, training, validationItems, validationShare } from './protocol.ts';
import type { ArmResult } from './results.ts';
import type { Run } from './run.ts';

export interface Arm {
  readonly name: string;
  /** What it does, in the words of the tables. */
  readonly about: string;
  /** Whether adapters train on a frozen base; else all weights train. */
  readonly adapters: boolean;
  /**
   * `whole` trains to the end of the schedule. A `rule` freezes by what it watches; it is trained first, for others take the
   * operations it took. A `plain stop` is the whole arm of its kind where that has used as many, and trains nothing itself. A
   * `control` is a training that ends there.
   */
  readonly role: 'whole' | 'stopping' | 'rule' | 'plain stop' | 'control';
  /** Of plain stops and controls: the rule whose operations they take. */
  readonly rule?: string;
  /**
   * `once`: with the first seed, because it is costly. `judged`: on the tasks that are evidence, at their own length of schedule.
   * Absent: on every task, with every seed, at every length.
   */
  readonly runs?: 'once' | 'judged';
  /** Whether its time is taken. */
  readonly timed?: boolean;
  /** Absent: nothing freezes, and nothing stops it. */
  policy?(run: Run, given: Given): Policy;
  /** Its schedule ends where the operations of the rule end, at this multiple of the learning rate. */
  readonly wholeScheduleAtRate?: number;
  /** Its first weights are multiplied by 1 + the perturbation of the protocol. */
  readonly perturbed?: boolean;
}

/** What policies are made from, besides the run. */
export interface Given {
  /** Of GradES, by arm. */
  settings: Readonly<Record<string, RuleSetting>>;
  /** Of the paper's rules, by arm. */
  thresholds: Readonly<Record<string, number>>;
  /** Of controls: what their rule came to. */
  ofRule: ArmResult | null;
}

/** Streams of the random choices that controls make; weights and batches have their own. */
const streams = { randomMatrices: 11, plateau: 12 };

const signals = [splitHalf, gradientMagnitude, gradientChange, weightChange];

/** GradES in one setting. It samples from the end of the warm-up on. */
export function gradesPolicy({ registry, optimizer, source: { steps } }: Run, setting: RuleSetting): GradES {
  const signal = signals.find(({ name }) => name === setting.signal);
  const sampleFrom = Math.max(1, Math.floor(training.warmup * steps));
  return new GradES(registry, optimizer, { ...setting, signal, steps, sampleFrom, freezeLeftovers: true });
}

function inItsSetting(arm: string): Arm['policy'] {
  return (run, { settings }) => gradesPolicy(run, settings[arm]);
}

function stoppingPolicy(share: number, restoresBest = false) {
  return (run: Run) => {
    const { steps, task } = run.source;
    const items = validationItems(share, steps, task.validation.count);
    const restoreBest = restoresBest ? run.model : undefined;
    return new EarlyStopping({ steps, ...stopping, restoreBest, validate: () => run.validate(items) });
  };
}

/** The watched matrices that a run froze, with their steps; what only followed them is left out. */
export function freezeList({ freezes }: ArmResult): FreezeListItem[] {
  return freezes.filter(({ kind }) => projectionKinds.some((each) => each === kind));
}

function following(change: (list: readonly FreezeListItem[], seed: number) => FreezeListItem[]) {
  return ({ registry, source }: Run, { ofRule }: Given) => {
    const list = change(ofRule ? freezeList(ofRule) : [], source.seed);
    return new FreezeList(registry, { list, freezeLeftovers: true });
  };
}

function atMeanStep(list: readonly FreezeListItem[]): FreezeListItem[] {
  const meanStep = Math.round(list.reduce((sum, { step }) => sum + step, 0) / list.length);
  return allAtOnce(
    list.map(({ name }) => name),
    meanStep,
  );
}

function plainStop(name: string, rule: string, adapters = false): Arm {
  const whole = adapters ? 'adapters' : 'full training';
  return {
    name,
    about: `${whole} cut off at the operations of ${rule}`,
    adapters,
    role: 'plain stop',
    rule,
  };
}

function controls(prefix: string, rule: string): Arm[] {
  const control = (name: string, about: string, rest: Partial<Arm>): Arm => ({
    ...{ name: `${prefix}${name}`, about, adapters: false, role: 'control', rule, runs: 'judged', ...rest },
  });
  return [
    control('short-cosine', `a whole schedule as long as the operations of ${rule} allow`, { wholeScheduleAtRate: 1 }),
    control('short-cosine-2x', 'the same at twice the learning rate', { wholeScheduleAtRate: 2 }),
    control('all-at-once', `everything frozen at the mean step of the freezes of ${rule}`, {
      policy: following(atMeanStep),
    }),
    control('random-matrices', `other matrices, drawn at random, frozen at the times of ${rule}`, {
      policy: following((list, seed) => inRandomOrder(list, new Random(seed, streams.randomMatrices))),
    }),
    control('reversed', `the matrices of ${rule} in reversed order at its times`, {
      policy: following(inReversedOrder),
    }),
    control('plateau', 'random matrices frozen where the training loss flattens', {
      // Grace, patience and horizon are those of GradES, so that the two differ in what they look at.
      policy: ({ registry, optimizer, source: { steps, seed } }) =>
        new LossPlateau(registry, optimizer, {
          steps,
          random: new Random(seed, streams.plateau),
          freezeLeftovers: true,
        }),
    }),
  ];
}

function paperRule(name: PaperArm): Arm[] {
  const { about } = paperRules[name];
  const policy: Arm['policy'] = ({ registry, optimizer, source: { steps } }, { thresholds }) =>
    paperPolicy(name, { registry, optimizer, steps }, thresholds[name]);
  return [
    { name, about, adapters: false, role: 'rule', runs: 'judged', timed: true, policy },
    { ...plainStop(`${name}-plain-stop`, name), runs: 'judged' },
  ];
}

/** The arms of the paper's tables 1 and 4, then the controls, the paper's own rules, and the noise floor. */
export const arms: readonly Arm[] = [
  { name: 'full', about: 'all weights, to the end of the schedule', adapters: false, role: 'whole', timed: true },
  {
    name: 'full+stopping',
    about: 'classic early stopping on a small validation set, with the weights it stopped at',
    ...{ adapters: false, role: 'stopping', timed: true, policy: stoppingPolicy(validationShare.small) },
  },
  {
    name: 'full+stopping-best',
    about: 'the same, returning to the best weights seen',
    ...{ adapters: false, role: 'stopping', policy: stoppingPolicy(validationShare.small, true) },
  },
  {
    name: 'full+stopping-costly',
    about: 'the same as full+stopping, on a validation set as costly as the paper’s times imply',
    ...{ adapters: false, role: 'stopping', runs: 'once', timed: true, policy: stoppingPolicy(validationShare.costly) },
  },
  {
    name: 'full+grades',
    about: 'GradES on all weights',
    ...{ adapters: false, role: 'rule', timed: true, policy: inItsSetting('full+grades') },
  },
  { name: 'lora', about: 'adapters, to the end of the schedule', adapters: true, role: 'whole', timed: true },
  {
    name: 'lora+stopping',
    about: 'adapters with classic early stopping on a small validation set',
    ...{ adapters: true, role: 'stopping', timed: true, policy: stoppingPolicy(validationShare.small) },
  },
  {
    name: 'lora+grades',
    about: 'GradES on adapters',
    ...{ adapters: true, role: 'rule', timed: true, policy: inItsSetting('lora+grades') },
  },
  plainStop('plain-stop', 'full+grades'),
  ...controls('', 'full+grades'),
  plainStop('lora-plain-stop', 'lora+grades', true),
  ...paperArms.flatMap(paperRule),
  {
    name: 'null',
    about: 'full training from weights that differ by next to nothing: the noise floor',
    ...{ adapters: false, role: 'whole', runs: 'judged', perturbed: true },
  },
];

export const armNames: readonly string[] = arms.map(({ name }) => name);

/** The arms of a user's own rule: itself, its plain stop, its other controls. */
export function userArms(name: string, policy?: Arm['policy']): Arm[] {
  return [
    { name, about: 'the rule of --policy', adapters: false, role: 'rule', timed: true, policy },
    plainStop(`${name}-plain-stop`, name),
    ...controls(`${name}-`, name),
  ];
}

/** The table, with an arm for each further setting of GradES and the arms of a user's own rule, where there is one. */
export function armTable(
  { settings = {}, userRule }: { settings?: Given['settings']; userRule?: string | null },
  policy?: Arm['policy'],
): readonly Arm[] {
  const others = Object.keys(settings).filter((name) => !armNames.includes(name));
  return [
    ...arms,
    ...others.map((name): Arm => {
      return { name, about: 'GradES in this setting', adapters: false, role: 'rule', policy: inItsSetting(name) };
    }),
    ...(userRule ? userArms(userRule, policy) : []),
  ];
}
