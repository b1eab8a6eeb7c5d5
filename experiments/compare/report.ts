import type { Palette } from '../report/palette.ts';
import { type Document, documentPage, documentPictures, type Picture } from '../report/sections.ts';
import { drawAlive } from './report/alive.ts';
import { drawIntervals } from './report/intervals.ts';
import { drawMemory, drawSpeeds } from './report/over-time.ts';
import { drawSignalCurves } from './report/signals.ts';
import { drawTradeOff, drawTradeOffByTask } from './report/trade-off.ts';
import { type ArmName, type ArmResult, armNames, type Comparison } from './results.ts';
import {
  accuracyDifference,
  analyse,
  operationsRatio,
  pairRuns,
  runsOf,
  timeComparison,
  timingsOf,
} from './statistics.ts';
import { heading, sections } from './tables.ts';

/** One HTML file without scripts that needs no other: answers, tables and pictures, on a light or a dark ground. */
export function reportPage(comparison: Comparison): string {
  return documentPage(wholeDocument(comparison));
}

/** The page's pictures as SVG files by their names, each on a white ground. */
export function pictures(comparison: Comparison): Record<string, string> {
  return documentPictures(wholeDocument(comparison));
}

function wholeDocument(comparison: Comparison): Document {
  const parts = sections(comparison);
  const drawn = comparisonPictures(comparison);
  return {
    ...heading(comparison),
    parts: [
      ...parts.answers,
      ...parts.claims,
      ...drawn.differences,
      ...parts.differences,
      ...drawn.controls,
      ...parts.controls,
      ...parts.accuracy,
      ...drawn.costs,
      ...parts.operations,
      ...parts.lengths,
      ...drawn.freezing,
      ...parts.order,
      ...drawn.memory,
      ...drawn.speeds,
      ...parts.speeds,
      ...parts.tuning,
      ...parts.settings,
      ...parts.sweep,
      ...parts.tasks,
      ...parts.arms,
    ],
  };
}

type Group = 'differences' | 'controls' | 'costs' | 'freezing' | 'memory' | 'speeds';

