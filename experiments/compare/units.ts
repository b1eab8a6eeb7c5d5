import type { Device, StateDict } from '../../src/index.ts';
import { newRun, type RunSource, trainAlone, trainArms, tuneRule } from './arms.ts';
import { loadBase } from './bases.ts';
import { evaluate } from '../evaluate.ts';
import { type LengthFactor, noisePerturbation, type RuleSetting } from './protocol.ts';
import type { ArmName, ArmResult, SettingResult, SweepResult, Timing } from './results.ts';
import type { BaseName } from './tasks/task.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { timeArm } from './timing.ts';

/** The smallest piece of work that is kept: what ran of a unit when it was interrupted runs again. */
export type Unit = SweepUnit | TuningUnit | ArmsUnit | NoiseUnit | TimingUnit;

interface Trained {
  task: TaskName;
  seed: number;
  steps: number;
  learningRate: number;
}

export interface SweepUnit extends Trained {
  phase: 'sweep';
  adapters: boolean;
}

export interface TuningUnit extends Trained {
  phase: 'tuning';
  settings: Readonly<Record<string, RuleSetting>>;
}

export interface ArmsUnit extends Trained {
  phase: 'arms';
  adapters: boolean;
  length: LengthFactor;
  arms: readonly ArmName[];
  setting: RuleSetting;
  costlyValidation: boolean;
}

/** Full training from weights that differ in the last digits. */
export interface NoiseUnit extends Trained {
  phase: 'noise';
}

export interface TimingUnit extends Trained {
  phase: 'timing';
  arm: ArmName;
  setting: RuleSetting;
}

/** What a unit leaves; the fields of other phases stay empty. */
export interface UnitResult {
  sweep: SweepResult[];
  settings: Omit<SettingResult, 'chosen'>[];
  arms: ArmResult[];
  timings: Timing[];
}

/** Tells units apart, and names their files. */
export function unitKey(unit: Unit): string {
  const { phase, task, seed, steps, learningRate } = unit;
  const parts: (string | number)[] = [phase, task];
  if (phase === 'sweep' || phase === 'arms') parts.push(unit.adapters ? 'lora' : 'full');
  if (phase === 'timing') parts.push(unit.arm.replace('+', '-with-'));
  return [...parts, `${steps}-steps`, `rate-${learningRate}`, `seed-${seed}`].join('_');
}

/** Training steps a unit comes to, roughly; for sharing out the work and for telling what is left. */
export function expectedSteps(unit: Unit): number {
  const { steps } = unit;
  if (unit.phase === 'tuning') return steps * (1 + 0.6 * Object.keys(unit.settings).length);
  if (unit.phase !== 'arms') return 1.1 * steps;
  return steps * Math.max(1, 0.5 * unit.arms.length);
}

/** Performs units on one device; bases are loaded once. */
export class UnitRunner {
  readonly #device: Device;
  readonly #baseSteps: number;
  readonly #bases = new Map<BaseName, Promise<StateDict>>();

  constructor(device: Device, baseSteps: number) {
    this.#device = device;
    this.#baseSteps = baseSteps;
  }

  /** @param onStep called after each training step of any arm. */
  async perform(unit: Unit, onStep: () => void): Promise<UnitResult> {
    const { seed, steps, learningRate } = unit;
    const task = loadTask(unit.task);
    const base = await this.base(task.base);
    const empty: UnitResult = { sweep: [], settings: [], arms: [], timings: [] };
    const source = { device: this.#device, task, base, seed, steps, learningRate, adapters: false, onStep };
    switch (unit.phase) {
      case 'sweep':
        return { ...empty, sweep: [await sweep({ ...source, adapters: unit.adapters })] };
      case 'tuning':
        return { ...empty, settings: await tuneRule(source, unit.settings) };
      case 'arms':
        return { ...empty, arms: await trainArms({ ...source, ...unit, task, arms: new Set(unit.arms) }) };
      case 'noise':
        return { ...empty, arms: [await trainAlone({ ...source, length: 1 }, 'null', noisePerturbation)] };
      case 'timing':
        return { ...empty, timings: [await timeArm({ ...source, arm: unit.arm, setting: unit.setting })] };
    }
  }

  base(name: BaseName, onProgress?: (message: string) => void): Promise<StateDict> {
    const known = this.#bases.get(name) ?? loadBase(name, this.#device, { steps: this.#baseSteps, onProgress });
    this.#bases.set(name, known);
    return known;
  }
}

async function sweep(source: RunSource): Promise<SweepResult> {
  const { device, task, seed, steps, learningRate, adapters } = source;
  const run = await newRun(source, steps);
  while (!run.isOver) await run.advance();
  await run.optimizer.report();
  const { accuracy } = await evaluate(run.model, device, task.validation);
  run.release();
  return { task: task.name, steps, learningRate, seed, validationAccuracy: accuracy, adapters };
}
