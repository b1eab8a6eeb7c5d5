import { armNames } from '../../../experiments/compare/arms.ts';
import type { Ablation, ArmResult, Comparison, TaskDescription } from '../../../experiments/compare/results.ts';
import type { Freeze } from '../../../experiments/report/watched.ts';
import { projectionKinds, Random } from '../../../src/index.ts';

export interface MadeUp {
  evaluationTasks?: number;
  seeds?: number;
  blocks?: number;
  lengths?: readonly number[];
  kind?: Comparison['kind'];
}

const scheduleSteps = 1000;

/** Points of accuracy and share of operations that are made up for each arm. */
const invented: Record<string, { points: number; share: number }> = {
  full: { points: 0, share: 1 },
  'full+stopping': { points: -0.8, share: 0.6 },
  'full+stopping-best': { points: -0.3, share: 0.75 },
  'full+stopping-costly': { points: -0.7, share: 1.3 },
  'full+grades': { points: -0.1, share: 0.7 },
  lora: { points: -2, share: 0.72 },
  'lora+stopping': { points: -2.4, share: 0.55 },
  'lora+grades': { points: -2.1, share: 0.6 },
  'plain-stop': { points: -0.15, share: 0.7 },
  'short-cosine': { points: 0.1, share: 0.7 },
  'short-cosine-2x': { points: -0.9, share: 0.7 },
  'all-at-once': { points: -1.2, share: 0.7 },
  'random-matrices': { points: -0.1, share: 0.7 },
  reversed: { points: -0.2, share: 0.7 },
  plateau: { points: -0.4, share: 0.7 },
  'lora-plain-stop': { points: -2.1, share: 0.6 },
  'paper-v1': { points: -0.3, share: 0.8 },
  'paper-v1-plain-stop': { points: -0.2, share: 0.8 },
  'paper-v3': { points: -0.4, share: 0.85 },
  'paper-v3-plain-stop': { points: -0.1, share: 0.85 },
  'released-code': { points: -0.5, share: 0.65 },
  'released-code-plain-stop': { points: -0.3, share: 0.65 },
  null: { points: 0, share: 1 },
};

/** A comparison that nobody ran: round numbers and noise, under names that say so. */
export function madeUpComparison({
  evaluationTasks = 2,
  seeds = 3,
  blocks = 2,
  lengths = [0.5, 1, 2],
  kind = 'full',
}: MadeUp = {}): Comparison {
  const random = new Random(7);
  const tasks = Array.from({ length: evaluationTasks + 1 }, (_, index) => describe(index, index === evaluationTasks));
  const seedNumbers = Array.from({ length: seeds }, (_, index) => index + 1);
  const arms = tasks.flatMap((task, taskIndex) =>
    lengths.flatMap((length) =>
      seedNumbers.flatMap((seed) =>
        armNames
          .filter((arm) => length === 1 || ['full', 'full+grades', 'lora', 'lora+grades'].includes(arm))
          .map((arm) => run(arm, task.name, taskIndex, seed, length, blocks, random)),
      ),
    ),
  );
  const arm = (words: Partial<ArmResult>): ArmResult => ({ ...arms[0], ...words });
  return {
    ...circumstances,
    kind,
    seeds: seedNumbers,
    policy: null,
    omissions: ['everything that a real run would have done.'],
    tasks,
    arms,
    timings: arms
      .filter(({ seed, length }) => seed === 1 && length === 1)
      .filter(({ arm }) => ['full', 'full+stopping', 'full+grades', 'lora', 'lora+grades', 'plain-stop'].includes(arm))
      .map(timed),
    sweep: tasks.flatMap(({ name: task }) =>
      [500, 1000].map((scheduleSteps) => arm({ task, scheduleSteps, seed: 101, arm: 'full' })),
    ),
    tuning: ['full', 'rule < 0.3', 'rule < 0.45'].map((name, index) =>
      arm({
        ...{ arm: name, task: tasks.at(-1)!.name, seed: 201, accuracy: 0.8 - 0.001 * index },
        operations: { ...arms[0].operations, forward: 3e9 * (1 - 0.2 * index) },
      }),
    ),
    setting: 'rule < 0.45',
  };
}

const circumstances = {
  date: '2026-01-01',
  machine: 'no machine: every number is made up',
  device: { kind: 'cpu', adapter: 'none' },
  model: 'made-up model',
};

function describe(index: number, tuning: boolean): TaskDescription {
  return {
    name: tuning ? 'tuned-task' : `made-up-${index + 1}`,
    base: 'files',
    character: 'plain',
    description: 'A task that does not exist.',
    classes: ['yes', 'no'],
    steps: scheduleSteps,
    learningRate: { full: 0.003, lora: 0.01 },
    tuning,
    paperThresholds: tuning ? {} : { 'paper-v1': 1.5, 'paper-v3': 2.25, 'released-code': 0.5 },
  };
}

