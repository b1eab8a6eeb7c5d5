/** The tables of a comparison, and what is said beside them. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { busyShare } from '../../command/load-meter.ts';
import { type Table, tableOf } from '../../command/text-table.ts';
import { projectionKinds } from '../../src/index.ts';
import { gradesInWords } from '../report/explanations.ts';
import { absent, counted, fixed, listed, signed } from '../report/numbers.ts';
import type { Document, Section } from '../report/sections.ts';
import { mean, resamples, standardDeviation } from './bootstrap.ts';
import { calibration } from './protocol.ts';
import type { ArmResult, Circumstances, Comparison, SweepResult } from './results.ts';
import {
  type Analysis,
  accuracyDifference,
  armsOf,
  byTask,
  type Difference,
  grouped,
  margin,
  operationParts,
  operationsRatio,
  pairRuns,
  runsOf,
  stepsRatio,
  tasksOf,
  timeComparison,
} from './statistics.ts';

/** What every report begins with. */
export function beginning(
  { kind, date, machine, device, model }: Circumstances,
  title: string,
  notes: readonly string[],
): Pick<Document, 'title' | 'introduction' | 'notes'> {
  const isSmoke = kind === 'smoke';
  const warning = 'Smoke run, not evidence. It shows that everything runs from end to end; its numbers say nothing.';
  const circumstances = `${date}. ${machine}. Device: ${device.kind}, ${device.adapter}. Model: ${model}.`;
  return {
    title: isSmoke ? `Smoke run, not evidence: ${title}` : title,
    introduction: [gradesInWords],
    notes: [...(isSmoke ? [warning] : []), circumstances, ...notes],
  };
}

export function heading(comparison: Comparison) {
  const { seeds, omissions, policy } = comparison;
  const [evaluation, tuning] = [tasksOf(comparison, 'evaluation'), tasksOf(comparison, 'tuning')];
  const named = (tasks: readonly string[]) => (tasks.length > 0 ? ` (${listed(tasks)})` : '');
  return beginning(comparison, 'GradES and its rivals', [
    `${counted(evaluation.length, 'evaluation task')}${named(evaluation)}, ` +
      `${counted(tuning.length, 'tuning task')}${named(tuning)}, ${counted(seeds.length, 'seed')}. ` +
      'Thresholds were chosen on the tuning tasks, so what they give is no evidence.',
    ...(evaluation.length === 0 ? ['There is no evaluation task: nothing here is evidence about GradES.'] : []),
    ...(policy ? [`The arm ${policy.arm} is the rule of ${policy.file}.`] : []),
    ...omissions.map((omission) => `Left out: ${omission}`),
  ]);
}

/** A column by its title: what it says of a row, null where there is nothing to say. */
type Columns<Row> = Readonly<Record<string, (row: Row) => string | null | undefined>>;

/** The first `leftColumns` hold words. */
export function columnsOf<Row>(rows: readonly Row[], leftColumns: number, columns: Columns<Row>): Table {
  const cells = rows.map((row) => Object.values(columns).map((cell) => cell(row) ?? absent));
  return tableOf(Object.keys(columns), cells, leftColumns);
}

/** Nothing where the table has no rows. */
function section(heading: string, table: Table, paragraphs: readonly string[] = [], long = false): Section[] {
  return table.rows.length > 0 ? [{ heading, paragraphs, table, long }] : [];
}

const differenceColumns: Columns<Difference> = {
  pairs: ({ pairs }) => String(pairs.length),
  mean: ({ estimate }) => estimate && signed(estimate.mean, 2),
  '95 % interval': ({ estimate }) => {
    if (!estimate) return null;
    return estimate.hasInterval ? `${signed(estimate.low, 2)} to ${signed(estimate.high, 2)}` : 'one pair';
  },
  'lower bound': ({ estimate }) => (estimate?.hasInterval ? signed(estimate.lowerBound, 2) : null),
  [`not worse by more than ${margin}`]: ({ estimate }) => estimate?.verdict,
};

/** What a difference shows: never more than its interval does. */
function findingOf({ estimate }: Difference): string | null {
  if (!estimate?.hasInterval) return null;
  if (estimate.low === 0 && estimate.high === 0) return 'the same';
  if (estimate.low > 0) return 'higher';
  return estimate.high < 0 ? 'lower' : 'no difference shown';
}

