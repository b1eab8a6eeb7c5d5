/** What is told of a comparison: its tables, and the pictures that there are data for. */

import { armLabel, isAdapted } from '../report/arms.ts';
import { splitHalfInWords } from '../report/explanations.ts';
import { counted } from '../report/numbers.ts';
import type { Palette } from '../report/palette.ts';
import { type Document, markedAsSmoke, type Picture } from '../report/sections.ts';
import { drawAlive, drawSignals, watchedRun } from '../report/watched.ts';
import { drawIntervals } from './report/intervals.ts';
import { drawMemory, drawSpeeds } from './report/over-time.ts';
import { drawTradeOff } from './report/trade-off.ts';
import type { Comparison } from './results.ts';
import {
  type Analysis,
  accuracyDifference,
  analyse,
  byTask,
  operationsRatio,
  pairRuns,
  runsOf,
  tasksOf,
  timeComparison,
  timingsOf,
} from './statistics.ts';
import * as tables from './tables.ts';

/** Everything that is told of a comparison, in reading order. */
export function comparisonDocument(comparison: Comparison): Document {
  const [evaluation, tuning] = [analyse(comparison, 'evaluation'), analyse(comparison, 'tuning')];
  const { differences, controls } = intervalPictures(evaluation);
  const watched = ['full+grades', 'lora+grades', ...(comparison.policy ? [comparison.policy.arm] : [])];
  const document = {
    ...tables.heading(comparison),
    summary: tables.answersSections(comparison, evaluation),
    parts: [
      ...differences,
      ...tables.differencesSections('Differences in accuracy, evaluation tasks', [
        ...evaluation.againstFull,
        ...evaluation.againstLora,
      ]),
      tables.noiseSection(evaluation),
      ...controls,
      ...tables.controlsSections(comparison, evaluation),
      ...tables.accuracySections(comparison, evaluation, 'Accuracy, evaluation tasks'),
      ...tradeOffPictures(comparison, 'operations'),
      ...tradeOffPictures(comparison, 'time'),
      ...tables.operationsSections(comparison, evaluation),
      ...tables.timeSections(comparison, evaluation),
      ...tables.lengthsSections(comparison, evaluation),
      ...watched.flatMap((arm) => watchedPictures(comparison, arm)),
      ...tables.freezingOrderSections(comparison, evaluation),
      ...overTimePictures(comparison),
      ...tables.speedsSections(comparison),
      ...[
        ...tables.accuracySections(comparison, tuning, 'Accuracy, tuning tasks (no evidence)'),
        ...tables.differencesSections('Differences in accuracy, tuning tasks (no evidence)', [
          ...tuning.againstFull,
          ...tuning.againstLora,
          ...tuning.againstControls,
        ]),
      ].map((section) => ({ ...section, long: true })),
      ...tables.settingsSections(comparison),
      ...tables.sweepSections(comparison),
      ...tables.tasksSections(comparison),
      ...tables.armsSections(comparison),
    ],
  };
  return comparison.kind === 'smoke' ? markedAsSmoke(document) : document;
}

/** Differences beside full training and plain LoRA, then those of each rule beside its controls. */
function intervalPictures({ againstFull, againstLora, againstControls, noise }: Analysis) {
  const noiseNote = noise
    ? 'The grey band is the noise floor: where means fall when next to nothing differs.'
    : 'The noise floor is unknown.';
  const groups = [
    { heading: 'all weights, minus “full”', differences: againstFull.filter(({ arm }) => !isAdapted(arm)) },
    { heading: 'LoRA, minus “full”', differences: againstFull.filter(({ arm }) => isAdapted(arm)) },
    { heading: 'LoRA, minus “lora”', differences: againstLora },
  ].map((group) => ({ ...group, nameOf: 'arm' as const }));
  const rules = [...new Set(againstControls.map(({ arm }) => arm))].map((rule) => ({
    heading: `${armLabel(rule)} minus`,
    differences: againstControls.filter(({ arm }) => arm === rule),
    nameOf: 'base' as const,
  }));
  return {
    differences: onlyIf(againstFull.length > 0, {
      file: 'differences.svg',
      heading: 'Accuracy of every arm beside the arm without stopping',
      caption: `Mean over the evaluation tasks with its 95 % interval; each panel has its own axis. ${noiseNote}`,
      draw: (title, palette) => drawIntervals(title, groups, noise, palette),
    }),
    controls: onlyIf(rules.length > 0, {
      file: 'controls.svg',
      heading: 'Each rule minus its controls and early stopping',
      caption: `To the right of zero the rule is the more accurate; each panel has its own axis. ${noiseNote}`,
      draw: (title, palette) => drawIntervals(title, rules, noise, palette),
    }),
  };
}

