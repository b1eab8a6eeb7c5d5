/** Memory and speed over the steps of a run: a panel a task and family of arms. */

import { dot, line } from '@observablehq/plot';
import { formatBytes, formatCount } from '../../../command/format.ts';
import { armLabel, armLegend, armStyle, byTaskAndFamily } from '../../report/arms.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels, overSteps, type PanelsOptions, panelColumns } from '../../report/panels.ts';
import type { Sample } from '../../report/watched.ts';
import type { ArmResult, Timing } from '../results.ts';

/** Bytes over the run, one run an arm and task: live bytes solid, reserved ones dashed. */
export function drawMemory(title: string, runs: readonly ArmResult[], palette: Palette): string {
  const curves = runs.flatMap(({ memory, ...run }) => [
    { ...run, dashed: true, samples: memory.map(({ step, reserved }) => ({ step, value: reserved })) },
    { ...run, dashed: false, samples: memory.map(({ step, live }) => ({ step, value: live })) },
  ]);
  // Three or four powers of two or their multiples, so that none reads 11.4 MiB.
  const most = highest(curves);
  const spacing = 2 ** Math.ceil(Math.log2(most / 4));
  return drawOverTime(title, curves, palette, {
    legend: [
      { colour: palette.muted, words: 'live bytes', sample: 'line' },
      { colour: palette.muted, words: 'reserved bytes', sample: 'dashes' },
    ],
    left: 62,
    yTicks: Array.from({ length: Math.floor(most / spacing) + 1 }, (_, index) => index * spacing),
    yLabel: 'memory of the device',
    yFormat: formatBytes,
  });
}

/** Tokens a second between two changes of what is frozen, as steps. */
export function drawSpeeds(title: string, timings: readonly Timing[], palette: Palette): string {
  const curves = timings.map(({ speeds, ...run }) => ({
    ...run,
    dashed: false,
    samples: speeds.flatMap(({ fromStep, toStep, tokensPerSecond: value }) =>
      [fromStep, toStep].map((step) => ({ step, value })),
    ),
  }));
  return drawOverTime(title, curves, palette, {
    legend: [],
    yLabel: 'tokens a second',
    yFormat: (value) => formatCount(value),
  });
}

interface Curve {
  arm: string;
  task: string;
  scheduleSteps: number;
  dashed: boolean;
  samples: readonly Sample[];
}

/** Each solid curve ends in the mark of its arm. */
function drawOverTime(
  title: string,
  curves: readonly Curve[],
  palette: Palette,
  { legend, ...axes }: Pick<PanelsOptions, 'legend' | 'left' | 'yTicks' | 'yLabel' | 'yFormat'>,
): string {
  return drawPanels({
    ...axes,
    title,
    legend: [...armLegend(curves, palette), ...legend],
    columns: panelColumns(new Set(curves.map(({ task }) => task)).size),
    ...overSteps,
    palette,
    panels: byTaskAndFamily(curves).map(({ name, members }) => ({
      name,
      x: { domain: [0, Math.max(...members.map(({ scheduleSteps }) => scheduleSteps))] },
      y: { domain: [0, 1.05 * highest(curves)] },
      height: 120,
      marks: members.map(({ arm, dashed, samples }) => {
        const { colour, symbol } = armStyle(arm, palette);
        const place = { x: 'step', y: 'value', title: () => armLabel(arm) } as const;
        return dashed
          ? line(samples, { ...place, stroke: colour, strokeDasharray: '4 3', strokeOpacity: 0.8 })
          : [
              line(samples, { ...place, stroke: colour, strokeWidth: 1.8 }),
              dot(samples.slice(-1), { ...place, symbol, fill: colour, r: 5 }),
            ];
      }),
    })),
  });
}

function highest(curves: readonly Curve[]): number {
  return Math.max(1, ...curves.flatMap(({ samples }) => samples.map(({ value }) => value)));
}