/** The questions that a reader brings. */
export function answersSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  const others = armsOf(comparison).filter(({ name, role }) => role === 'rule' && !name.endsWith('+grades'));
  const questions = [
    ['Does freezing matrix by matrix beat a plain stop?', 'full+grades', 'plain-stop'],
    ['Does it beat a schedule planned that short?', 'full+grades', 'short-cosine'],
    ['Does it matter which matrix freezes?', 'full+grades', 'random-matrices'],
    ['Does it matter in which order?', 'full+grades', 'reversed'],
    ['What does it cost beside full training?', 'full+grades', 'full'],
    ['And beside early stopping?', 'full+grades', 'full+stopping'],
    ['With adapters, beside plain LoRA?', 'lora+grades', 'lora'],
    ...others.map(({ name }) => [`Does ${name} beat a plain stop?`, name, `${name}-plain-stop`]),
  ];
  const rows = questions
    .map(([question, arm, base]) => ({ question, ...accuracyDifference(comparison, arm, base, tasks) }))
    .filter(({ estimate }) => estimate !== null);
  const table = columnsOf<(typeof rows)[number]>(rows, 3, {
    question: ({ question }) => question,
    arm: ({ arm }) => arm,
    against: ({ base }) => base,
    accuracy: differenceColumns.mean,
    '95 % interval': differenceColumns['95 % interval'],
    finding: findingOf,
    operations: (row) => ratioCell(operationsRatio(row)),
    time: ({ arm, base }) => ratioCell(timeComparison(comparison, arm, base, tasks)?.total),
  });
  const prefix = comparison.kind === 'smoke' ? ['Smoke run, not evidence.'] : [];
  return section('What was asked', table, [
    ...prefix,
    'Points of accuracy on the evaluation tasks, with operations and wall time over those of the other arm. No difference shown is no proof of equality.',
  ]);
}

export function accuracySections(comparison: Comparison, { tasks }: Analysis, title: string): Section[] {
  const { length: seeds } = comparison.seeds;
  const percentages = (arm: string, task: string) =>
    runsOf(comparison, arm, [task]).flatMap(({ accuracy }) => (Number.isFinite(accuracy) ? [100 * accuracy] : []));
  const rows = armsOf(comparison)
    .map(({ name }) => ({ name, ofTask: new Map(tasks.map((task) => [task, percentages(name, task)])) }))
    .filter(({ ofTask }) => [...ofTask.values()].some((values) => values.length > 0));
  const spread = (values: readonly number[] = []) => {
    if (values.length === 0) return null;
    const deviation = standardDeviation(values);
    const number = `${fixed(mean(values), 1)}${deviation === null ? '' : ` ± ${fixed(deviation, 1)}`}`;
    return values.length < seeds ? `${number} (${values.length})` : number;
  };
  const table = columnsOf<(typeof rows)[number]>(rows, 1, {
    arm: ({ name }) => name,
    ...Object.fromEntries(tasks.map((task) => [task, ({ ofTask }) => spread(ofTask.get(task))])),
    average: ({ ofTask }) => {
      const values = [...ofTask.values()];
      return values.every((each) => each.length > 0) ? fixed(mean(values.map(mean)), 2) : null;
    },
  });
  return section(title, table, [
    `Percent of test items, mean ± standard deviation over ${counted(seeds, 'seed')}; in brackets the number of seeds where ` +
      'it is smaller.',
  ]);
}

export function differencesSections(title: string, differences: readonly Difference[]): Section[] {
  const table = columnsOf(differences, 2, { arm: ({ arm }) => arm, against: ({ base }) => base, ...differenceColumns });
  const tasks = Math.max(0, ...differences.map(({ estimate }) => estimate?.tasks ?? 0));
  return section(title, table, [
    'Points of accuracy, paired by task and seed: mean over tasks, 95 % interval and one-sided 95 % lower bound by a ' +
      `hierarchical bootstrap (tasks, then seeds; ${resamples.toLocaleString('en')} resamples). “Not worse”: the lower ` +
      `bound lies above −${margin} points. One interval in twenty misses by chance.` +
      (tasks > 1 && tasks < 10 ? ` With ${tasks} tasks such intervals are somewhat too narrow.` : '') +
      (tasks === 1 ? ' With a single task they speak of its seeds alone, not of other tasks.' : ''),
  ]);
}

