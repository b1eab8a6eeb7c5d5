/** Trains the arms of one task, seed and schedule. */

import { LoadMeter } from '../../command/load-meter.ts';
import { savedObject } from '../../src/nn/saved.ts';
import { watchingRules } from '../paper-rules.ts';
import type { Arm, Given } from './arms.ts';
import { noisePerturbation } from './protocol.ts';
import type { ArmResult } from './results.ts';
import { Run, type RunSource, trainingOperations } from './run.ts';
import { UnderWay } from './under-way.ts';

export interface ArmsOptions extends RunSource, Omit<Given, 'ofRule'> {
  table: readonly Arm[];
  /** Names of those that are wanted. */
  arms: readonly string[];
  /** The schedule as a multiple of the task's own. */
  length: number;
  /** What the arms are scored on. */
  part: 'validation' | 'test';
  /** Whether the machine is idle, so that the time is taken. */
  timed: boolean;
}

/** Steps that compile what a timed run needs. */
const warmUpSteps = 3;

/**
 * Each arm is a training of its own from its first step. The rules come first, then the whole arm, which is looked at, without
 * changing a bit of it, where it has used the operations of each; then all that needs both.
 */
export async function trainArms(options: ArmsOptions, underWay = UnderWay.unkept()): Promise<ArmResult[]> {
  const ofKind = options.table.filter(({ adapters }) => adapters === options.adapters);
  const wanted = ofKind.filter(({ name }) => options.arms.includes(name));
  const isNeeded = ({ name }: Arm) => wanted.some((arm) => arm.name === name || arm.rule === name);
  const { done } = underWay;
  for (const rule of ofKind.filter((arm) => arm.role === 'rule' && isNeeded(arm))) {
    if (!done.has(rule.name)) done.set(rule.name, await trainArm(rule, options, underWay));
  }
  const whole = ofKind.find(({ role }) => role === 'whole');
  const needsWhole = wanted.some((arm) => arm === whole || arm.rule !== undefined);
  const plainStops = wanted.filter(({ role }) => role === 'plain stop');
  const full =
    whole && needsWhole ? (done.get(whole.name) ?? (await trainWhole(whole, options, plainStops, underWay))) : null;
  for (const arm of wanted) {
    if (done.has(arm.name)) continue;
    const ofRule = done.get(arm.rule ?? '') ?? null;
    done.set(arm.name, await trainArm(arm, options, underWay, { ofRule, full }));
  }
  return wanted.flatMap(({ name }) => done.get(name) ?? []);
}

/** To the end of the schedule, and on the way every plain stop: what the run has come to where it has used the operations of a rule. */
async function trainWhole(
  whole: Arm,
  options: ArmsOptions,
  plainStops: readonly Arm[],
  underWay: UnderWay,
): Promise<ArmResult> {
  const { done } = underWay;
  let due = plainStops.flatMap((arm) => {
    const ofRule = done.get(arm.rule ?? '');
    return ofRule && !done.has(arm.name) ? [{ arm: arm.name, operations: trainingOperations(ofRule) }] : [];
  });
  const full = await trainArm(whole, options, underWay, {}, async (run) => {
    const reached = due.filter(({ operations }) => trainingOperations(run) >= operations);
    for (const { arm } of reached) done.set(arm, await run.describe(arm, options.length));
    due = due.filter((each) => !reached.includes(each));
  });
  done.set(whole.name, full);
  for (const { arm } of due) done.set(arm, { ...full, arm });
  return full;
}

async function trainArm(
  { name, wholeScheduleAtRate: rate, policy, perturbed }: Arm,
  options: ArmsOptions,
  underWay: UnderWay,
  { ofRule = null, full = null }: { ofRule?: ArmResult | null; full?: ArmResult | null } = {},
  onStep?: (run: Run) => unknown,
): Promise<ArmResult> {
  const { length, learningRate, steps, part, timed } = options;
  const limit = ofRule ? trainingOperations(ofRule) : Number.POSITIVE_INFINITY;
  let source: RunSource = options;
  if (rate !== undefined && full) {
    const affordable = Math.round((steps * limit) / trainingOperations(full));
    source = { ...options, learningRate: rate * learningRate, steps: Math.max(1, Math.min(steps, affordable)) };
  }
  if (timed) await warmUp(source);
  const run = await Run.start(source, {
    inHalves: !timed,
    perturb: perturbed ? noisePerturbation : 0,
    policies: (run) => (policy ? [policy(run, { ...options, ofRule })] : []),
  });
  await underWay.goOn(name, run);
  const meter = new LoadMeter();
  await run.train({
    limit,
    async onStep() {
      run.recordMemory();
      await onStep?.(run);
      await underWay.afterStep(name, run);
    },
  });
  await run.end();
  const timing = timed ? { seconds: { ...run.seconds }, disturbance: meter.othersShare() ?? 0 } : null;
  const result = await run.describe(name, length, part);
  run.release();
  return { ...result, timing };
}

async function warmUp(source: RunSource): Promise<void> {
  const run = await Run.start(source);
  while (run.training.step < warmUpSteps && !run.training.finished) await run.training.advance();
  await run.evaluate('validation', 200);
  run.release();
}

/** One full run that every rule of the paper watches. The threshold in its results is τ. */
export async function calibrate(source: RunSource, underWay = UnderWay.unkept()): Promise<ArmResult[]> {
  const thresholds = new Map<string, number>();
  const arm = 'full';
  const run = await Run.start(source, {
    state: {
      thresholds: {
        state: () => Object.fromEntries(thresholds),
        restore(saved) {
          for (const [rule, threshold] of Object.entries(savedObject(arm, saved)))
            thresholds.set(rule, Number(threshold));
        },
      },
    },
    policies: ({ registry, optimizer }) =>
      watchingRules({ registry, optimizer, steps: source.steps }, (arm, threshold) => thresholds.set(arm, threshold)),
  });
  await underWay.goOn(arm, run);
  await run.train({ onStep: () => underWay.afterStep(arm, run) });
  await run.end();
  const result = await run.describe(arm, 1, 'validation');
  run.release();
  return [...thresholds].map(([arm, threshold]) => ({ ...result, arm, threshold, signals: [] }));
}