function tradeOffPictures(comparison: Comparison, quantity: 'operations' | 'time'): Picture[] {
  const tasks = tasksOf(comparison, 'evaluation');
  const arms = [...new Set(comparison.arms.map(({ arm }) => arm))];
  const pointsOf = (task: string | null, chosen: readonly string[]) =>
    arms.flatMap((arm) => {
      const cost =
        quantity === 'time'
          ? timeComparison(comparison, arm, 'full', chosen)?.total
          : operationsRatio(pairRuns(comparison, arm, 'full', chosen));
      const { estimate } = accuracyDifference(comparison, arm, 'full', chosen);
      return cost && estimate ? [{ arm, task, cost: cost.ofSums, points: estimate.mean }] : [];
    });
  const all = pointsOf(null, tasks);
  const words = quantity === 'time' ? 'wall time, over that of “full”' : 'operations, over those of “full”';
  // The arm `full` alone is a single point at the origin.
  if (all.length < 2) return [];
  return [
    {
      file: `accuracy-and-${quantity}.svg`,
      heading: `Accuracy against ${quantity}`,
      caption:
        'Mean over the evaluation tasks. Left is cheaper, up is more accurate; each panel has its own vertical axis.',
      draw: (title, palette) => drawTradeOff(title, words, all, palette),
    },
    {
      file: `accuracy-and-${quantity}-by-task.svg`,
      heading: `Accuracy against ${quantity}, task by task`,
      caption: 'Means over the seeds; a pointer on a mark names its arm. Each panel has its own vertical axis.',
      draw: (title, palette) =>
        drawTradeOff(
          title,
          words,
          tasks.flatMap((task) => pointsOf(task, [task])),
          palette,
        ),
    },
  ];
}

/** The signals on the task on which most was frozen, and what still learned on all of them. */
function watchedPictures(comparison: Comparison, arm: string): Picture[] {
  const runs = runsOf(comparison, arm, tasksOf(comparison, 'evaluation')).filter(({ signals }) => signals.length > 0);
  const tasks = byTask(runs).map(([name, ofTask]) => ({ name, runs: ofTask.map(watchedRun) }));
  const matrices = (task: (typeof tasks)[number]) => task.runs.flatMap((run) => run.matrices);
  const freezes = (task: (typeof tasks)[number]) => matrices(task).filter(({ frozen }) => frozen).length;
  const shown = tasks
    .filter((task) => matrices(task).some(({ samples }) => samples.some(({ value }) => Number.isFinite(value))))
    .sort((a, b) => freezes(b) - freezes(a))
    .slice(0, 1);
  return [
    ...shown.map((task) => ({
      file: `signals-${arm.replace('+', '-')}.svg`,
      heading: `What ${armLabel(arm)} watches, on ${task.name}`,
      caption:
        `The task on which it froze most, ${counted(task.runs.length, 'seed')}.` +
        (arm.endsWith('+grades') ? ` ${splitHalfInWords}` : ''),
      draw: (title: string, palette: Palette) => drawSignals(title, task.runs, palette),
    })),
    ...onlyIf(
      tasks.some((task) => freezes(task) > 0),
      {
        file: `alive-${arm.replace('+', '-')}.svg`,
        heading: `What still learns under ${armLabel(arm)}`,
        caption: 'The watched matrices. Where the bars end, the last run has ended.',
        draw: (title, palette) => drawAlive(title, tasks, palette),
      },
    ),
  ];
}

function overTimePictures(comparison: Comparison): Picture[] {
  const tasks = tasksOf(comparison, 'evaluation');
  const arms = ['full', 'full+grades', 'lora', 'lora+grades'] as const;
  const seed = comparison.seeds[0];
  const runs = arms
    .flatMap((arm) => runsOf(comparison, arm, tasks))
    .filter((run) => run.seed === seed && run.memory.length > 0);
  const timings = tasks
    .flatMap((task) => arms.flatMap((arm) => timingsOf(comparison, arm, task)))
    .filter(({ speeds }) => speeds.length > 0);
  return [
    ...onlyIf(runs.length > 0, {
      file: 'memory.svg',
      heading: 'Memory over time',
      caption: `Seed ${seed}. A mark where the run ends.`,
      draw: (title, palette) => drawMemory(title, runs, palette),
    }),
    ...onlyIf(timings.length > 0, {
      file: 'speeds.svg',
      heading: 'Tokens a second before and after each freeze',
      caption: 'Each arm alone on an idle machine. A mark where the run ends.',
      draw: (title, palette) => drawSpeeds(title, timings, palette),
    }),
  ];
}

/** A picture that there are data for. */
function onlyIf(condition: boolean, picture: Picture): Picture[] {
  return condition ? [picture] : [];
}