export function noiseSection({ noise }: Analysis): Section {
  const paragraph = noise
    ? `The arm “null” is full training whose first weights differ by next to nothing. Over ${counted(noise.pairs, 'pair')} on ` +
      `${counted(noise.tasks, 'task')} its accuracy moved by ${fixed(noise.spread, 2)} points (root mean square; mean ` +
      `${signed(noise.mean, 2)}). A mean over as many pairs falls within ±${fixed(noise.band, 2)} points by that alone.`
    : 'Unknown: fewer than two runs of the arm “null” can be paired with “full”.';
  return { heading: 'Noise floor', paragraphs: [paragraph] };
}

export function controlsSections(comparison: Comparison, { againstControls, tasks }: Analysis): Section[] {
  const table = columnsOf(againstControls, 2, {
    ...{ arm: ({ arm }) => arm, against: ({ base }) => base, ...differenceColumns },
    operations: (difference) => ratioCell(operationsRatio(difference)),
    time: ({ arm, base }) => ratioCell(timeComparison(comparison, arm, base, tasks)?.total),
  });
  return section('Each rule against its controls and each way of stopping, evaluation tasks', table, [
    'The rule minus the other arm, points of accuracy; operations of the rule over those of the other.',
  ]);
}

export function operationsSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  const rows = armsOf(comparison)
    .map(({ name }) => pairRuns(comparison, name, 'full', tasks))
    .filter(({ pairs }) => pairs.length > 0)
    .map((pairs) => ({ pairs, ratio: operationsRatio(pairs), parts: operationParts(pairs), steps: stepsRatio(pairs) }));
  const table = columnsOf<(typeof rows)[number]>(rows, 1, {
    arm: ({ pairs }) => pairs.arm,
    operations: ({ ratio }) => ratio && fixed(ratio.ofSums, 3),
    geometric: ({ ratio }) => ratio && fixed(ratio.geometricMean, 3),
    forward: ({ parts }) => fixed(parts.forward, 3),
    backward: ({ parts }) => fixed(parts.backward, 3),
    optimizer: ({ parts }) => fixed(parts.optimizer, 3),
    validation: ({ parts }) => fixed(parts.validation, 3),
    steps: ({ steps }) => fixed(steps, 2),
  });
  return section('Operations, evaluation tasks', table, [
    'Over those of “full” on the same tasks and seeds: ratio of sums, geometric mean of the tasks’ ratios, and the parts ' +
      'of the ratio of sums. Steps run over those of “full”.',
  ]);
}

export function timeSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  const timed = [...new Set(comparison.timings.map(({ arm }) => arm))].flatMap((arm) => {
    const time = timeComparison(comparison, arm, 'full', tasks);
    return time ? [{ arm, ...time }] : [];
  });
  const loud = timed.filter(({ disturbance }) => disturbance > busyShare);
  const table = columnsOf<(typeof timed)[number]>(timed, 1, {
    arm: ({ arm }) => arm,
    training: ({ seconds }) => formatSeconds(seconds.train),
    validating: ({ seconds }) => formatSeconds(seconds.validate),
    'speed-up': ({ total }) => `${fixed(1 / total.ofSums, 2)}×`,
    geometric: ({ total }) => `${fixed(1 / total.geometricMean, 2)}×`,
    tasks: ({ total }) => String(total.tasks),
  });
  return section('Wall time, evaluation tasks', table, [
    'Each arm alone on an idle machine, mean over the timed tasks; the speed-up over “full” as ratio of sums and as ' +
      'geometric mean of the tasks’ ratios.',
    ...(loud.length > 0
      ? [
          'Disturbed, with the largest share of time that something else took: ' +
            `${loud.map(({ arm, disturbance }) => `${arm} ${formatPercent(disturbance, 0)}`).join(', ')}.`,
        ]
      : []),
  ]);
}

