/** The pieces of work that a comparison is made of: the smallest that are kept, and how each is done. */

import type { Device, StateDict } from '../../src/index.ts';
import { type Arm, armTable, gradesPolicy, paperArms, paperPolicy } from './arms.ts';
import { loadBase } from './bases.ts';
import { quantile } from './bootstrap.ts';
import { calibration, type LengthFactor, type RuleSetting } from './protocol.ts';
import type { AblationRun, ArmResult, SettingResult, SweepResult, Timing } from './results.ts';
import { Run, type RunSource, trainingOperations } from './run.ts';
import type { BaseName } from './tasks/task.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { timeArm, timeSetting } from './timing.ts';
import { trainArms } from './train-arms.ts';
import { armNameOf, loadPolicy } from './user-policy.ts';

/** What ran of a unit when it was interrupted runs again. A unit is told everything, and travels as JSON. */
export type Unit = SweepUnit | TuningUnit | CalibrationUnit | ArmsUnit | TimingUnit | AblationUnit;

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

export interface CalibrationUnit extends Trained {
  phase: 'calibration';
}

/** What the rules of arms are told. */
export interface Rules {
  setting: RuleSetting;
  /** Of the paper's rules, by arm. */
  thresholds: Readonly<Record<string, number>>;
  /** The file of a user's own rule. */
  policy: string | null;
}

export interface ArmsUnit extends Trained, Rules {
  phase: 'arms';
  adapters: boolean;
  length: LengthFactor;
  arms: readonly string[];
}

export interface TimingUnit extends Trained, Rules {
  phase: 'timing';
  arm: string;
}

/** The rule in one setting, or full training, by itself. */
export interface AblationUnit extends Trained {
  phase: 'ablation';
  setting: { signal: string; threshold: number; grace: number } | null;
}

/** τ of each of the paper's rules on one task. */
interface Calibration {
  task: string;
  thresholds: Readonly<Record<string, number>>;
}

/** What a unit leaves; the fields of other phases stay empty. */
export interface UnitResult {
  sweep: SweepResult[];
  settings: Omit<SettingResult, 'chosen'>[];
  calibrations: Calibration[];
  arms: ArmResult[];
  timings: Timing[];
  ablation: AblationRun[];
}

const noResult: UnitResult = { sweep: [], settings: [], calibrations: [], arms: [], timings: [], ablation: [] };

export function isUnitResult(value: object): value is UnitResult {
  return Object.keys(noResult).every((field) => Array.isArray(Reflect.get(value, field)));
}

/** Tells units apart, and names their files. */
export function unitKey(unit: Unit): string {
  const { phase, task, seed, steps, learningRate } = unit;
  const parts: (string | number)[] = [phase, task];
  if (phase === 'sweep' || phase === 'arms') parts.push(unit.adapters ? 'lora' : 'full');
  if (phase === 'timing') parts.push(unit.arm.replace('+', '-with-'));
  if (phase === 'ablation') {
    const { setting } = unit;
    parts.push(...(setting ? [setting.signal, `threshold-${setting.threshold}`, `grace-${setting.grace}`] : ['full']));
  }
  if ((phase === 'arms' || phase === 'timing') && unit.policy !== null) {
    parts.push(`policy-${unit.policy.replaceAll(/[^A-Za-z0-9.-]+/g, '-')}`);
  }
  return [...parts, `${steps}-steps`, `rate-${learningRate}`, `seed-${seed}`].join('_');
}

/** Training steps a unit comes to, roughly; for telling what is left. */
export function expectedSteps(unit: Unit): number {
  const { steps } = unit;
  if (unit.phase === 'tuning') return steps * (1 + 0.8 * Object.keys(unit.settings).length);
  if (unit.phase !== 'arms') return steps;
  return steps * Math.max(1, 0.8 * unit.arms.filter((arm) => !arm.endsWith('plain-stop')).length);
}

/** Where the bases are kept, and how long they are trained. */
export interface Bases {
  folder: string;
  steps: number;
}

/** Performs units on one device; bases are loaded once. */
export class UnitRunner {
  readonly #device: Device;
  readonly #options: Bases;
  readonly #bases = new Map<BaseName, Promise<StateDict>>();

