/** The tables of a comparison, and what is said beside them. */

import { formatPercent } from '../../command/format.ts';
import { busyShare } from '../../command/load-meter.ts';
import { type Columns, tableOf } from '../../command/text-table.ts';
import { counted, fixed, grouped, listed, signed } from '../report/numbers.ts';
import { beginning, type Section } from '../report/sections.ts';
import type { Arm } from './arms.ts';
import { mean, resamples, standardDeviation } from './bootstrap.ts';
import { calibration } from './protocol.ts';
import type { ArmResult, Comparison } from './results.ts';
import {
  type Analysis,
  armsOf,
  byTask,
  type Difference,
  margin,
  meanPoints,
  operationsShare,
  pairsOf,
  ratioOf,
  runsOf,
  tasksOf,
  totalOperations,
} from './statistics.ts';

export function heading(comparison: Comparison) {
  const { seeds, omissions, policy, timings } = comparison;
  const [evaluation, tuning] = [tasksOf(comparison, 'evaluation'), tasksOf(comparison, 'tuning')];
  const named = (tasks: readonly string[]) => (tasks.length > 0 ? ` (${listed(tasks)})` : '');
  const loud = timings.flatMap(({ arm, timing }) => (timing && timing.disturbance > busyShare ? [arm] : []));
  return beginning(comparison, 'GradES and its rivals', [
    `${counted(evaluation.length, 'evaluation task')}${named(evaluation)}, ` +
      `${counted(tuning.length, 'tuning task')}${named(tuning)}, ${counted(seeds.length, 'seed')}. ` +
      'Thresholds were chosen on the tuning tasks, so what they give is no evidence.',
    ...(evaluation.length === 0 ? ['There is no evaluation task: nothing here is evidence about GradES.'] : []),
    ...(policy ? [`The arm ${policy.arm} is the rule of ${policy.file}.`] : []),
    ...(loud.length > 0 ? [`Something else was busy while these were timed: ${listed([...new Set(loud)])}.`] : []),
    ...omissions.map((omission) => `Left out: ${omission}`),
  ]);
}

const ratio = (value: number | null) => (value === null ? null : fixed(value, 2));

const differenceColumns: Columns<Difference> = {
  arm: ({ arm }) => arm,
  against: ({ base }) => base,
  pairs: ({ pairs }) => String(pairs.length),
  accuracy: ({ pairs }) =>
    fixed(100 * mean(byTask(pairs).map(([, ofTask]) => mean(ofTask.map(({ arm }) => arm.accuracy)))), 2),
  difference: ({ estimate }) => estimate && signed(estimate.mean, 2),
  '95 % interval': ({ estimate }) => {
    if (!estimate) return null;
    return estimate.hasInterval ? `${signed(estimate.low, 2)} to ${signed(estimate.high, 2)}` : 'one pair';
  },
  'not worse': ({ estimate }) => estimate?.verdict,
  operations: ({ operations }) => ratio(operations),
  validation: ({ pairs }) => fixed(operationsShare(pairs, 'validation'), 2).replace(/^0\.00$/, '') || null,
  steps: ({ pairs }) => ratio(ratioOf(pairs, ({ steps }) => steps)),
  time: ({ time }) => ratio(time),
};

/** Paired differences in points of accuracy, and costs over those of the other arm: the one table of every comparison of two arms. */
function differencesSection(
  heading: string,
  differences: readonly Difference[],
  paragraphs: readonly string[] = [],
): Section {
  const { arm, against, ...others } = differenceColumns;
  const lengths = new Set(differences.map(({ length }) => length));
  const length: Columns<Difference> = lengths.has(1) ? {} : { length: ({ length }) => `${length}×` };
  return { heading, paragraphs, table: tableOf(differences, 2, { arm, against, ...length, ...others }) };
}

export function summarySections({
  againstFull,
  againstLora,
  againstControls,
  otherLengths,
  noise,
}: Analysis): Section[] {
  const tasks = Math.max(0, ...againstFull.map(({ estimate }) => estimate?.tasks ?? 0));
  return [
    differencesSection('Every arm against full training, evaluation tasks', againstFull, [
      'Points of accuracy, paired by task and seed: mean over tasks and 95 % interval by a hierarchical bootstrap (tasks, then seeds; ' +
        `${resamples.toLocaleString('en')} resamples). “Not worse”: its one-sided 95 % bound lies above −${margin} points. One ` +
        'interval in twenty misses by chance, and no difference shown is no proof of equality.' +
        (tasks > 1 && tasks < 10 ? ` With ${tasks} tasks such intervals are somewhat too narrow.` : '') +
        (tasks === 1 ? ' With a single task they speak of its seeds alone, not of other tasks.' : ''),
      'Operations, steps and time are over those of the other arm; validation is its part of the operations. Each arm was timed ' +
        'alone, with the first seed.',
    ]),
    differencesSection('Adapters against plain LoRA, evaluation tasks', againstLora),
    differencesSection('Each rule against its controls and each way of stopping, evaluation tasks', againstControls),
    differencesSection('GradES on schedules of other lengths, evaluation tasks', otherLengths),
    {
      heading: 'Noise floor',
      paragraphs: [
        noise
          ? `The arm “null” is full training whose first weights differ by next to nothing. Over ${counted(noise.pairs, 'pair')} on ` +
            `${counted(noise.tasks, 'task')} its accuracy moved by ${fixed(noise.spread, 2)} points (root mean square; mean ` +
            `${signed(noise.mean, 2)}). A mean over as many pairs falls within ±${fixed(noise.band, 2)} points by that alone.`
          : 'Unknown: fewer than two runs of the arm “null” can be paired with “full”.',
      ],
    },
  ];
}