/** Every picture that there are data for. */
function comparisonPictures(comparison: Comparison): Record<Group, Picture[]> {
  const { tasks, againstFull, againstLora, againstControls, noise } = analyse(comparison, 'evaluation');
  const picture = (
    file: string,
    name: string,
    caption: string,
    draw: (title: string, palette: Palette) => string,
  ): Picture => ({
    file,
    heading: name,
    caption,
    draw: (palette) => draw(comparison.kind === 'smoke' ? `${name} (smoke run, not evidence)` : name, palette),
  });
  const noiseNote = noise
    ? ' The grey band is the noise floor: where means fall when next to nothing differs.'
    : ' The noise floor is unknown.';

  return {
    differences: [
      picture(
        'differences.svg',
        'Accuracy of every arm beside the arm without stopping',
        `Mean over the evaluation tasks with its 95 % interval.${noiseNote}`,
        (title, palette) =>
          drawIntervals(
            title,
            [
              { heading: 'minus “full”', nameOf: 'arm', differences: againstFull },
              { heading: 'minus “lora”', nameOf: 'arm', differences: againstLora },
            ],
            noise,
            palette,
          ),
      ),
    ],
    controls: [
      picture(
        'controls.svg',
        'GradES minus its controls and early stopping',
        `To the right of zero GradES is the more accurate.${noiseNote}`,
        (title, palette) =>
          drawIntervals(
            title,
            (['full+grades', 'lora+grades'] as const).map((arm) => ({
              heading: `${arm} minus`,
              nameOf: 'base',
              differences: againstControls.filter((difference) => difference.arm === arm),
            })),
            noise,
            palette,
          ),
      ),
    ],
    costs: [
      ...tradeOffPictures('operations', 'operations, over those of “full”', operationsCost),
      ...tradeOffPictures('time', 'wall time, over that of “full”', timeCost),
    ],
    freezing: (['full+grades', 'lora+grades'] as const).flatMap((arm) => freezingPictures(arm)),
    memory: memoryPictures(),
    speeds: speedPictures(),
  };

  function operationsCost(arm: ArmName, chosen: readonly string[]): number | null {
    return operationsRatio(pairRuns(comparison, arm, 'full', chosen))?.ofSums ?? null;
  }

  function timeCost(arm: ArmName, chosen: readonly string[]): number | null {
    return timeComparison(comparison, arm, 'full', chosen)?.total.ofSums ?? null;
  }

  function tradeOffPictures(
    quantity: 'operations' | 'time',
    words: string,
    costOf: (arm: ArmName, chosen: readonly string[]) => number | null,
  ): Picture[] {
    const pointsOf = <T extends string | null>(task: T, chosen: readonly string[]) =>
      armNames.flatMap((arm) => {
        const cost = costOf(arm, chosen);
        const { estimate } = accuracyDifference(comparison, arm, 'full', chosen);
        return cost !== null && estimate ? [{ arm, task, cost, points: estimate.mean }] : [];
      });
    const all = pointsOf(null, tasks);
    const byTask = tasks.flatMap((task) => pointsOf(task, [task]));
    // The arm `full` alone is a single point at the origin.
    if (all.length < 2) return [];
    return [
      picture(
        `accuracy-and-${quantity}.svg`,
        `Accuracy against ${quantity}`,
        'Mean over the evaluation tasks. Left is cheaper, up is more accurate.',
        (title, palette) => drawTradeOff(title, words, all, palette),
      ),
      picture(
        `accuracy-and-${quantity}-by-task.svg`,
        `Accuracy against ${quantity}, task by task`,
        'Means over the seeds; a pointer on a mark names its arm.',
        (title, palette) => drawTradeOffByTask(title, words, byTask, palette),
      ),
    ];
  }

  function freezingPictures(arm: ArmName): Picture[] {
    const runs = runsOf(comparison, arm, tasks);
    const watched = tasks
      .map((task) => runs.filter((run) => run.task === task && hasSignals(run)))
      .filter((ofTask) => ofTask.length > 0);
    // The task on which most was frozen shows most.
    const shown = watched.sort((a, b) => meanFreezes(b) - meanFreezes(a))[0];
    return [
      ...(shown
        ? [
            picture(
              `signals-${arm.replace('+', '-')}.svg`,
              `What ${arm} watches, on ${shown[0]!.task}`,
              `The task on which it froze most, all ${shown.length} seeds.`,
              (title, palette) => drawSignalCurves(title, shown, palette),
            ),
          ]
        : []),
      ...(runs.some(({ freezes }) => freezes.some(({ value }) => value !== null))
        ? [
            picture(
              `alive-${arm.replace('+', '-')}.svg`,
              `What is alive under ${arm}`,
              'The watched matrices. Where the bars end the run has ended.',
              (title, palette) => drawAlive(title, runs, palette),
            ),
          ]
        : []),
    ];
  }

  function memoryPictures(): Picture[] {
    const seed = comparison.seeds[0];
    const runs = drawnOverTime
      .flatMap((arm) => runsOf(comparison, arm, tasks))
      .filter((run) => run.seed === seed && run.memory.length > 0);
    if (runs.length === 0) return [];
    return [
      picture('memory.svg', 'Memory over time', `Seed ${seed}.`, (title, palette) => drawMemory(title, runs, palette)),
    ];
  }

  function speedPictures(): Picture[] {
    const timings = tasks
      .flatMap((task) => drawnOverTime.flatMap((arm) => timingsOf(comparison, arm, task)))
      .filter(({ speeds }) => speeds.length > 0);
    if (timings.length === 0) return [];
    return [
      picture(
        'speeds.svg',
        'Tokens a second before and after each freeze',
        'Each arm alone on an idle machine.',
        (title, palette) => drawSpeeds(title, timings, palette),
      ),
    ];
  }
}

const drawnOverTime = ['full', 'full+grades', 'lora', 'lora+grades'] as const;

function meanFreezes(runs: readonly ArmResult[]): number {
  return runs.reduce((sum, { freezes }) => sum + freezes.length, 0) / runs.length;
}

function hasSignals({ signals }: ArmResult): boolean {
  return signals.some(({ samples }) => samples.some(({ value }) => Number.isFinite(value)));
}
