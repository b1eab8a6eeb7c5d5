/** What is told of a study: every arm beside the run to the end, the rules beside their rivals, and the two pictures. */

import { formatBytes } from '../../command/format.ts';
import { tableOf } from '../../command/text-table.ts';
import { hierarchicalBootstrap, type Interval, mean, standardDeviation } from '../compare/bootstrap.ts';
import { drawTradeOff } from '../compare/report/trade-off.ts';
import { armsTable } from '../compare/tables.ts';
import { armLabel as nameOf } from '../report/arms.ts';
import { counted, fixed, grouped, signed } from '../report/numbers.ts';
import { beginning, type Document, markedAsSmoke, type Picture, type Section } from '../report/sections.ts';
import { armNames, arms } from './arms.ts';
import type { MethodName, Study, StudyResult } from './results.ts';

const whole = 'to-the-end';
const rules = ['grades', 'grades-from-below', 'grades-by-block', 'freeze-out'];

interface Pair {
  readonly arm: StudyResult;
  readonly base: StudyResult;
}

/** Two arms of one method, paired by task and seed: points of accuracy of `arm` minus `base`, and what it cost. */
export interface Contrast {
  readonly arm: string;
  readonly base: string;
  readonly pairs: readonly Pair[];
  /** Over the test questions, as they were answered with these seeds. */
  readonly ofQuestions: Interval;
  /** Over the seeds; null for fewer than three. */
  readonly ofSeeds: Interval | null;
  /** Over those of `base`; validations that an arm needs included. */
  readonly operations: number;
  readonly seconds: number;
}

export function contrast(results: readonly StudyResult[], arm: string, base: string): Contrast | null {
  const pairs = results.flatMap((each) => {
    if (each.arm !== arm) return [];
    const other = results.find(
      ({ arm: name, task, method, seed }) =>
        name === base && task === each.task && method === each.method && seed === each.seed,
    );
    return other ? [{ arm: each, base: other }] : [];
  });
  if (pairs.length === 0) return null;
  const byTask = grouped(pairs, (pair) => pair.arm.task).map(([, ofTask]) => ofTask);
  const ratio = (cost: (result: StudyResult) => number) =>
    mean(pairs.map((pair) => cost(pair.arm))) / mean(pairs.map((pair) => cost(pair.base)));
  return {
    ...{ arm, base, pairs },
    ofQuestions: hierarchicalBootstrap(byTask.map(pointsOfQuestions)),
    ofSeeds: pairs.length < 3 ? null : hierarchicalBootstrap(byTask.map((ofTask) => ofTask.map(points))),
    operations: ratio(({ cost, validation }) => cost.operations + validation.operations),
    seconds: ratio(({ cost, validation }) => cost.seconds + validation.seconds),
  };
}

function points({ arm, base }: Pair): number {
  return 100 * (arm.accuracy - base.accuracy);
}

/** Of several tasks each one's mean over seeds, of one task each seed. */
function apart(pairs: readonly Pair[], { tasks }: Study): string {
  const values = tasks.map(({ name }) => pairs.filter(({ arm }) => arm.task === name).map(points));
  const shown = values.length > 1 ? values.map((ofTask) => (ofTask.length > 0 ? mean(ofTask) : null)) : values.flat();
  return shown.map((each) => (each === null ? '–' : signed(each, 1))).join(', ');
}

function apartBy({ tasks }: Study): string {
  return tasks.length > 1 ? `by task: ${tasks.map(({ name }) => name).join(', ')}` : 'by seed';
}

/** Standard deviation over the seeds of a task, pooled over tasks; null where no task has two. */
function spreadOverSeeds(pairs: readonly Pair[]): number | null {
  const deviations = grouped(pairs, ({ arm }) => arm.task).flatMap(
    ([, ofTask]) => standardDeviation(ofTask.map(({ arm }) => 100 * arm.accuracy)) ?? [],
  );
  return deviations.length === 0 ? null : Math.sqrt(mean(deviations.map((each) => each ** 2)));
}

