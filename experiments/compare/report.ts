/** What is told of a comparison: its tables, and the pictures that there are data for. */

import { armLabel, byTaskAndFamily, isAdapted } from '../report/arms.ts';
import { drawCurves } from '../report/curves.ts';
import { splitHalfInWords } from '../report/explanations.ts';
import { counted } from '../report/numbers.ts';
import { type Document, markedAsSmoke, type Picture } from '../report/sections.ts';
import { drawAlive, drawSignals } from '../report/watched.ts';
import { drawIntervals } from './report/intervals.ts';
import { drawTradeOff } from './report/trade-off.ts';
import type { ArmResult, Comparison } from './results.ts';
import { type Analysis, analyse, byTask, differenceOf, runsOf } from './statistics.ts';
import * as tables from './tables.ts';

/** Everything that is told of a comparison, in reading order. */
export function comparisonDocument(comparison: Comparison): Document {
  const analysis = analyse(comparison);
  const { tasks } = analysis;
  const watched = ['full+grades', 'lora+grades', ...(comparison.policy ? [comparison.policy.arm] : [])];
  const document = {
    ...tables.heading(comparison),
    summary: tables.summarySections(analysis),
    parts: [
      ...intervalPictures(analysis),
      ...tradeOffPicture(comparison, analysis),
      tables.accuracySection(comparison),
      ...watched.flatMap((arm) => watchedPictures(arm, runsOf(comparison.arms, arm, tasks))),
      ...memoryPicture(comparison, tasks),
      ...tables.protocolSections(comparison),
    ],
  };
  return comparison.kind === 'smoke' ? markedAsSmoke(document) : document;
}

/** Differences beside full training and plain LoRA, then those of each rule beside its controls. */
function intervalPictures({ againstFull, againstLora, againstControls, noise }: Analysis): Picture[] {
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
  return [
    ...onlyIf(againstFull.length > 0, {
      file: 'differences.svg',
      heading: 'Accuracy of every arm beside the arm without stopping',
      caption: `Mean over the evaluation tasks with its 95 % interval; “at”: operations over those of the other arm. Each panel has its own axis. ${noiseNote}`,
      draw: (title) => drawIntervals(title, groups, noise),
    }),
    ...onlyIf(rules.length > 0, {
      file: 'controls.svg',
      heading: 'Each rule minus its controls and early stopping',
      caption: `To the right of zero the rule is the more accurate; “at”: its operations over those of the other. Each panel has its own axis. ${noiseNote}`,
      draw: (title) => drawIntervals(title, rules, noise),
    }),
  ];
}

function tradeOffPicture(comparison: Comparison, { tasks, againstFull }: Analysis): Picture[] {
  const all = [differenceOf(comparison, 'full', 'full', tasks), ...againstFull];
  const points = all.flatMap(({ arm, operations: cost, estimate }) =>
    cost !== null && estimate ? [{ arm, cost, points: estimate.mean }] : [],
  );
  // The arm `full` alone is a single point at the origin.
  return onlyIf(points.length > 1, {
    file: 'accuracy-and-operations.svg',
    heading: 'Accuracy against operations',
    caption:
      'Mean over the evaluation tasks. Left is cheaper, up is more accurate; each panel has its own vertical axis.',
    draw: (title) => drawTradeOff(title, points),
  });
}

/** The signals on the task on which most was frozen, and what still learned on all of them. */
function watchedPictures(arm: string, runs: readonly ArmResult[]): Picture[] {
  const tasks = byTask(runs.filter(({ signals }) => signals.length > 0)).map(([name, runs]) => ({ name, runs }));
  const frozen = ({ runs }: (typeof tasks)[number]) =>
    runs.reduce((sum, { freezes }) => sum + freezes.filter(({ value }) => value !== null).length, 0);
  const isKnown = ({ signals }: ArmResult) =>
    signals.some(({ samples }) => samples.some(({ value }) => Number.isFinite(value)));
  const shown = tasks
    .filter(({ runs }) => runs.some(isKnown))
    .sort((a, b) => frozen(b) - frozen(a))
    .slice(0, 1);
  return [
    ...shown.map((task) => ({
      file: `signals-${arm.replace('+', '-')}.svg`,
      heading: `What ${armLabel(arm)} watches, on ${task.name}`,
      caption:
        `The task on which it froze most, ${counted(task.runs.length, 'seed')}.` +
        (arm.endsWith('+grades') ? ` ${splitHalfInWords}` : ''),
      draw: (title: string) => drawSignals(title, task.runs),
    })),
    ...onlyIf(
      tasks.some((task) => frozen(task) > 0),
      {
        file: `alive-${arm.replace('+', '-')}.svg`,
        heading: `What still learns under ${armLabel(arm)}`,
        caption: 'The watched matrices. Where the bars end, the last run has ended.',
        draw: (title) => drawAlive(title, tasks),
      },
    ),
  ];
}

/** A panel a task and family of arms. */
function memoryPicture({ arms, seeds: [seed] }: Comparison, tasks: readonly string[]): Picture[] {
  const runs = ['full', 'full+grades', 'lora', 'lora+grades']
    .flatMap((arm) => runsOf(arms, arm, tasks).filter((run) => run.seed === seed))
    .map((run) => ({ ...run, samples: run.memory.map(({ step, value }) => ({ step, value: value / 1024 })) }));
  const highest = Math.max(...runs.flatMap(({ samples }) => samples.map(({ value }) => value)));
  const panels = byTaskAndFamily(runs).map(({ name, members }) => ({
    ...{ name, curves: members, height: 120, y: { domain: [0, 1.05 * highest] } },
    steps: Math.max(...members.map(({ scheduleSteps }) => scheduleSteps)),
  }));
  return onlyIf(panels.length > 0, {
    file: 'memory.svg',
    heading: 'Memory over time',
    caption: `Live bytes on the device, seed ${seed}. A mark where the run ends.`,
    draw: (title) => drawCurves({ title, legend: [], yLabel: 'KiB on the device' }, panels),
  });
}

/** A picture that there are data for. */
function onlyIf(condition: boolean, picture: Picture): Picture[] {
  return condition ? [picture] : [];
}
