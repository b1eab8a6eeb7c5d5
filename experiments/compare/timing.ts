import { LoadMeter } from '../../bench/load-meter.ts';
import { EarlyStopping, ParameterRegistry, type Policy } from '../../src/index.ts';
import { gradesPolicy, newRun, type RunSource } from './arms.ts';
import { evaluate } from '../evaluate.ts';
import { type RuleSetting, stopping, training, validationItems, validationShare } from './protocol.ts';
import type { ArmName, Timing } from './results.ts';
import type { Run } from './run.ts';
import { windowLength } from './tasks/task.ts';

/** The arms whose time is measured, in the order of the paper's table 4. */
export const timedArms = [
  'full',
  'full+stopping',
  'full+stopping-costly',
  'full+grades',
  'lora',
  'lora+stopping',
  'lora+grades',
] as const satisfies readonly ArmName[];

const warmUpSteps = 3;

/** Runs one arm by itself from beginning to end, with its own policy and nothing that the others need. */
export async function timeArm(source: RunSource & { arm: ArmName; setting: RuleSetting }): Promise<Timing> {
  const { arm, task, seed, device, setting } = source;
  const adapters = arm.startsWith('lora');
  const steps = source.steps;
  await warmUp({ ...source, adapters });
  const run = await newRun({ ...source, adapters }, steps);
  run.computesHalvesAlways = false;
  let validateSeconds = 0;
  const registry = new ParameterRegistry(run.model);
  const policy = makePolicy(arm, run, registry, setting, async (items) => {
    const { loss, seconds } = await evaluate(run.model, device, task.validation, items);
    validateSeconds += seconds;
    return loss;
  });
  const meter = new LoadMeter();
  const segments: { fromStep: number; toStep: number; frozen: number; seconds: number }[] = [];
  const watched = registry.active(registry.select(['query', 'key', 'value', 'output', 'gate', 'up', 'down']));
  const started = performance.now();
  let last = started;
  let validateBefore = 0;
  while (!run.isOver && !policy?.finished) {
    const frozen = watched.length - registry.active(watched).length;
    await run.advance(policy ? [policy] : []);
    const now = performance.now();
    const seconds = (now - last) / 1000 - (validateSeconds - validateBefore);
    [last, validateBefore] = [now, validateSeconds];
    const segment = segments.at(-1);
    if (segment?.frozen === frozen) {
      segment.toStep = run.step;
      segment.seconds += seconds;
    } else segments.push({ fromStep: run.step, toStep: run.step, frozen, seconds });
  }
  await policy?.end();
  await device.synchronize();
  const total = (performance.now() - started) / 1000;
  const timing: Timing = {
    arm,
    task: task.name,
    seed,
    scheduleSteps: steps,
    steps: run.step,
    seconds: { train: total - validateSeconds, validate: validateSeconds },
    speeds: segments.map(({ fromStep, toStep, frozen, seconds }) => ({
      fromStep,
      toStep,
      frozen,
      tokensPerSecond: ((toStep - fromStep + 1) * training.batch * windowLength) / seconds,
    })),
    disturbance: meter.othersShare() ?? 0,
  };
  run.release();
  return timing;
}

function makePolicy(
  arm: ArmName,
  run: Run,
  registry: ParameterRegistry,
  setting: RuleSetting,
  validate: (items: number) => Promise<number>,
): Policy | null {
  const { steps, task } = run.options;
  if (arm.endsWith('+grades')) return gradesPolicy(run, registry, setting);
  if (!arm.includes('+stopping')) return null;
  const share = arm.endsWith('-costly') ? validationShare.costly : validationShare.small;
  const items = validationItems(share, steps, task.validation.count);
  return new EarlyStopping({ steps, ...stopping, validate: () => validate(items) });
}

/** Compiles what the run needs. */
async function warmUp(source: RunSource): Promise<void> {
  const run = await newRun(source, source.steps);
  while (run.step < warmUpSteps && !run.isOver) await run.advance();
  await evaluate(run.model, source.device, source.task.validation, 200);
  run.release();
}
