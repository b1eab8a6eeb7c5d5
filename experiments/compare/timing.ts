/** Takes the time of one run by itself on an idle machine. */

import { LoadMeter } from '../../command/load-meter.ts';
import { isFrozen, projectionKinds } from '../../src/index.ts';
import { type Arm, type Given, gradesPolicy } from './arms.ts';
import { training } from './protocol.ts';
import type { AblationRun, Timing } from './results.ts';
import { Run, type RunOptions, type RunSource, trainingOperations } from './run.ts';
import { windowLength } from './tasks/task.ts';

const warmUpSteps = 3;

export async function timeArm(source: RunSource, arm: Arm, given: Given): Promise<Timing> {
  const { run, timing } = await timed(source, (run) => (arm.policy ? [arm.policy(run, given)] : []));
  run.release();
  return { arm: arm.name, ...timing };
}

/** GradES in one setting, or full training. */
export async function timeSetting(source: RunSource, setting: AblationRun['setting']): Promise<AblationRun> {
  const { run, timing } = await timed(source, (run) => (setting ? [gradesPolicy(run, setting)] : []));
  const { seed, steps, seconds } = timing;
  const { accuracy } = await run.evaluate('test');
  run.release();
  const matrices = run.registry.select(projectionKinds);
  const frozenShare = matrices.filter(isFrozen).length / matrices.length;
  return { setting, seed, accuracy, operations: trainingOperations(run), steps, seconds: seconds.train, frozenShare };
}

/** From beginning to end, with its own policy and nothing that the other arms need. */
async function timed(source: RunSource, policies: RunOptions['policies']) {
  const { task, seed, device, steps } = source;
  await warmUp(source);
  const run = await Run.start(source, { inHalves: false, policies });
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
  return {
    run,
    timing: {
      ...{ task: task.name, seed, scheduleSteps: steps, steps: run.training.step, disturbance },
      seconds: { train: total - validate, validate },
      speeds: segments.map(({ seconds, ...segment }) => ({
        ...segment,
        tokensPerSecond: ((segment.toStep - segment.fromStep + 1) * training.batch * windowLength) / seconds,
      })),
    },
  };
}

/** Compiles what the run needs. */
async function warmUp(source: RunSource): Promise<void> {
  const run = await Run.start(source);
  while (run.training.step < warmUpSteps && !run.training.finished) await run.training.advance();
  await run.evaluate('validation', 200);
  run.release();
}