export function lengthsSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  const lengths = [...new Set(comparison.arms.map(({ length }) => length))].sort((a, b) => a - b);
  const rows = [
    ['full+grades', 'full'],
    ['lora+grades', 'lora'],
  ]
    .flatMap(([arm, base]) =>
      lengths.map((length) => ({ length, ...accuracyDifference(comparison, arm, base, tasks, length) })),
    )
    .filter(({ estimate }) => estimate !== null);
  const points = (side: 'arm' | 'base') => (row: Difference) =>
    fixed(100 * meanOverTasks(row.pairs.map((pair) => pair[side])), 2);
  const table = columnsOf<(typeof rows)[number]>(rows, 2, {
    length: ({ length }) => `${length}×`,
    arm: ({ arm }) => arm,
    pairs: differenceColumns.pairs,
    'base accuracy': points('base'),
    'arm accuracy': points('arm'),
    difference: differenceColumns.mean,
    '95 % interval': differenceColumns['95 % interval'],
    operations: (row) => ratioCell(operationsRatio(row)),
  });
  return section('Schedule lengths, evaluation tasks', table, [
    'What stopping saves depends on how over-long the schedule is: the same at half and twice the length that the sweep chose.',
  ]);
}

export function freezingOrderSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  return armsOf(comparison)
    .filter(({ role }) => role === 'rule')
    .flatMap(({ name }) => {
      const runs = runsOf(comparison, name, tasks);
      return section(`When ${name} freezes what, evaluation tasks`, freezingOrderTable(runs), [
        `Mean step of the freeze as a share of the schedule, and in brackets the share of ${counted(runs.length, 'run')} in ` +
          'which it froze; the mean is over those runs alone. Matrices still learning at the end count as not frozen.',
      ]);
    });
}

/** A row a kind, the matrices of a block in their usual order first; a column a block. */
function freezingOrderTable(runs: readonly ArmResult[]): Table {
  const places = runs.flatMap(({ freezes, signals }) => [...freezes, ...signals]);
  const blocks = [...new Set(places.map(({ block }) => block))].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
  const kinds = [...new Set(places.map(({ kind }) => kind))];
  const usual = projectionKinds.filter((kind) => kinds.includes(kind));
  const others = kinds.filter((kind) => !usual.some((each) => each === kind)).sort();
  const cell = (kind: string, chosen: readonly (number | null)[]) => {
    const here = (place: { kind: string; block: number | null }) => place.kind === kind && chosen.includes(place.block);
    const names = new Set(places.filter(here).map(({ name }) => name));
    if (names.size === 0) return null;
    const steps = runs.flatMap((run) => run.freezes.filter(here).map(({ step }) => step / run.scheduleSteps));
    const share = formatPercent(steps.length / (names.size * runs.length), 0);
    return `${steps.length > 0 ? fixed(mean(steps), 2) : 'never'} (${share})`;
  };
  return columnsOf<string>([...usual, ...others], 1, {
    kind: (kind) => kind,
    ...Object.fromEntries(
      blocks.map((block) => [block === null ? 'no block' : `block ${block}`, (kind) => cell(kind, [block])]),
    ),
    all: (kind) => cell(kind, blocks),
  });
}

export function speedsSections({ timings }: Comparison): Section[] {
  const rows = timings.flatMap((timing) =>
    timing.speeds.map((speed) => ({ timing, speed, start: timing.speeds[0].tokensPerSecond })),
  );
  const table = columnsOf<(typeof rows)[number]>(rows, 2, {
    task: ({ timing }) => timing.task,
    arm: ({ timing }) => timing.arm,
    'from step': ({ speed }) => String(speed.fromStep),
    'to step': ({ speed }) => String(speed.toStep),
    'of schedule': ({ speed, timing }) => fixed(speed.toStep / timing.scheduleSteps, 2),
    frozen: ({ speed }) => String(speed.frozen),
    'tokens/s': ({ speed }) => fixed(speed.tokensPerSecond, 0),
    relative: ({ speed, start }) => (start > 0 ? fixed(speed.tokensPerSecond / start, 2) : null),
  });
  const paragraph = 'The last column is relative to the start of the same run.';
  return section('Tokens a second before and after each freeze', table, [paragraph], true);
}

