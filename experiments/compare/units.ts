/** The pieces of work that comparison and ablation are made of: the smallest that are kept, and how each is done. */

import type { Device } from '../../src/index.ts';
import { type Arm, armTable } from './arms.ts';
import { type Bases, loadBase } from './bases.ts';
import type { RuleSetting } from './protocol.ts';
import type { ArmResult } from './results.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { calibrate, trainArms } from './train-arms.ts';
import { UnderWay } from './under-way.ts';
import { armNameOf, loadPolicy } from './user-policy.ts';

/** What the arms of a phase are scored on, and whether each runs alone so that its time is taken. */
const phases = {
  sweep: { part: 'validation', timed: false },
  tuning: { part: 'validation', timed: false },
  calibration: { part: 'validation', timed: false },
  arms: { part: 'test', timed: false },
  timing: { part: 'test', timed: true },
  ablation: { part: 'test', timed: true },
} as const;

/** What the rules of arms are told. */
export interface Rules {
  /** Of GradES, by arm. A name that the table of arms lacks is an arm of its own: GradES on all weights in that setting. */
  settings: Readonly<Record<string, RuleSetting>>;
  /** Of the paper's rules, by arm. */
  thresholds: Readonly<Record<string, number>>;
  /** The file of a user's own rule. */
  policy: string | null;
}

/** Arms on one task with one seed and schedule. It travels as JSON. */
export interface Unit extends Rules {
  phase: keyof typeof phases;
  task: TaskName;
  seed: number;
  steps: number;
  learningRate: number;
  adapters: boolean;
  /** The schedule as a multiple of the task's own. */
  length: number;
  arms: readonly string[];
}

/** A unit of full training, but for what is said otherwise. */
export function unitOf(unit: Pick<Unit, 'phase' | 'task' | 'seed' | 'steps' | 'learningRate'> & Partial<Unit>): Unit {
  const arms = unit.adapters ? ['lora'] : ['full'];
  return { adapters: false, length: 1, arms, settings: {}, thresholds: {}, policy: null, ...unit };
}

/** Tells units apart, and names their files. */
export function unitKey({ phase, task, seed, steps, learningRate, adapters, arms, policy }: Unit): string {
  const named = (words: string) => words.replaceAll('+', '-with-').replaceAll(/[^A-Za-z0-9.-]+/g, '-');
  return [
    ...[phase, task, adapters ? 'lora' : 'full'],
    ...(phases[phase].timed ? arms.map(named) : []),
    ...(policy === null ? [] : [`policy-${named(policy)}`]),
    ...[`${steps}-steps`, `rate-${learningRate}`, `seed-${seed}`],
  ].join('_');
}

/** Training steps a unit comes to, roughly; for telling what is left. */
export function expectedSteps({ steps, arms }: Unit): number {
  return steps * Math.max(1, 0.8 * arms.filter((arm) => !arm.endsWith('plain-stop')).length);
}

/** In a few words, for telling what is under way. */
export function unitInWords({ phase, task, seed, arms }: Unit): string {
  return `${phases[phase].timed ? arms[0] : task} seed ${seed}`;
}

/**
 * @param checkpoint the file that keeps what the unit comes to on its way.
 * @param onStep called after each training step of any arm.
 * @throws FileWriteError where it cannot be kept.
 */
export async function performUnit(
  unit: Unit,
  { device, bases, checkpoint, onStep }: { device: Device; bases: Bases; checkpoint: string; onStep(): void },
): Promise<ArmResult[]> {
  const task = loadTask(unit.task);
  const source = { ...unit, task, device, base: await loadBase(task.base, device, bases), onStep };
  const underWay = await UnderWay.open(checkpoint, unit);
  if (unit.phase === 'calibration') return calibrate(source, underWay);
  return trainArms({ ...source, ...phases[unit.phase], table: await tableOf(unit) }, underWay);
}

async function tableOf({ settings, policy: file }: Rules): Promise<readonly Arm[]> {
  if (file === null) return armTable({ settings });
  const make = await loadPolicy(file);
  return armTable({ settings, userRule: armNameOf(file) }, ({ registry, optimizer, model, source }) => {
    const { steps, seed, device } = source;
    return make({ registry, optimizer, model, steps, seed, device });
  });
}
