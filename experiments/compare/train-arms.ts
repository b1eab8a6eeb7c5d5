/** Trains the arms of one task, seed and schedule. */

import type { Arm, Given } from './arms.ts';
import { noisePerturbation } from './protocol.ts';
import type { ArmResult } from './results.ts';
import { Run, type RunSource, trainingOperations } from './run.ts';

export interface ArmsOptions extends RunSource, Omit<Given, 'ofRule'> {
  table: readonly Arm[];
  /** Names of those that are wanted. */
  arms: readonly string[];
  /** The schedule as a multiple of the task's own. */
  length: number;
}

/**
 * Each arm is a training of its own from its first step. The rules come first, then the whole arm, which is looked at, without
 * changing a bit of it, where it has used the operations of each; then all that needs both.
 */
export async function trainArms(options: ArmsOptions): Promise<ArmResult[]> {
  const ofKind = options.table.filter(({ adapters }) => adapters === options.adapters);
  const wanted = ofKind.filter(({ name }) => options.arms.includes(name));
  const isNeeded = ({ name }: Arm) => wanted.some((arm) => arm.name === name || arm.rule === name);
  const done = new Map<string, ArmResult>();
  for (const rule of ofKind.filter((arm) => arm.role === 'rule' && isNeeded(arm))) {
    done.set(rule.name, await trainArm(rule, options, null, null));
  }
  const whole = ofKind.find(({ role }) => role === 'whole');
  if (!whole) return [];
  const plainStops = wanted.filter(({ role }) => role === 'plain stop');
  const full = await trainWhole(whole, options, plainStops, done);
  for (const arm of wanted) {
    if (done.has(arm.name)) continue;
    done.set(arm.name, await trainArm(arm, options, done.get(arm.rule ?? '') ?? null, full));
  }
  return wanted.flatMap(({ name }) => done.get(name) ?? []);
}

/** To the end of the schedule, and on the way every plain stop: what the run has come to where it has used the operations of a rule. */
async function trainWhole(
  { name }: Arm,
  options: ArmsOptions,
  plainStops: readonly Arm[],
  done: Map<string, ArmResult>,
): Promise<ArmResult> {
  const { length } = options;
  const run = await Run.start(options);
  let due = plainStops.flatMap((arm) => {
    const ofRule = done.get(arm.rule ?? '');
    return ofRule ? [{ arm: arm.name, operations: trainingOperations(ofRule) }] : [];
  });
  await run.train({
    async onStep() {
      const reached = due.filter(({ operations }) => trainingOperations(run) >= operations);
      for (const { arm } of reached) done.set(arm, await run.describe(arm, length));
      due = due.filter((each) => !reached.includes(each));
    },
  });
  await run.end();
  const full = await run.describe(name, length);
  run.release();
  done.set(name, full);
  for (const { arm } of due) done.set(arm, { ...full, arm });
  return full;
}

async function trainArm(
  { name, wholeScheduleAtRate: rate, policy, perturbed }: Arm,
  options: ArmsOptions,
  ofRule: ArmResult | null,
  full: ArmResult | null,
): Promise<ArmResult> {
  const { length, learningRate, steps } = options;
  const limit = ofRule ? trainingOperations(ofRule) : Number.POSITIVE_INFINITY;
  let source: RunSource = options;
  if (rate !== undefined && full) {
    const affordable = Math.round((steps * limit) / trainingOperations(full));
    source = { ...options, learningRate: rate * learningRate, steps: Math.max(1, Math.min(steps, affordable)) };
  }
  const run = await Run.start(source, {
    perturb: perturbed ? noisePerturbation : 0,
    policies: (run) => (policy ? [policy(run, { ...options, ofRule })] : []),
  });
  await run.train({ limit });
  await run.end();
  const result = await run.describe(name, length);
  run.release();
  return result;
}
