/** The arms of the study: what freezes or stops each, and where it leaves the run to the end. */

import {
  type Decoder,
  FreezeList,
  fromBelow,
  GradES,
  inRandomOrder,
  type Policy,
  projectionKinds,
  Random,
} from '../../src/index.ts';
import { paperGrace } from '../compare/protocol.ts';
import { type PaperArm, paperArms, paperPolicy, paperRules, watchingRules } from '../paper-rules.ts';
import type { PolicyContext } from '../policy-file.ts';
import { gradesByBlock } from './by-block.ts';
import type { StudyResult } from './results.ts';

type Context = PolicyContext<Decoder>;

/** What an arm may build on. */
export interface Given {
  /** Of the paper's rules, by arm. */
  readonly thresholds: Readonly<Record<string, number>>;
  /** What the arm that this one follows came to. */
  readonly followed: StudyResult | null;
  /** Operations of a whole step of the run to the end. */
  readonly operationsOfStep: number;
}

export interface StudyArm {
  readonly name: string;
  /** In the words of the tables. */
  readonly about: string;
  /**
   * `rule`: a training from the first step. `trunk`: a point of the run to the end. `branch`: leaves that run where the two begin to
   * differ, so that what they share is trained once.
   */
  readonly role: 'rule' | 'trunk' | 'branch';
  /** Must be done before: its operations, time or freezes are taken over. */
  readonly follows?: string;
  /** Of trunk arms: whether the run to the end has come to this point. */
  readonly stops?: 'early' | 'operations' | 'seconds';
  /** Share of the schedule after which a branch leaves. */
  readonly leavesAt?: number;
  /** What freezes. Absent: nothing. */
  policy?(context: Context, given: Given): Policy;
  /** Whether the blocks below are run again although they are frozen. */
  readonly runsPrefix?: boolean;
  /** A schedule of its own. */
  steps?(steps: number, given: Given): number;
  /** With the first seed alone: what it tells beside another arm is not a matter of seeds. */
  readonly once?: boolean;
}

/** In which the learning rate rises; half a cosine follows. */
export function warmupSteps(steps: number): number {
  return Math.floor(0.05 * steps);
}

/** Freezing from below, block after block, between these shares of the schedule (FreezeOut, arXiv 1706.04983). */
const freezeOut = { from: 0.25, to: 1 };
/** Of the random matrices; weights, adapters and order have their own. */
const randomStream = 31;

/** The watching rules of a calibration as one policy: a run has as many as the state that it begins from. */
export function watchPaperRules(context: Context, onThreshold: (arm: string, threshold: number) => void): Policy {
  const rules = watchingRules(context, onThreshold);
  return {
    beforeStep(step) {
      for (const rule of rules) rule.beforeStep(step);
    },
    async afterStep(step) {
      for (const rule of rules) await rule.afterStep(step);
    },
    async end() {
      for (const rule of rules) await rule.end();
    },
  };
}

const grades =
  (isFromBelow: boolean): StudyArm['policy'] =>
  ({ registry, optimizer, steps }) =>
    new GradES(registry, optimizer, {
      ...{ steps, sampleFrom: Math.max(1, warmupSteps(steps)), freezeLeftovers: true, fromBelow: isFromBelow },
    });

function ofPaper(name: PaperArm): StudyArm {
  return {
    ...{ name, about: paperRules[name].about, role: 'branch', leavesAt: paperGrace },
    policy: (context, { thresholds }) => paperPolicy(name, context, thresholds[name]),
  };
}

function upper(words: string, share: number): StudyArm {
  return {
    name: `upper-${words}`,
    about: `only the upper ${words} of the blocks train, from the first step on`,
    role: 'rule',
    policy({ registry, model }) {
      const live = model.blocks.length - Math.max(1, Math.round(share * model.blocks.length));
      return {
        beforeStep(step) {
          if (step > 1) return;
          for (const entry of registry.active()) {
            if (entry.kind !== 'embedding' && (entry.block === null || entry.block >= live)) continue;
            registry.freeze(entry, { step: 0, reason: 'only the upper blocks train' });
          }
        },
      };
    },
  };
}

