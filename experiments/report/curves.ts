/** Quantities over the steps of a run: a panel each, a line an arm. */

import { dot, gridY, line, text, windowY } from '@observablehq/plot';
import { armLabel, armLegend, armStyle } from './arms.ts';
import { palette } from './palette.ts';
import { drawPanels, overSteps, type Panel, type PanelsOptions } from './panels.ts';
import type { Sample } from './watched.ts';

export interface Curve {
  arm: string;
  samples: readonly Sample[];
  dashed?: boolean;
  /** Said at its end. */
  words?: string;
}

export interface CurvesPanel {
  name: string;
  /** Length of the schedule. */
  steps: number;
  y: Panel['y'];
  height: number;
  curves: readonly Curve[];
  /** Noisy samples are drawn faint, and their moving average strong. */
  noisy?: boolean;
  /** Single points, ringed, with what is said of them. */
  rings?: readonly (Sample & { words: string })[];
}

/** Each solid curve ends in the mark of its arm. What is not finite is not drawn. */
export function drawCurves(
  { legend, ...options }: Omit<PanelsOptions, 'panels' | 'xLabel'>,
  panels: readonly CurvesPanel[],
): string {
  const place = { x: 'step', y: 'value' } as const;
  const said = panels.flatMap(({ curves, rings = [] }) => [
    ...curves.flatMap(({ samples, words }) => (words ? [`${words} at step ${samples.at(-1)?.step}`] : [])),
    ...rings.map(({ words, step }) => `${words} at step ${step}`),
  ]);
  const arms = [...new Set(panels.flatMap(({ curves }) => curves.map(({ arm }) => arm)))];
  const named = arms.map((arm) => ({ arm, ...armStyle(arm) }));
  const areAlone = new Set(named.map(({ colour }) => colour)).size === arms.length;
  return drawPanels({
    ...overSteps,
    description: said.length > 0 ? said.join(', ') : undefined,
    ...options,
    legend: [
      ...(areAlone
        ? named.map(({ arm, colour, symbol }) => ({ colour, words: armLabel(arm), sample: symbol }))
        : armLegend(named)),
      ...legend,
    ],
    panels: panels.map(({ name, steps, y, height, curves, noisy = false, rings = [] }) => {
      const written = (samples: readonly Sample[], words: string, fill: string, dy: number) =>
        text(samples, {
          ...place,
          text: () => words,
          textAnchor: samples.some(({ step }) => step > 0.9 * steps) ? 'end' : 'middle',
          ...{ dy, fill, stroke: palette.paper, strokeWidth: 4, fontWeight: 600 },
        });
      return {
        ...{ name, y, height, x: { domain: [0, steps] } },
        marks: [
          gridY({ stroke: palette.line, strokeOpacity: 0.7, ticks: 4 }),
          curves.map(({ arm, samples, dashed, words }, index) => {
            const known = samples.filter(({ value }) => Number.isFinite(value));
            const { colour: stroke, symbol } = armStyle(arm);
            const marks = { ...place, stroke, title: () => armLabel(arm) };
            if (dashed) return line(known, { ...marks, strokeDasharray: '4 3', strokeOpacity: 0.8 });
            // The curve drawn first is the wider, so that it is seen under another.
            const strong = { ...marks, strokeWidth: index === 0 ? 3.5 : 1.6 };
            const average = windowY(Math.max(1, Math.round(known.length / 30)), strong);
            return [
              noisy ? line(known, { ...marks, strokeOpacity: 0.25 }) : null,
              line(known, noisy ? average : strong),
              noisy ? null : dot(known.slice(-1), { ...place, symbol, fill: stroke, r: 5 }),
              words === undefined ? null : written(known.slice(-1), words, stroke, -16),
            ];
          }),
          dot(rings, { ...place, r: 8, stroke: palette.muted, strokeWidth: 2 }),
          rings.map((ring) => written([ring], ring.words, palette.muted, 20)),
        ],
      };
    }),
  });
}