export function settingsSections({ settings }: Comparison): Section[] {
  const tasks = [...new Set(settings.map(({ task }) => task))];
  const groups = grouped(settings, ({ setting }) => setting);
  const points = (runs: typeof settings) => {
    if (runs.length === 0) return null;
    const difference = 100 * mean(runs.map(({ accuracyDifference: share }) => share));
    return `${signed(difference, 2)} at ${fixed(mean(runs.map(({ operationsRatio: ratio }) => ratio)), 2)}`;
  };
  const table = columnsOf<(typeof groups)[number]>(groups, 1, {
    setting: ([setting]) => setting,
    ...Object.fromEntries(tasks.map((task) => [task, ([, runs]) => points(runs.filter((each) => each.task === task))])),
    all: ([, runs]) => points(runs),
    runs: ([, runs]) => String(runs.length),
    chosen: ([, runs]) => (runs.some(({ chosen }) => chosen) ? 'chosen' : ''),
  });
  return section('Settings tried', table, [
    'All of them, on the tuning tasks: points of accuracy on validation against full training, at this ratio of operations.',
  ]);
}

export function sweepSections({ sweep, tasks }: Comparison): Section[] {
  const groups = grouped(sweep, ({ task, adapters, learningRate, steps }) =>
    JSON.stringify([task, adapters, learningRate, steps]),
  ).map(([, results]) => results);
  const isChosen = ({ task, adapters, learningRate, steps }: SweepResult) => {
    const fixedFor = tasks.find(({ name }) => name === task);
    return fixedFor?.learningRate[adapters ? 'lora' : 'full'] === learningRate && fixedFor.steps === steps;
  };
  const table = columnsOf<SweepResult[]>(groups, 2, {
    task: ([{ task }]) => task,
    trained: ([{ adapters }]) => (adapters ? 'adapters' : 'all weights'),
    'learning rate': ([{ learningRate }]) => learningRate.toExponential(),
    steps: ([{ steps }]) => String(steps),
    accuracy: (results) => fixed(100 * mean(results.map(({ validationAccuracy }) => validationAccuracy)), 1),
    seeds: (results) => String(results.length),
    chosen: ([first]) => (isChosen(first) ? 'chosen' : ''),
  });
  const paragraph =
    'Accuracy on validation of full training and LoRA, mean over seeds; it fixed the schedule of every arm.';
  return section('Sweep of schedule and learning rate', table, [paragraph], true);
}

export function tasksSections({ tasks }: Comparison): Section[] {
  const table = columnsOf(tasks, 4, {
    task: ({ name }) => name,
    'used for': ({ tuning }) => (tuning ? 'tuning' : 'evaluation'),
    character: ({ character }) => character,
    base: ({ base }) => base,
    classes: ({ classes }) => String(classes.length),
    steps: ({ steps }) => String(steps),
    rate: ({ learningRate }) => learningRate.full.toExponential(),
    'rate, LoRA': ({ learningRate }) => learningRate.lora.toExponential(),
    source: ({ source }) => source,
    description: ({ description }) => description,
  });
  const calibrated = tasks.filter(({ paperThresholds }) => Object.keys(paperThresholds ?? {}).length > 0);
  const names = [...new Set(calibrated.flatMap(({ paperThresholds }) => Object.keys(paperThresholds ?? {})))];
  const thresholds = columnsOf<(typeof calibrated)[number]>(calibrated, 1, {
    task: ({ name }) => name,
    ...Object.fromEntries(names.map((arm) => [arm, ({ paperThresholds }) => paperThresholds?.[arm]?.toPrecision(3)])),
  });
  return [
    ...section('Tasks', table, [], true),
    ...section('Thresholds τ of the paper’s rules', thresholds, [
      'They go with the size of the model, so those of the paper cannot be carried over. The paper tunes τ by hand for each ' +
        `model. Here it stands for that what half of the matrices are below at ${formatPercent(calibration.share, 0)} of ` +
        `the schedule, in one full run with seed ${calibration.seed}, which no reported arm has.`,
    ]),
  ];
}

export function armsSections(comparison: Comparison): Section[] {
  const table = columnsOf(armsOf(comparison), 2, { arm: ({ name }) => name, 'what it does': ({ about }) => about });
  return section('The arms', table, [], true);
}

function ratioCell(ratio: { ofSums: number } | null | undefined): string | null {
  return ratio ? fixed(ratio.ofSums, 2) : null;
}

function meanOverTasks(runs: readonly ArmResult[]): number {
  return mean(byTask(runs).map(([, ofTask]) => mean(ofTask.map(({ accuracy }) => accuracy))));
}
