/** Every arm is a training of its own, and looking at one on the way changes nothing of it. */
import { beforeAll, describe, expect, test } from 'vitest';
import { armNames, armTable, freezeList, gradesPolicy } from '../../../experiments/compare/arms.ts';
import { buildBase } from '../../../experiments/compare/bases.ts';
import fromBelow from '../../../experiments/compare/example-policy.ts';
import type { ArmResult } from '../../../experiments/compare/results.ts';
import { Run, trainingOperations } from '../../../experiments/compare/run.ts';
import { type Task, windowLength } from '../../../experiments/compare/tasks/task.ts';
import { loadTask } from '../../../experiments/compare/tasks.ts';
import { type ArmsOptions, trainArms } from '../../../experiments/compare/train-arms.ts';
import type { Items } from '../../../experiments/data/items.ts';
import { paperArms } from '../../../experiments/paper-rules.ts';
import { FixedStop, FreezeList, inReversedOrder, type Policy } from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';

// Runs have one thread each.
const device = new CpuDevice({ threads: 1 });
const whole = loadTask('contains');
const first = ({ tokens, labels }: Items, count: number): Items => ({
  tokens: tokens.subarray(0, count * windowLength),
  labels: labels.subarray(0, count),
  count,
});
/** The same with fewer items to evaluate. */
const task: Task = { ...whole, validation: first(whole.validation, 60), test: first(whole.test, 100) };
/** Settings under which matrices freeze in a run of 60 steps. */
const setting = { threshold: 0.95, grace: 0.3, horizon: 0.1, patience: 0.02 };
const userPolicy = ({ registry, optimizer, model, source: { steps, seed } }: Run) =>
  fromBelow({ registry, optimizer, model, steps, seed, device });
const table = armTable({ userRule: 'example-policy' }, userPolicy);
const ownArms = ['example-policy', 'example-policy-plain-stop', 'example-policy-reversed'];

async function optionsFor(adapters: boolean, arms: readonly string[]): Promise<ArmsOptions> {
  const model = buildBase('sequences', device);
  const base = await model.stateDict();
  // Else its buffers wait for the garbage collector, and what stays on the device could not be told.
  for (const parameter of model.parameters()) parameter.release('its values were copied');
  return {
    ...{ device, task, base, seed: 3, steps: 60, length: 1, learningRate: 3e-3, adapters, arms, table },
    ...{ settings: { 'full+grades': setting, 'lora+grades': setting }, part: 'test', timed: false },
    thresholds: { 'paper-v1': 2, 'paper-v3': 2, 'released-code': 1e9 },
  };
}

/** Trains one arm by itself from the first step. */
async function alone(options: ArmsOptions, makePolicy: (run: Run) => Policy | null, limit?: number) {
  const run = await Run.start(options, { policies: (run) => [makePolicy(run) ?? []].flat() });
  await run.train({ limit });
  await run.end();
  const result = figuresOf(await run.describe('alone', 1));
  run.release();
  return result;
}

function figuresOf({ steps, accuracy, loss, operations, losses, freezes }: ArmResult) {
  return { steps, accuracy, loss, operations, losses, events: freezes.map(({ name, step }) => [name, step]) };
}

