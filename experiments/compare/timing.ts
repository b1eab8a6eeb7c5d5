/** Takes the time of one run by itself on an idle machine. */

import { LoadMeter } from '../../command/load-meter.ts';
import { isFrozen, projectionKinds } from '../../src/index.ts';
import { type Arm, type Given, gradesPolicy } from './arms.ts';
import { training } from './protocol.ts';
import type { AblationRun, Timing } from './results.ts';
import { Run, type RunSource, trainingOperations } from './run.ts';
import { windowLength } from './tasks/task.ts';

const warmUpSteps = 3;

/** From beginning to end, with its own policy and nothing that the other arms need. */
export async function timeArm(source: RunSource, arm: Arm, given: Given): Promise<Timing> {
  const { task, seed, device, steps } = source;
  await warmUp(source);
  const run = await Run.start(source, {
    inHalves: false,
    policies: (run) => (arm.policy ? [arm.policy(run, given)] : []),
  });
  const matrices = run.registry.active(run.registry.select(projectionKinds));
  const segments: { fromStep: number; toStep: number; frozen: number; seconds: number }[] = [];
  const meter = new LoadMeter();
  const started = performance.now();
  let [last, validated, frozen] = [started, 0, 0];
  await run.train({
    onStep() {
      const now = performance.now();
      const seconds = (now - last) / 1000 - (run.validationSeconds - validated);
      [last, validated] = [now, run.validationSeconds];
      const { step } = run.training;
      const segment = segments.at(-1);
      if (segment?.frozen === frozen) {
        segment.toStep = step;
        segment.seconds += seconds;
      } else segments.push({ fromStep: step, toStep: step, frozen, seconds });
      frozen = matrices.filter(isFrozen).length;
    },
  });
  await run.end();
  await device.synchronize();
  const total = (performance.now() - started) / 1000;
  const disturbance = meter.othersShare() ?? 0;
  const validate = run.validationSeconds;
  run.release();
  return {
    ...{ arm: arm.name, task: task.name, seed, scheduleSteps: steps, steps: run.training.step, disturbance },
    seconds: { train: total - validate, validate },
    speeds: segments.map(({ seconds, ...segment }) => ({
      ...segment,
      tokensPerSecond: ((segment.toStep - segment.fromStep + 1) * training.batch * windowLength) / seconds,
    })),
  };
}

/** GradES in one setting, or full training; without the halves that the arms of the comparison share. */
export async function timeSetting(source: RunSource, setting: AblationRun['setting']): Promise<AblationRun> {
  await warmUp(source);
  const run = await Run.start(source, {
    inHalves: false,
    policies: (run) => (setting ? [gradesPolicy(run, setting)] : []),
  });
  const matrices = run.registry.select(projectionKinds);
  const started = performance.now();
  await run.train();
  await run.end();
  await source.device.synchronize();
  const seconds = (performance.now() - started) / 1000;
  const { accuracy } = await run.evaluate('test');
  run.release();
  const frozenShare = matrices.filter(isFrozen).length / matrices.length;
  const { step: steps } = run.training;
  return { setting, seed: source.seed, accuracy, operations: trainingOperations(run), steps, seconds, frozenShare };
}

/** Compiles what the run needs. */
async function warmUp(source: RunSource): Promise<void> {
  const run = await Run.start(source);
  while (run.training.step < warmUpSteps && !run.training.finished) await run.training.advance();
  await run.evaluate('validation', 200);
  run.release();
}
