/** Arms that share a trajectory are, bit for bit, what runs of their own would be. */
import { beforeAll, describe, expect, test } from 'vitest';
import { type ArmsOptions, gradesPolicy, newRun, trainAlone, trainArms } from '../../../experiments/compare/arms.ts';
import { buildBase } from '../../../experiments/compare/bases.ts';
import { type ArmName, type ArmResult, armNames } from '../../../experiments/compare/results.ts';
import type { Run } from '../../../experiments/compare/run.ts';
import type { Task } from '../../../experiments/compare/tasks/task.ts';
import { loadTask } from '../../../experiments/compare/tasks.ts';
import { evaluate } from '../../../experiments/evaluate.ts';
import { FixedStop, FreezeList, inReversedOrder, ParameterRegistry, type Policy } from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';

const device = new CpuDevice();
const whole = loadTask('contains');
/** The same with fewer items to evaluate. */
const task: Task = {
  ...whole,
  validation: { ...whole.validation, count: 60 },
  test: { ...whole.test, count: 100 },
};
/** Settings under which matrices freeze in a run of 60 steps. */
const setting = { threshold: 0.95, grace: 0.3, horizon: 0.1, patience: 0, spacing: 0.02 };

async function optionsFor(adapters: boolean, arms: readonly ArmName[] = armNames): Promise<ArmsOptions> {
  const model = buildBase('sequences', device);
  const base = await model.stateDict();
  // Else its buffers wait for the garbage collector, and what stays on the device could not be told.
  for (const parameter of model.parameters()) parameter.release('its values were copied');
  const shared = { device, task, base, seed: 3, steps: 60, length: 1, learningRate: 3e-3, adapters, setting };
  return { ...shared, arms: new Set(arms), costlyValidation: true };
}

/** Trains one arm by itself from the first step. */
async function alone(options: ArmsOptions, makePolicy: (run: Run, registry: ParameterRegistry) => Policy) {
  const run = await newRun(options, options.steps);
  const registry = new ParameterRegistry(run.model);
  const policy = makePolicy(run, registry);
  while (!run.isOver && !policy.finished) await run.advance([policy]);
  await policy.end();
  const { accuracy, loss } = await evaluate(run.model, device, task.test);
  const result = { steps: run.step, accuracy, loss, operations: { ...run.operations }, losses: [...run.losses] };
  run.release();
  return { ...result, events: registry.events.map(({ name, step }) => [name, step]) };
}

function figuresOf({ steps, accuracy, loss, operations, losses, freezes }: ArmResult) {
  return { steps, accuracy, loss, operations, losses, events: freezes.map(({ name, step }) => [name, step]) };
}

const total = ({ operations: { forward, backward, optimizer } }: Pick<ArmResult, 'operations'>) =>
  forward + backward + optimizer;

describe('full training', () => {
  let options: ArmsOptions;
  let results: ArmResult[];
  const arm = (name: ArmName) => {
    const found = results.filter((result) => result.arm === name);
    expect(found.length, name).toBe(1);
    return found[0];
  };
  beforeAll(async () => {
    options = await optionsFor(false);
    results = await trainArms(options);
  });

  test('every arm of its kind is there once', () => {
    const expected = armNames.filter((name) => !name.startsWith('lora') && name !== 'null');
    expect(results.map(({ arm }) => arm).sort()).toEqual([...expected].sort());
  });

  test('the full arm is a run without anything', async () => {
    expect(figuresOf(arm('full'))).toEqual(await alone(options, () => new FixedStop({ afterSteps: 60 })));
    expect(figuresOf(await trainAlone(options, 'full', 0))).toEqual(figuresOf(arm('full')));
    expect((await trainAlone(options, 'null', 1e-5)).loss).not.toBe(arm('full').loss);
  });

  test('GradES, forked at its first decision, is GradES from the start', async () => {
    const grades = arm('full+grades');
    expect(grades.freezes.length).toBeGreaterThan(5);
    expect(grades.freezes[0].step).toBeLessThan(grades.steps);
    expect(figuresOf(grades)).toEqual(await alone(options, (run, registry) => gradesPolicy(run, registry, setting)));
    expect(grades.signals.length).toBe(14);
    expect(grades.threshold).toBe(0.95);
  });

  test('a control, forked at the first freeze, is that control from the start, at the operations of GradES', async () => {
    const list = arm('full+grades').freezes.filter(({ value }) => value !== null);
    const reversed = arm('reversed');
    const own = await alone(options, (run, registry) => {
      const policy = new FreezeList(registry, { list: inReversedOrder(list), freezeLeftovers: true });
      return stopAt(policy, () => run.trainingOperations >= total(arm('full+grades')));
    });
    expect(figuresOf(reversed)).toEqual(own);
    const times = (result: ArmResult) =>
      result.freezes.filter(({ kind }) => kind !== 'norm' && kind !== 'embedding').map(({ step }) => step);
    expect(times(arm('random-matrices')).slice(0, 3)).toEqual(times(arm('full+grades')).slice(0, 3));
  });

  test('controls come within a step of the operations of GradES', () => {
    const perStep = total(arm('full')) / 60;
    for (const name of ['plain-stop', 'short-cosine', 'short-cosine-2x', 'random-matrices', 'reversed'] as const) {
      const difference = total(arm(name)) - total(arm('full+grades'));
      if (arm(name).steps < 60) expect(Math.abs(difference), name).toBeLessThanOrEqual(1.5 * perStep);
    }
    expect(arm('plain-stop').steps).toBeLessThan(60);
  });

  test('early stopping is read off the full run, with what its evaluations cost', () => {
    const { validation } = arm('full');
    expect(validation.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => 3 * (i + 1)));
    for (const name of ['full+stopping', 'full+stopping-best', 'full+stopping-costly'] as const) {
      expect(arm(name).operations.validation).toBeGreaterThan(0);
      expect(total(arm(name))).toBeLessThanOrEqual(total(arm('full')));
    }
    expect(arm('full+stopping-costly').operations.validation).toBeGreaterThan(
      arm('full+stopping').operations.validation,
    );
  });
});

test('LoRA and GradES on it, forked, are those from the start', async () => {
  const options = await optionsFor(true);
  const results = await trainArms(options);
  const grades = results.find(({ arm }) => arm === 'lora+grades');
  const plain = results.find(({ arm }) => arm === 'lora');
  if (!grades || !plain) throw new Error('an arm is missing');
  expect(figuresOf(grades)).toEqual(await alone(options, (run, registry) => gradesPolicy(run, registry, setting)));
  expect(figuresOf(plain)).toEqual(await alone(options, () => new FixedStop({ afterSteps: 60 })));
  expect(grades.freezes.length).toBeGreaterThan(5);
  expect(results.map(({ arm }) => arm).sort()).toEqual(['lora', 'lora+grades', 'lora+stopping', 'lora-plain-stop']);
});

test('nothing stays on the device', () => {
  device.trim();
  expect(device.memory().liveBuffers).toBeLessThan(10);
});

/** A policy that ends where `over` says. */
function stopAt(policy: Policy, over: () => boolean): Policy {
  return new Proxy(policy, {
    get(target, name) {
      if (name === 'finished') return over();
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