describe('all weights', () => {
  const wanted = [...armNames.filter((name) => !name.startsWith('lora')), ...ownArms];
  let options: ArmsOptions;
  let results: ArmResult[];
  const arm = (name: string) => {
    const found = results.filter((result) => result.arm === name);
    expect(found.length, name).toBe(1);
    return found[0];
  };
  beforeAll(async () => {
    options = await optionsFor(false, wanted);
    results = await trainArms(options);
  }, 240_000);

  test('every arm that was asked for is there once, and no other', async () => {
    expect(results.map(({ arm }) => arm).sort()).toEqual([...wanted].sort());
    const few = await trainArms({ ...options, arms: ['plain-stop'], steps: 20 });
    expect(few.map(({ arm }) => arm)).toEqual(['plain-stop']);
  });

  test('the full arm is a run without anything, though it was looked at where it used the operations of each rule', async () => {
    expect(figuresOf(arm('full'))).toEqual(await alone(options, () => null));
    expect(arm('null').loss).not.toBe(arm('full').loss);
  });

  test('a plain stop is a run that stops there', async () => {
    const { steps } = arm('plain-stop');
    expect(steps).toBeLessThan(60);
    expect(figuresOf(arm('plain-stop'))).toEqual(await alone(options, () => new FixedStop({ afterSteps: steps })));
  });

  test('GradES freezes, and what it watched is kept', async () => {
    const grades = arm('full+grades');
    expect(grades.freezes.length).toBeGreaterThan(5);
    expect(grades.signals.length).toBe(14);
    expect(grades.threshold).toBe(0.95);
    expect(figuresOf(grades)).toEqual(await alone(options, (run) => gradesPolicy(run, setting)));
  });

  test('controls freeze other matrices at its times, and end at its operations', async () => {
    const grades = arm('full+grades');
    const list = inReversedOrder(freezeList(grades));
    const reversed = await alone(
      options,
      ({ registry }) => new FreezeList(registry, { list, freezeLeftovers: true }),
      trainingOperations(grades),
    );
    expect(figuresOf(arm('reversed'))).toEqual(reversed);
    const times = (name: string) => freezeList(arm(name)).map(({ step }) => step);
    expect(times('random-matrices').slice(0, 3)).toEqual(times('full+grades').slice(0, 3));
    expect(new Set(times('all-at-once')).size).toBe(1);
  });

  test.each([
    ['full+grades', ['plain-stop', 'short-cosine', 'short-cosine-2x', 'random-matrices', 'reversed']],
    ...paperArms.map((rule): [string, string[]] => [rule, [`${rule}-plain-stop`]]),
    ['example-policy', ['example-policy-plain-stop', 'example-policy-reversed']],
  ])('what takes the operations of %s comes within a step and a half of them', (rule, names) => {
    const perStep = trainingOperations(arm('full')) / 60;
    for (const name of names) {
      const difference = trainingOperations(arm(name)) - trainingOperations(arm(rule));
      if (arm(name).steps < 60) expect(Math.abs(difference), name).toBeLessThanOrEqual(1.5 * perStep);
    }
  });

  test('the rules of the paper freeze after their grace alone', () => {
    for (const name of paperArms) {
      for (const { step } of arm(name).freezes) expect(step).toBeGreaterThanOrEqual(33);
      expect(arm(name).signals).toHaveLength(14);
    }
    // Everything has changed by less than a billion.
    expect(arm('released-code').steps).toBe(33);
    expect(arm('paper-v1').freezes.length).toBeGreaterThan(0);
  });

  test("a user's own rule is an arm like the others", async () => {
    const own = arm('example-policy');
    expect(own.freezes.map(({ step }) => step).slice(0, 3)).toEqual([24, 26, 28]);
    expect(own.steps).toBe(50);
    expect(figuresOf(own)).toEqual(await alone(options, userPolicy));
  });

  test('early stopping pays for its evaluations, and goes back to the best where it is told to', () => {
    const [last, best, costly] = ['full+stopping', 'full+stopping-best', 'full+stopping-costly'].map(arm);
    expect(last.validation.map(({ step }) => step)).toEqual(last.validation.map((_, i) => 3 * (i + 1)));
    expect(last.steps).toBeGreaterThanOrEqual(last.validation.length * 3);
    expect({ ...best, arm: '', accuracy: 0, loss: 0, memory: [] }).toEqual({
      ...{ ...last, arm: '', accuracy: 0, loss: 0, memory: [] },
    });
    expect(last.operations.validation).toBeGreaterThan(0);
    const perEvaluation = ({ operations, validation }: ArmResult) => operations.validation / validation.length;
    expect(perEvaluation(costly)).toBeGreaterThan(perEvaluation(last));
  });
});

test('a timed arm runs alone, and the time of its validation is told apart', async () => {
  const options = await optionsFor(false, ['full+stopping']);
  const [{ arm, timing }, ...others] = await trainArms({ ...options, task: whole, timed: true });
  expect([arm, others]).toEqual(['full+stopping', []]);
  expect(timing?.seconds.validate).toBeGreaterThan(0);
  expect(timing?.seconds.train).toBeGreaterThan(0);
}, 240_000);

test('adapters: GradES, its plain stop, and early stopping', async () => {
  const wanted = armNames.filter((name) => name.startsWith('lora'));
  const options = await optionsFor(true, wanted);
  const results = await trainArms(options);
  expect(results.map(({ arm }) => arm).sort()).toEqual([...wanted].sort());
  const [plain, grades] = ['lora', 'lora+grades'].map((name) => results.find(({ arm }) => arm === name));
  if (!grades || !plain) throw new Error('an arm is missing');
  expect(figuresOf(grades)).toEqual(await alone(options, (run) => gradesPolicy(run, setting)));
  expect(figuresOf(plain)).toEqual(await alone(options, () => null));
  expect(grades.freezes.length).toBeGreaterThan(5);
}, 240_000);

test('nothing stays on the device', () => {
  device.trim();
  expect(device.memory().liveBuffers).toBeLessThan(10);
});