/** Of each question, the mean over seeds. */
function pointsOfQuestions(pairs: readonly Pair[]): number[] {
  return [...pairs[0].arm.right].map((_, i) =>
    mean(pairs.map(({ arm, base }) => 100 * (Number(arm.right[i]) - Number(base.right[i])))),
  );
}

export function studyDocument(study: Study): Document {
  const { methods, tasks, seeds, steps, omissions } = study;
  const counts = tasks.map(({ name, train, test }) => `${name}: ${train} samples to train on, ${test} to test on`);
  const document = {
    ...beginning(study, 'Freezing and its rivals, with frozen blocks not run again', [
      `${counts.join('; ')}. ${steps} steps; ${counted(seeds.length, 'seed')}.`,
      study.device.kind === 'cpu'
        ? 'Time is that of the processor in the steps, on one thread, evaluations left out. What else runs counts less so, but not ' +
          'nothing: it shares memory and caches.'
        : 'Time is that of the clock in the steps, evaluations left out.',
      ...omissions.map((each) => `Left out: ${each}`),
    ]),
    summary: methods.flatMap((method) => [armsSection(method, study), rivalsSection(method, study)]),
    parts: [
      ...picture(study, 'operations', 'operations, over those of the run to the end'),
      ...picture(study, 'seconds', 'time of the steps, over that of the run to the end'),
      { heading: 'The arms', table: armsTable(arms, armLabel) },
      thresholdsSection(study),
    ],
  };
  return study.kind === 'smoke' ? markedAsSmoke(document) : document;
}

/** The name of an arm, with or without that of its method before it. */
function armLabel(arm: string): string {
  const name = arm.replace(/^(lora|full)\+/, '');
  const [, rule, limit] = /^(.*)-(operations-plain-stop|time-plain-stop|short-cosine)$/.exec(name) ?? [];
  return rule ? `${followed[limit]} of ${nameOf(rule)}` : nameOf(name);
}

const followed: Readonly<Record<string, string>> = {
  'operations-plain-stop': 'stop at the operations',
  'time-plain-stop': 'stop at the time',
  'short-cosine': 'short cosine, at the operations',
};
const inWords: Readonly<Record<MethodName, string>> = { lora: 'Adapters', full: 'All weights' };

function interval({ low, high }: Interval): string {
  return `${signed(low, 1)} to ${signed(high, 1)}`;
}

function resultsOf({ results }: Study, method: MethodName): StudyResult[] {
  return results.filter((each) => each.method === method);
}

function armsSection(method: MethodName, study: Study): Section {
  const results = resultsOf(study, method);
  const rows = arms.flatMap(({ name }) => contrast(results, name, whole) ?? []);
  const over = (of: (result: StudyResult) => number) => (row: Contrast) => mean(row.pairs.map(({ arm }) => of(arm)));
  const kept = over(({ prefix }) => prefix?.bytes ?? 0);
  const saved = over(({ cost }) => cost.saved / (cost.saved + cost.operations));
  return {
    heading: `${inWords[method]}: every arm, beside the run to the end`,
    paragraphs: [
      'Accuracy in percent of the test questions: mean over tasks and seeds, and standard deviation over the seeds of a task. ' +
        'Differences are points, paired by task and seed; the first interval resamples tasks and questions, the second tasks and ' +
        'seeds. Operations and time are over those of the run to the end, those of early stopping with its validations. Frozen: ' +
        'percent of the watched matrices at the end. Not run: what the forward passes saved by beginning above frozen blocks, in ' +
        'percent of all operations had they run them. Kept: the most that was kept for that.',
    ],
    table: tableOf(rows, 1, {
      arm: ({ arm }) => armLabel(arm),
      runs: ({ pairs }) => String(pairs.length),
      accuracy: (row) => {
        const spread = spreadOverSeeds(row.pairs);
        return `${fixed(100 * over(({ accuracy }) => accuracy)(row), 1)}${spread === null ? '' : ` ± ${fixed(spread, 1)}`}`;
      },
      difference: ({ arm, ofQuestions }) => (arm === whole ? null : signed(ofQuestions.mean, 1)),
      [apartBy(study)]: ({ arm, pairs }) => (arm === whole ? null : apart(pairs, study)),
      '95 %, questions': ({ arm, ofQuestions }) => (arm === whole ? null : interval(ofQuestions)),
      '95 %, seeds': ({ arm, ofSeeds }) => (arm === whole ? null : ofSeeds && interval(ofSeeds)),
      operations: ({ operations }) => fixed(operations, 2),
      time: ({ seconds }) => fixed(seconds, 2),
      steps: (row) => fixed(over(({ steps }) => steps)(row), 0),
      frozen: (row) => fixed(100 * over(({ freezes, matrices }) => freezes.length / matrices)(row), 0),
      'not run': (row) => (saved(row) > 0 ? fixed(100 * saved(row), 0) : null),
      kept: (row) => (kept(row) > 0 ? formatBytes(kept(row)) : null),
    }),
  };
}