function run(
  arm: string,
  task: string,
  taskIndex: number,
  seed: number,
  length: number,
  blocks: number,
  random: Random,
): ArmResult {
  const { points, share } = invented[arm];
  const total = length * scheduleSteps;
  const steps = arm.startsWith('short-cosine')
    ? Math.round(share * total)
    : Math.round(Math.min(1, share + 0.15) * total);
  const watches = arm === 'full+grades' || arm === 'lora+grades';
  const accuracy = 0.8 + 0.02 * taskIndex + 0.01 * points + (arm === 'full' ? 0 : 0.003 * random.normal());
  const matrices = Array.from({ length: blocks }, (_, block) =>
    projectionKinds.map((matrixKind, index) => ({
      name: `blocks.${block}.part.${matrixKind}`,
      kind: matrixKind,
      block,
      freezeStep: Math.round((0.25 + 0.08 * index + 0.03 * block + 0.02 * random.uniform()) * total),
    })),
  ).flat();
  const froze = matrices.filter(({ freezeStep }) => watches && freezeStep < steps);
  const at = (points: number) =>
    Array.from({ length: points }, (_, index) => Math.round(((index + 1) / points) * steps));
  const adapters = arm.startsWith('lora');
  return {
    arm,
    task,
    seed,
    length,
    scheduleSteps: arm.startsWith('short-cosine') ? steps : total,
    steps,
    learningRate: 0.003,
    accuracy,
    loss: 0.5,
    operations: {
      forward: 3e9 * share * length,
      backward: 3e9 * share * length,
      optimizer: 4e9 * share * length,
      validation: arm.includes('stopping') ? 1e9 * length : 0,
    },
    freezes: [
      ...froze.map(({ name, kind, block, freezeStep }) => ({ name, kind, block, step: freezeStep, value: 0.44 })),
      ...(froze.length === matrices.length ? followers(blocks, steps) : []),
    ],
    losses: at(20).map((step) => ({ step, value: Math.exp((-3 * step) / total) })),
    validation: at(5).map((step) => ({ step, accuracy: 0.7, loss: 1, operations: 1e9 * step })),
    memory: at(25).map((step) => ({
      step,
      value: (adapters ? 4e6 : 9e6) - (1e6 / blocks / 2) * froze.filter(({ freezeStep }) => freezeStep <= step).length,
    })),
    signals: watches
      ? matrices.map(({ name, kind, block, freezeStep }) => ({
          name,
          kind,
          block,
          samples: at(40)
            .filter((step) => step <= freezeStep)
            .map((step) => ({
              step,
              value: Math.max(0, 1 - (0.55 * step) / freezeStep + 0.05 * random.normal()),
            })),
        }))
      : [],
    threshold: watches ? 0.45 : null,
    timing: null,
  };
}

/** What freezes with the last matrix without being watched. */
function followers(blocks: number, step: number): Freeze[] {
  return [
    { step: step - 20, name: 'embedding', kind: 'embedding', block: null, value: null },
    ...Array.from({ length: blocks }, (_, block) => ({
      step: step - 20,
      name: `blocks.${block}.norm`,
      kind: 'norm',
      block,
      value: null,
    })),
  ];
}

function timed(run: ArmResult): ArmResult {
  const { arm } = run;
  const seconds = { train: 100 * invented[arm].share, validate: arm.includes('stopping') ? 10 : 0 };
  return { ...run, timing: { seconds, disturbance: 0.01 } };
}

/** An ablation that nobody ran: the higher the threshold and the shorter the grace, the cheaper and the worse. */
export function madeUpAblation(kind: Ablation['kind'] = 'full'): Ablation {
  const random = new Random(8);
  const [full] = madeUpComparison({ evaluationTasks: 1, seeds: 1, lengths: [1] }).arms;
  const grid = ['split-half', 'gradient'].flatMap((signal) =>
    [0.3, 0.45, 0.6].flatMap((threshold) => [0.1, 0.3, 0.5].map((grace) => ({ signal, threshold, grace }))),
  );
  const settings = Object.fromEntries(grid.map((each) => [Object.values(each).join(' '), each]));
  const arms = [1, 2].flatMap((seed) =>
    [null, ...Object.entries(settings)].map((entry): ArmResult => {
      if (entry === null) return { ...full, seed, accuracy: 0.8 + 0.001 * seed };
      const [arm, { threshold, grace }] = entry;
      const cost = 1 - threshold * (1 - grace);
      const accuracy = 0.8 + 0.01 * grace - 0.01 * threshold + 0.002 * random.normal();
      const operations = Object.fromEntries(
        (['forward', 'backward', 'optimizer', 'validation'] as const).map((part) => [
          part,
          cost * full.operations[part],
        ]),
      );
      return {
        ...{ ...full, arm, seed, accuracy, steps: 800 },
        operations: { ...full.operations, ...operations },
        signals: [{ name: 'a', kind: 'query', block: 0, samples: [] }],
        timing: { seconds: { train: 100 * cost, validate: 0 }, disturbance: 0 },
      };
    }),
  );
  return { ...circumstances, kind, task: full.task, seeds: [1, 2], settings, arms, timings: arms };
}
