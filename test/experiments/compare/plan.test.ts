import { describe, expect, test } from 'vitest';
import { armNames } from '../../../experiments/compare/arms.ts';
import {
  armsUnits,
  calibrationUnits,
  chooseLearningRate,
  chooseLength,
  chooseSetting,
  learningRateUnits,
  lengthUnits,
  planTasks,
  quickTaskPlans,
  shardOf,
  timingUnits,
  tuningUnits,
} from '../../../experiments/compare/plan.ts';
import { learningRates, sweepLengths, sweepSeeds, validationItems } from '../../../experiments/compare/protocol.ts';
import type { ArmResult } from '../../../experiments/compare/results.ts';
import { taskNames } from '../../../experiments/compare/tasks.ts';
import { unitKey } from '../../../experiments/compare/units.ts';
import { madeUpComparison } from './made-up.ts';

const [madeUp] = madeUpComparison({ lengths: [1] }).arms;

function swept(scores: Readonly<Record<number, readonly number[]>>, learningRate = 3e-3): ArmResult[] {
  return Object.entries(scores).flatMap(([steps, values]) =>
    values.map((accuracy, i) => ({
      ...{ ...madeUp, task: 'parity', scheduleSteps: Number(steps), learningRate, seed: 101 + i, accuracy },
    })),
  );
}

describe('the length of a schedule', () => {
  test.each([
    ['the shortest that no longer one beats by half a point', [0.8, 0.9, 0.905, 0.906, 0.908], 600],
    ['the first, where nothing helps', [0.9, 0.9, 0.9, 0.9, 0.9], 150],
    ['the longest, where every doubling helps', [0.5, 0.6, 0.7, 0.8, 0.9], 2400],
    ['behind a late jump, not on the plain before it', [0.5, 0.5, 0.5, 0.5, 0.95], 2400],
    ['not moved by a dip', [0.9, 0.85, 0.9, 0.89, 0.9], 150],
  ])('is %s', (_, scores, expected) => {
    const sweep = swept(
      Object.fromEntries(sweepLengths.map((steps, i) => [steps, [scores[i] - 0.01, scores[i] + 0.01]])),
    );
    expect(chooseLength(sweep, 'parity', 3e-3)).toBe(expected);
  });
});

test('the learning rate is the best on average, the smaller where two are equal', () => {
  const both = (low: readonly number[], high: readonly number[]) => [
    ...swept({ 600: low }, 1e-3),
    ...swept({ 600: high, 150: [1] }, 3e-3),
  ];
  expect(chooseLearningRate(both([0.8, 0.8], [0.7, 0.95]), 'parity', 'full')).toBe(3e-3);
  expect(chooseLearningRate(both([0.8, 0.8], [0.8, 0.8]), 'parity', 'full')).toBe(1e-3);
});

test('the setting is the cheapest of those within half a point of full training, else the default', () => {
  const result = (arm: string, differences: readonly number[], ratio: number) =>
    differences.map((difference, i): ArmResult => {
      const { forward, backward, optimizer, validation } = madeUp.operations;
      return {
        ...{ ...madeUp, arm, task: `task ${i}`, seed: 201, accuracy: 0.8 + difference },
        operations: { validation, forward: ratio * forward, backward: ratio * backward, optimizer: ratio * optimizer },
      };
    });
  const full = result('full', [0, 0], 1);
  const all = [
    ...full,
    ...result('careful', [0, 0], 0.9),
    ...result('bold', [0.004, -0.012], 0.6),
    ...result('reckless', [-0.02, -0.01], 0.3),
  ];
  expect(chooseSetting(all)).toBe('bold');
  expect(chooseSetting([...full, ...result('reckless', [-0.02], 0.3)])).toBe('split-half < 0.3');
  expect(chooseSetting([])).toBe('split-half < 0.3');
});

test('an evaluation costs its share of a run: a forward pass is a third of a step', () => {
  expect(validationItems(0.01, 600, 6000)).toBe(3 * 0.01 * 600 * 16);
  expect(validationItems(0.1, 2400, 6000)).toBe(6000);
  expect(validationItems(0.01, 1, 6000)).toBe(1);
});

