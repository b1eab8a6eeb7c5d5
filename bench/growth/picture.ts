/** The picture of growth: time above, memory below, over each size. */

import { dot, line, text } from '@observablehq/plot';
import { onWhite, palette } from '../../experiments/report/palette.ts';
import { drawPanels } from '../../experiments/report/panels.ts';
import { benchDevices } from '../suite.ts';
import { type Curve, type Size, sizes } from './curves.ts';

const words: Readonly<Record<Size, string>> = {
  ...{ time: 'positions', width: 'width', blocks: 'blocks', batch: 'rows of the batch' },
};

const quantities = [
  { name: 'ms over', of: 'milliseconds', exponent: 'timeExponent' },
  { name: 'MiB over', of: 'mebibytes', exponent: 'memoryExponent' },
] as const;

const colours: Readonly<Record<string, string>> = { webgpu: palette.live, cpu: palette.frozen };

/** Both axes are logarithmic, so that a slope is an exponent. */
export function drawGrowth(curves: readonly Curve[]): string {
  return onWhite(
    drawPanels({
      title: 'How time and peak memory of one training step of a GPT grow (exponents: between the last two sizes)',
      legend: benchDevices
        .filter((device) => curves.some((curve) => curve.device === device))
        .map((device) => ({ colour: colours[device], words: device, sample: 'line' })),
      panels: quantities.flatMap(({ name, of, exponent }) => {
        const all = curves.flatMap(({ points }) => points.map((point) => point[of]));
        return sizes.map((size) => {
          const own = curves.filter((curve) => curve.size === size);
          const points = own.flatMap(({ device, points }) => points.map((each) => ({ ...each, device })));
          const values = points.map(({ value }) => value);
          const place = { x: 'value', y: of } as const;
          return {
            name: `${name} ${words[size]}`,
            x: { type: 'log', base: 2, domain: [Math.min(...values), Math.max(...values)] },
            y: { type: 'log', domain: [Math.min(...all) / 1.6, Math.max(...all) * 1.2] },
            height: 160,
            marks: [
              line(points, { ...place, z: 'device', stroke: ({ device }) => colours[device], strokeWidth: 2 }),
              dot(points, { ...place, fill: ({ device }) => colours[device], r: 3 }),
              text([own.map((curve) => `${curve.device} ${curve[exponent].toFixed(2)}`).join(', ')], {
                ...{ frameAnchor: 'bottom-right', dx: -4, dy: -4, fill: palette.muted },
              }),
            ],
          };
        });
      }),
      columns: sizes.length,
      ownAxes: true,
      xLabel: 'size',
      xTicks: ({ x }) =>
        Array.from({ length: 16 }, (_, i) => 2 ** i).filter(
          (tick) => tick >= Number(x.domain[0]) && tick <= Number(x.domain[1]),
        ),
      xFormat: String,
      yFormat: String,
    }),
  );
}