/** `87.1 ± 0.4`, without the second part for a single value. */
export function meanAndDeviation(values: readonly number[], decimals: number): string {
  const deviation = standardDeviation(values);
  return `${fixed(mean(values), decimals)}${deviation === null ? '' : ` ± ${fixed(deviation, decimals)}`}`;
}

/** A column a task, those of the evaluation first. */
export function accuracySection(comparison: Comparison): Section {
  const { length: seeds } = comparison.seeds;
  const [evaluation, tuning] = [tasksOf(comparison, 'evaluation'), tasksOf(comparison, 'tuning')];
  const cell = (task: string) => (arm: Arm) => {
    const runs = runsOf(comparison.arms, arm.name, [task]).filter(({ accuracy }) => Number.isFinite(accuracy));
    const values = runs.map(({ accuracy }) => 100 * accuracy);
    if (values.length === 0) return null;
    const number = meanAndDeviation(values, 1);
    return values.length < seeds ? `${number} (${values.length})` : number;
  };
  return {
    heading: 'Accuracy, task by task',
    paragraphs: [
      `Percent of test items, mean ± standard deviation over ${counted(seeds, 'seed')}; in brackets the number of seeds where ` +
        'it is smaller. Rules were chosen on the tuning tasks.',
    ],
    table: tableOf(armsOf(comparison), 1, {
      arm: ({ name }) => name,
      ...Object.fromEntries(evaluation.map((task) => [task, cell(task)])),
      ...Object.fromEntries(tuning.map((task) => [`${task} (tuning)`, cell(task)])),
    }),
  };
}

/** What each arm does. */
export function armsTable(arms: readonly { name: string; about: string }[], labelOf = (arm: string) => arm) {
  return tableOf(arms, 2, { arm: ({ name }) => labelOf(name), 'what it does': ({ about }) => about });
}

/** How the settings, schedules, learning rates and thresholds were chosen, and what the tasks and the arms are. */
export function protocolSections(comparison: Comparison): Section[] {
  const { tasks, tuning, setting, sweep } = comparison;
  const tried = [...new Set(tuning.map(({ arm }) => arm))].filter((arm) => arm !== 'full');
  const tunedOn = [...new Set(tuning.map(({ task }) => task))];
  const points = (on: readonly string[]) => (arm: string) => {
    const pairs = pairsOf(tuning, arm, 'full', on);
    const operations = mean(pairs.map((pair) => totalOperations(pair.arm) / totalOperations(pair.base)));
    return pairs.length > 0 ? `${signed(meanPoints(pairs), 2)} at ${fixed(operations, 2)}` : null;
  };
  const settings = tableOf<string>(tried, 1, {
    setting: (arm) => arm,
    ...Object.fromEntries(tunedOn.map((task) => [task, points([task])])),
    all: points(tunedOn),
    chosen: (arm) => (arm === setting ? 'chosen' : ''),
  });
  const schedules = grouped(sweep, ({ task, arm, learningRate, scheduleSteps }) =>
    JSON.stringify([task, arm, learningRate, scheduleSteps]),
  ).map(([, results]) => results);
  const isChosen = ({ task, arm, learningRate, scheduleSteps }: ArmResult) => {
    const chosen = tasks.find(({ name }) => name === task);
    return chosen?.learningRate[arm === 'lora' ? 'lora' : 'full'] === learningRate && chosen.steps === scheduleSteps;
  };
  const paperArms = [...new Set(tasks.flatMap(({ paperThresholds }) => Object.keys(paperThresholds)))];
  return [
    {
      heading: 'Settings tried',
      paragraphs: [
        'All of them, on the tuning tasks: points of accuracy on validation against full training, at this ratio of operations.',
      ],
      table: settings,
    },
    {
      heading: 'Sweep of schedule and learning rate',
      paragraphs: [
        'Accuracy on validation of full training and LoRA, mean over seeds; it fixed the schedule of every arm.',
      ],
      long: true,
      table: tableOf<ArmResult[]>(schedules, 2, {
        task: ([{ task }]) => task,
        arm: ([{ arm }]) => arm,
        'learning rate': ([{ learningRate }]) => learningRate.toExponential(),
        steps: ([{ scheduleSteps }]) => String(scheduleSteps),
        accuracy: (results) => fixed(100 * mean(results.map(({ accuracy }) => accuracy)), 1),
        seeds: (results) => String(results.length),
        chosen: ([first]) => (isChosen(first) ? 'chosen' : ''),
      }),
    },
    {
      heading: 'Tasks',
      paragraphs:
        paperArms.length === 0
          ? []
          : [
              'The thresholds τ of the paper’s rules go with the size of the model; the paper tunes them by hand. Here τ is what half of ' +
                `the matrices are below at ${formatPercent(calibration.share, 0)} of the schedule, in one full run with seed ` +
                `${calibration.seed}, which no reported arm has.`,
            ],
      table: tableOf(tasks, 4, {
        task: ({ name }) => name,
        'used for': ({ tuning: isTuning }) => (isTuning ? 'tuning' : 'evaluation'),
        character: ({ character }) => character,
        description: ({ description }) => description,
        base: ({ base }) => base,
        classes: ({ classes }) => String(classes.length),
        steps: ({ steps }) => String(steps),
        rate: ({ learningRate }) => learningRate.full.toExponential(),
        'rate, LoRA': ({ learningRate }) => learningRate.lora.toExponential(),
        ...Object.fromEntries(
          paperArms.map((arm) => [`τ of ${arm}`, ({ paperThresholds }) => paperThresholds[arm]?.toPrecision(3)]),
        ),
      }),
    },
    { heading: 'The arms', long: true, table: armsTable(armsOf(comparison)) },
  ];
}