describe('units', () => {
  const sweep = taskNames.flatMap((task) => [
    ...[...learningRates.full].flatMap((rate) =>
      swept({ 600: [rate * 100], 2400: [rate * 100] }, rate).map((each) => ({ ...each, task })),
    ),
    ...swept({ 600: [0.9] }, 1e-2).map((each) => ({ ...each, task, arm: 'lora' })),
  ]);
  const plans = planTasks(taskNames, sweep);
  const everything = { arms: armNames, seeds: [1, 2], lengths: [1, 0.5, 2], quick: false, policy: null } as const;
  const rules = () => ({ settings: {}, thresholds: {}, policy: null });
  const judged = taskNames.filter((task) => !['file-kind', 'majority', 'noisy-majority'].includes(task));

  test('each has a name of its own', () => {
    const units = [
      ...learningRateUnits(taskNames),
      ...lengthUnits(taskNames, sweep),
      ...tuningUnits(plans),
      ...calibrationUnits(plans, everything),
      ...armsUnits(plans, rules, everything),
      ...timingUnits(plans, rules, everything),
    ];
    expect(new Set(units.map(unitKey)).size).toBe(units.length);
  });

  test('sweep, tuning and calibration have seeds that no reported arm has', () => {
    const seedsOf = (units: readonly { seed: number }[]) => new Set(units.map(({ seed }) => seed));
    const reported = seedsOf(armsUnits(plans, rules, everything));
    const fixing = [learningRateUnits(taskNames), tuningUnits(plans), calibrationUnits(plans, everything)];
    for (const seed of fixing.flatMap((units) => [...seedsOf(units)])) expect(reported.has(seed)).toBe(false);
    expect(seedsOf(lengthUnits(taskNames, sweep))).toEqual(new Set(sweepSeeds));
  });

  test("controls, the paper's rules and the null arm run at the own length of the tasks that are judged", () => {
    const units = armsUnits(plans, rules, everything);
    const limited = ['reversed', 'paper-v1', 'released-code-plain-stop', 'null'];
    for (const { task, length, arms, steps, adapters, seed } of units) {
      const own = plans.find((plan) => plan.task === task)?.steps ?? 0;
      expect(steps).toBe(length * own);
      if (adapters) continue;
      const isJudged = judged.includes(task) && length === 1;
      expect(arms.filter((arm) => limited.includes(arm)).length).toBe(isJudged ? limited.length : 0);
      expect(arms.includes('full+stopping-costly')).toBe(length === 1 && seed === 1);
    }
    expect(new Set(units.flatMap(({ arms }) => arms))).toEqual(new Set(armNames));
  });

  test("thresholds of the paper's rules are calibrated where they run, and not where nobody asks for them", () => {
    expect(calibrationUnits(plans, everything).map(({ task }) => task)).toEqual(judged);
    expect(calibrationUnits(plans, { arms: ['paper-v3-plain-stop'], quick: true })).toHaveLength(8);
    expect(calibrationUnits(plans, { arms: ['full', 'full+grades'], quick: false })).toEqual([]);
  });

  test("a user's rule goes by the name of its file, which is part of its units", () => {
    const policy = 'rules/my-rule.ts';
    const arms = ['full', 'my-rule', 'my-rule-plain-stop'];
    const units = armsUnits(plans, () => ({ ...rules(), policy }), { ...everything, arms, policy });
    for (const unit of units) expect(unit.arms).toEqual(arms);
    expect(unitKey(units[0])).toContain('policy-rules-my-rule.ts');
  });

  test('parts hold every unit once', () => {
    const units = armsUnits(plans, rules, everything);
    const parts = [1, 2, 3].flatMap((index) => shardOf(units, { index, count: 3 }));
    expect(parts.map(unitKey).sort()).toEqual(units.map(unitKey).sort());
    expect(shardOf(units, null)).toEqual(units);
  });

  test('a smoke run takes one length for all', () => {
    expect(quickTaskPlans(['parity'], 30)).toEqual([
      { task: 'parity', steps: 30, learningRate: { full: 3e-3, lora: 1e-2 } },
    ]);
  });
});