function stopAtOperations(rule: string): StudyArm {
  return {
    name: `${rule}-operations-plain-stop`,
    about: `the run to the end, cut off at the operations of ${rule}`,
    ...{ role: 'trunk', follows: rule, stops: 'operations' },
  };
}

function plainStops(rule: string): StudyArm[] {
  return [
    stopAtOperations(rule),
    {
      name: `${rule}-time-plain-stop`,
      about: `the run to the end, cut off at the time of ${rule}`,
      ...{ role: 'trunk', follows: rule, stops: 'seconds' },
    },
  ];
}

/** A stop cuts a cosine off while the rate is high; this one comes to its end. */
function shortCosine(rule: string): StudyArm {
  return {
    name: `${rule}-short-cosine`,
    about: `a whole schedule as long as the operations of ${rule} allow`,
    ...{ role: 'rule', follows: rule },
    steps: (steps, { followed, operationsOfStep }) =>
      Math.max(1, Math.min(steps, Math.round((followed?.cost.operations ?? 0) / operationsOfStep))),
  };
}

/** In the order in which they are done. */
export const arms: readonly StudyArm[] = [
  { name: 'grades', about: 'GradES as recommended, frozen blocks not run again', role: 'rule', policy: grades(false) },
  {
    name: 'grades-from-below',
    about: 'the same; of several that may freeze the lowest goes first',
    ...{ role: 'rule', policy: grades(true) },
  },
  {
    name: 'grades-by-block',
    about: 'whole blocks freeze, the lowest first, by the mean signal of their matrices',
    role: 'rule',
    policy: (context) => gradesByBlock(context, Math.max(1, warmupSteps(context.steps))),
  },
  {
    name: 'grades-without-cache',
    about: 'GradES as recommended, frozen blocks run again: bit for bit the same weights',
    ...{ role: 'rule', policy: grades(false), runsPrefix: true, once: true },
  },
  upper('half', 1 / 2),
  upper('quarter', 1 / 4),
  {
    name: 'freeze-out',
    about: 'one block after the other from below, at times fixed beforehand (FreezeOut)',
    ...{ role: 'branch', leavesAt: freezeOut.from },
    policy: ({ registry, steps }) =>
      new FreezeList(registry, {
        list: fromBelow(registry, { from: Math.round(freezeOut.from * steps), to: freezeOut.to * steps }),
        freezeLeftovers: true,
      }),
  },
  ...paperArms.map(ofPaper),
  { name: 'to-the-end', about: 'the whole schedule, nothing freezes', role: 'trunk' },
  { name: 'early-stopping', about: 'classic early stopping on the validation set', role: 'trunk', stops: 'early' },
  ...plainStops('grades'),
  ...plainStops('grades-from-below'),
  ...plainStops('grades-by-block'),
  ...['freeze-out', ...paperArms].map(stopAtOperations),
  {
    name: 'random-matrices',
    about: 'other matrices, drawn at random, frozen at the times of grades-from-below',
    ...{ role: 'rule', follows: 'grades-from-below' },
    policy({ registry, seed }, { followed }) {
      const list = inRandomOrder(followed?.freezes ?? [], new Random(seed, randomStream));
      return new FreezeList(registry, {
        ...{ list, freezeLeftovers: true },
        stopWhenDone: followed !== null && list.length === followed.matrices,
      });
    },
  },
  ...['grades-from-below', 'grades-by-block', 'freeze-out'].map(shortCosine),
];

export const armNames: readonly string[] = arms.map(({ name }) => name);

/** Whether it is a matrix that rules watch. */
export function isWatched({ kind }: { readonly kind: string }): boolean {
  return projectionKinds.some((each) => each === kind);
}
