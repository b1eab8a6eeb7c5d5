import { line } from '@observablehq/plot';
import { formatBytes, formatCount } from '../../fragments/format.ts';
import { largest } from '../../fragments/report/data.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels, panelFacet } from '../../report/panels.ts';
import type { ArmName, ArmResult, Timing } from '../results.ts';
import { armColour } from './arm-style.ts';

// Inside the panels, so that the ends of two do not meet.
const timeTicks = [0.25, 0.5, 0.75];

/** Bytes over the run, one run an arm and task: live bytes solid, reserved ones dashed. */
export function drawMemory(title: string, runs: readonly ArmResult[], palette: Palette): string {
  const points = runs.flatMap(({ arm, task, memory, scheduleSteps }) =>
    memory.map(({ step, live, reserved }) => ({ arm, task, time: step / scheduleSteps, live, reserved })),
  );
  const most = largest([1, ...points.flatMap(({ live, reserved }) => [live, reserved])]);
  const curve = {
    ...panelFacet,
    x: 'time',
    z: 'arm',
    stroke: ({ arm }: { arm: ArmName }) => curveColour(arm, palette),
  } as const;
  return drawPanels({
    title,
    legend: [
      ...legendOf(runs, palette),
      { colour: palette.muted, words: 'live bytes', sample: 'line' },
      { colour: palette.muted, words: 'reserved bytes', sample: 'dashes' },
    ],
    names: [...new Set(points.map(({ task }) => task))],
    x: { domain: [0, 1] },
    y: { domain: [0, 1.05 * most] },
    yTicks: byteTicks(most),
    xTicks: timeTicks,
    xFormat: String,
    xLabel: 'time as a share of the schedule',
    yLabel: 'memory of the device',
    yFormat: formatBytes,
    palette,
    marks: (place) => {
      const placed = points.map((point) => ({ ...point, ...place(point.task) }));
      return [
        line(placed, { ...curve, y: 'reserved', strokeDasharray: '4 3', strokeWidth: 1, strokeOpacity: 0.7 }),
        line(placed, { ...curve, y: 'live', strokeWidth: 1.8 }),
      ];
    },
  });
}

/** Tokens a second between two changes of what is frozen, as steps. */
export function drawSpeeds(title: string, timings: readonly Timing[], palette: Palette): string {
  const points = timings.flatMap(({ arm, task, seed, scheduleSteps, speeds }) =>
    speeds.flatMap(({ fromStep, toStep, tokensPerSecond }) =>
      [fromStep, toStep].map((step) => ({
        arm,
        task,
        run: `${arm} ${seed}`,
        time: step / scheduleSteps,
        speed: tokensPerSecond,
      })),
    ),
  );
  return drawPanels({
    title,
    legend: legendOf(timings, palette),
    names: [...new Set(points.map(({ task }) => task))],
    x: { domain: [0, Math.max(1, ...points.map(({ time }) => time))] },
    y: { domain: [0, 1.05 * Math.max(1, ...points.map(({ speed }) => speed))] },
    xTicks: timeTicks,
    xFormat: String,
    xLabel: 'time as a share of the schedule',
    yLabel: 'tokens a second',
    yFormat: (value) => formatCount(value),
    palette,
    marks: (place) => [
      line(
        points.map((point) => ({ ...point, ...place(point.task) })),
        {
          ...panelFacet,
          x: 'time',
          y: 'speed',
          z: 'run',
          stroke: ({ arm }: { arm: ArmName }) => curveColour(arm, palette),
          strokeWidth: 1.8,
        },
      ),
    ],
  });
}

function legendOf(runs: readonly { arm: ArmName }[], palette: Palette) {
  const arms = [...new Set(runs.map(({ arm }) => arm))];
  return arms.map((arm) => ({ colour: curveColour(arm, palette), words: arm, sample: 'line' as const }));
}

// Both families of arms are drawn over one another, so that each of the four has a colour of its own.
function curveColour(arm: ArmName, palette: Palette): string {
  if (arm === 'lora') return palette.muted;
  return arm === 'lora+grades' ? palette.frozen : armColour(arm, palette);
}

/** Three or four powers of two or their multiples, so that none reads 11.4 MiB. */
function byteTicks(most: number): number[] {
  const spacing = 2 ** Math.ceil(Math.log2(most / 4));
  return Array.from({ length: Math.floor(most / spacing) + 1 }, (_, index) => index * spacing);
}
