/** Memory and speed over the steps of a run: a panel a task and family of arms. */

import { dot, line } from '@observablehq/plot';
import { formatBytes, formatCount } from '../../fragments/format.ts';
import { armLabel, armLegend, armStyle, isAdapted } from '../../report/arms.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels, type PanelsOptions } from '../../report/panels.ts';
import { stepTicks } from '../../report/svg.ts';
import type { ArmResult, Timing } from '../results.ts';

/** Bytes over the run, one run an arm and task: live bytes solid, reserved ones dashed. */
export function drawMemory(title: string, runs: readonly ArmResult[], palette: Palette): string {
  const most = Math.max(
    1,
    ...runs.flatMap(({ memory }) => memory.map(({ live, reserved }) => Math.max(live, reserved))),
  );
  // Three or four powers of two or their multiples, so that none reads 11.4 MiB.
  const spacing = 2 ** Math.ceil(Math.log2(most / 4));
  return drawOverTime(title, runs, palette, {
    legend: [
      { colour: palette.muted, words: 'live bytes', sample: 'line' },
      { colour: palette.muted, words: 'reserved bytes', sample: 'dashes' },
    ],
    most,
    left: 62,
    yTicks: Array.from({ length: Math.floor(most / spacing) + 1 }, (_, index) => index * spacing),
    yLabel: 'memory of the device',
    yFormat: formatBytes,
    curves: ({ memory }) => [
      { dashed: true, points: memory.map(({ step, reserved }) => ({ step, value: reserved })) },
      { dashed: false, points: memory.map(({ step, live }) => ({ step, value: live })) },
    ],
  });
}

/** Tokens a second between two changes of what is frozen, as steps. */
export function drawSpeeds(title: string, timings: readonly Timing[], palette: Palette): string {
  return drawOverTime(title, timings, palette, {
    legend: [],
    most: Math.max(1, ...timings.flatMap(({ speeds }) => speeds.map(({ tokensPerSecond }) => tokensPerSecond))),
    yLabel: 'tokens a second',
    yFormat: (value) => formatCount(value),
    curves: ({ speeds }) => [
      {
        dashed: false,
        points: speeds.flatMap(({ fromStep, toStep, tokensPerSecond: value }) =>
          [fromStep, toStep].map((step) => ({ step, value })),
        ),
      },
    ],
  });
}

interface Run {
  arm: string;
  task: string;
  scheduleSteps: number;
}

/** Each curve ends in the mark of its arm. */
function drawOverTime<T extends Run>(
  title: string,
  runs: readonly T[],
  palette: Palette,
  {
    legend,
    most,
    curves,
    ...axes
  }: Pick<PanelsOptions, 'legend' | 'left' | 'yTicks' | 'yLabel' | 'yFormat'> & {
    most: number;
    curves(run: T): { dashed: boolean; points: { step: number; value: number }[] }[];
  },
): string {
  const groups = new Map<string, T[]>();
  for (const adapted of [false, true]) {
    for (const run of runs.filter(({ arm }) => isAdapted(arm) === adapted)) {
      const name = `${run.task}, ${adapted ? 'LoRA' : 'all weights'}`;
      groups.set(name, [...(groups.get(name) ?? []), run]);
    }
  }
  return drawPanels({
    ...axes,
    title,
    legend: [
      ...armLegend(
        runs.map(({ arm }) => arm),
        palette,
      ),
      ...legend,
    ],
    xLabel: 'step',
    xTicks: ({ x }) => stepTicks(Number(x.domain[1])),
    xFormat: String,
    palette,
    panels: [...groups].map(([name, members]) => ({
      name,
      x: { domain: [0, Math.max(...members.map(({ scheduleSteps }) => scheduleSteps))] },
      y: { domain: [0, 1.05 * most] },
      height: 120,
      marks: members.flatMap((run) => {
        const { colour, symbol } = armStyle(run.arm, palette);
        return curves(run).map(({ dashed, points }) => {
          const place = { x: 'step', y: 'value', title: () => armLabel(run.arm) } as const;
          return dashed
            ? line(points, { ...place, stroke: colour, strokeDasharray: '4 3', strokeOpacity: 0.8 })
            : [
                line(points, { ...place, stroke: colour, strokeWidth: 1.8 }),
                dot(points.slice(-1), { ...place, symbol, fill: colour, r: 5 }),
              ];
        });
      }),
    })),
  });
}
