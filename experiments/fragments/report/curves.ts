/** Training loss and held-out accuracy of both arms of `npm start`. */

import { dot, gridY, line, ruleX, text, windowY } from '@observablehq/plot';
import { armLabel, armStyle } from '../../report/arms.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels, overSteps } from '../../report/panels.ts';
import type { Sample } from '../../report/watched.ts';
import type { Results } from '../results.ts';

/** The loss as logged faint, its moving average strong; the accuracy wherever it was measured, and at the plain stop. */
export function drawCurves(title: string, { full, grades, config }: Results, palette: Palette): string {
  const { steps: totalSteps } = config;
  const percent = (samples: readonly Sample[]) =>
    samples.filter(({ value }) => Number.isFinite(value)).map(({ step, value }) => ({ step, value: 100 * value }));
  // The arm drawn first is the wider, so that it is seen under the other.
  const styled = [full, grades].map(({ name, steps, losses, curve }, index) => ({
    ...{ name, steps, losses, ...armStyle(name, palette) },
    strokeWidth: index === 0 ? 3.5 : 1.6,
    accuracy: percent(curve),
    ends: percent(curve.slice(-1)),
  }));
  // Measured on the same part of the files as the curve.
  const plainStops = percent(full.curve.filter(({ step }) => step === full.plainStop?.step));
  const losses = styled.flatMap((arm) => arm.losses.map(({ value }) => value)).filter(Number.isFinite);
  const accuracies = [...styled.flatMap(({ accuracy }) => accuracy), ...plainStops].map(({ value }) => value);
  const place = { x: 'step', y: 'value' } as const;
  const x = { domain: [0, totalSteps] };
  const ground = [
    gridY({ stroke: palette.line, strokeOpacity: 1, ticks: 5 }),
    ruleX(
      styled.filter(({ steps }) => steps < totalSteps),
      { x: 'steps', stroke: 'colour', strokeDasharray: '4 3' },
    ),
  ];
  const written = (samples: readonly Sample[], words: string, colour: string, dy: number) =>
    text(samples, {
      ...place,
      text: ({ value }: Sample) => `${words} ${value.toFixed(1)} %`,
      textAnchor: samples.some(({ step }) => step > 0.9 * totalSteps) ? 'end' : 'middle',
      dy,
      fill: colour,
      stroke: palette.paper,
      strokeWidth: 4,
      fontWeight: 600,
    });
  return drawPanels({
    title,
    description: [
      ...styled.flatMap(({ name, ends }) =>
        ends.map(({ step, value }) => `${armLabel(name)} ${value.toFixed(1)} % at step ${step}`),
      ),
      ...plainStops.map(({ step, value }) => `plain stop ${value.toFixed(1)} % at step ${step}`),
    ].join(', '),
    legend: [
      ...styled.map(({ name, colour, symbol }) => ({ colour, words: armLabel(name), sample: symbol })),
      { colour: palette.muted, words: 'plain stop at the operations of GradES', sample: 'circle', hollow: true },
    ],
    columns: 1,
    ownAxes: true,
    ...overSteps,
    xTicks: 8,
    yTicks: 5,
    palette,
    panels: [
      {
        name: 'Training loss',
        x,
        y: { domain: [0, losses.reduce((a, b) => Math.max(a, b), 0.1)], nice: true },
        height: 190,
        marks: [
          ...ground,
          styled.map(({ losses, colour }) => line(losses, { ...place, stroke: colour, strokeOpacity: 0.25 })),
          styled.map(({ losses, colour, strokeWidth }) =>
            line(
              losses,
              windowY(Math.max(1, Math.round(losses.length / 30)), { ...place, stroke: colour, strokeWidth }),
            ),
          ),
        ],
      },
      ...(accuracies.length === 0
        ? []
        : [
            {
              name: 'Accuracy on a part of the held-out files, %',
              x,
              y: {
                domain: [
                  10 * Math.floor(Math.min(...accuracies) / 10),
                  10 * Math.ceil(Math.max(...accuracies) / 10 + 0.3),
                ],
              },
              height: 220,
              marks: [
                ...ground,
                styled.map(({ name, accuracy, ends, colour, symbol, strokeWidth }) => [
                  line(accuracy, { ...place, stroke: colour, strokeWidth }),
                  dot(accuracy, { ...place, symbol, fill: colour, r: strokeWidth + 2 }),
                  written(ends, armLabel(name), colour, -16),
                ]),
                dot(plainStops, { ...place, r: 8, stroke: palette.muted, strokeWidth: 2 }),
                written(plainStops, 'plain stop', palette.muted, 20),
              ],
            },
          ]),
    ],
  });
}