/** The rules beside everything that could have done as well. */
function rivalsSection(method: MethodName, study: Study): Section {
  const results = resultsOf(study, method);
  const rows = arms.flatMap(({ name: base, follows }) => {
    if (base === 'grades-without-cache') return [];
    return (follows ? [follows] : rules.filter((rule) => rule !== base)).flatMap(
      (rule) => contrast(results, rule, base) ?? [],
    );
  });
  rows.sort((a, b) => armNames.indexOf(a.arm) - armNames.indexOf(b.arm));
  return {
    heading: `${inWords[method]}: rules minus their rivals`,
    paragraphs: ['Above zero the rule is the more accurate. Operations and time are its own over those of the rival.'],
    table: tableOf(rows, 2, {
      arm: ({ arm }) => armLabel(arm),
      minus: ({ base }) => armLabel(base),
      difference: ({ ofQuestions }) => signed(ofQuestions.mean, 1),
      '95 %, questions': ({ ofQuestions }) => interval(ofQuestions),
      '95 %, seeds': ({ ofSeeds }) => ofSeeds && interval(ofSeeds),
      [apartBy(study)]: ({ pairs }) => apart(pairs, study),
      operations: ({ operations }) => fixed(operations, 2),
      time: ({ seconds }) => fixed(seconds, 2),
    }),
  };
}

function picture({ methods, results }: Study, cost: 'operations' | 'seconds', xLabel: string): Picture[] {
  const shown = methods.flatMap((method) =>
    arms.flatMap(({ name }) => {
      const beside = contrast(
        results.filter((each) => each.method === method),
        name,
        whole,
      );
      return beside ? [{ arm: `${method}+${name}`, cost: beside[cost], points: beside.ofQuestions.mean }] : [];
    }),
  );
  if (shown.length < 2) return [];
  return [
    {
      file: `accuracy-and-${cost}.svg`,
      heading: cost === 'operations' ? 'Accuracy against operations' : 'Accuracy against time',
      caption: 'Mean over seeds, beside the run to the end. Left is cheaper, up is more accurate.',
      draw: (title) =>
        drawTradeOff(title, shown, {
          ...{ xLabel, base: 'the run to the end', labelOf: armLabel },
        }),
    },
  ];
}

function thresholdsSection({ calibrations }: Study): Section {
  const names = [...new Set(calibrations.flatMap(({ thresholds }) => Object.keys(thresholds)))];
  return {
    heading: 'Thresholds of the paper’s rules',
    paragraphs: [
      'What half of the matrices are below at three quarters of the schedule, in a run to the end with a seed that no arm has. The ' +
        'paper tunes them by hand.',
    ],
    table: tableOf(calibrations, 2, {
      task: ({ task }) => task,
      trained: ({ method }) => method,
      ...Object.fromEntries(names.map((name) => [name, ({ thresholds }) => thresholds[name]?.toPrecision(3)])),
    }),
  };
}