  constructor(device: Device, bases: Bases) {
    this.#device = device;
    this.#options = bases;
  }

  /** @param onStep called after each training step of any arm. */
  async perform(unit: Unit, onStep: () => void): Promise<UnitResult> {
    const task = loadTask(unit.task);
    const { seed, steps, learningRate } = unit;
    const base = await this.base(task.base);
    const source = { device: this.#device, task, base, seed, steps, learningRate, adapters: false, onStep };
    switch (unit.phase) {
      case 'sweep':
        return { ...noResult, sweep: [await sweep({ ...source, adapters: unit.adapters })] };
      case 'tuning':
        return { ...noResult, settings: await tune(source, unit.settings) };
      case 'calibration':
        return { ...noResult, calibrations: [await calibrate(source)] };
      case 'arms':
        return { ...noResult, arms: await trainArms({ ...source, ...unit, task, table: await tableOf(unit) }) };
      case 'ablation':
        return { ...noResult, ablation: [await timeSetting(source, unit.setting)] };
      case 'timing': {
        const arm = (await tableOf(unit)).find(({ name }) => name === unit.arm);
        if (!arm) throw new RangeError(`there is no arm ${unit.arm}`);
        const timing = await timeArm({ ...source, adapters: arm.adapters }, arm, { ...unit, ofRule: null });
        return { ...noResult, timings: [timing] };
      }
    }
  }

  base(name: BaseName, onProgress?: (message: string) => void): Promise<StateDict> {
    const known = this.#bases.get(name) ?? loadBase(name, this.#device, { ...this.#options, onProgress });
    this.#bases.set(name, known);
    return known;
  }
}

async function tableOf({ policy: file }: Rules): Promise<readonly Arm[]> {
  if (file === null) return armTable();
  const make = await loadPolicy(file);
  return armTable(armNameOf(file), ({ registry, optimizer, model, source: { steps, seed, device } }) =>
    make({ registry, optimizer, model, steps, seed, device }),
  );
}

async function sweep(source: RunSource): Promise<SweepResult> {
  const { task, seed, steps, learningRate, adapters } = source;
  const { accuracy } = await validated(await Run.start(source));
  return { task: task.name, steps, learningRate, seed, validationAccuracy: accuracy, adapters };
}

/** Tries every setting of GradES and scores it on validation, against full training; no test item is looked at. */
async function tune(source: RunSource, settings: TuningUnit['settings']): Promise<UnitResult['settings']> {
  const full = await validated(await Run.start(source));
  const results: UnitResult['settings'] = [];
  for (const [name, setting] of Object.entries(settings)) {
    const run = await Run.start(source, { policies: (run) => [gradesPolicy(run, setting)] });
    const { accuracy, operations } = await validated(run);
    results.push({
      ...{ setting: name, task: source.task.name, seed: source.seed },
      accuracyDifference: accuracy - full.accuracy,
      operationsRatio: operations / full.operations,
    });
  }
  return results;
}

/** Trains to the end and scores on validation. */
async function validated(run: Run): Promise<{ accuracy: number; operations: number }> {
  await run.train();
  await run.end();
  const { accuracy } = await run.evaluate('validation');
  run.release();
  return { accuracy, operations: trainingOperations(run) };
}

/**
 * One full run that every rule of the paper watches, with a threshold that nothing falls below. τ is the median of the watched
 * matrices at the share of the schedule that the protocol names.
 */
async function calibrate(source: RunSource): Promise<Calibration> {
  const at = Math.round(calibration.share * source.steps);
  const thresholds: Record<string, number> = {};
  const run = await Run.start(source, {
    policies: (run) =>
      paperArms.map((arm) => {
        const rule = paperPolicy(arm, run, Number.MIN_VALUE);
        rule.onCheck(({ step, values }) => {
          if (step === at) thresholds[arm] = quantile(Float64Array.from(values.values()).sort(), 0.5);
        });
        return rule;
      }),
  });
  await run.train();
  await run.end();
  run.release();
  return { task: source.task.name, thresholds };
}
