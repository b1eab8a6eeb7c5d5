/** The picture of growth: time above, memory below, over each size. */

import { dot, line, text } from '@observablehq/plot';
import { PAPER, type Palette } from '../../experiments/report/palette.ts';
import { drawPanels, type Panel } from '../../experiments/report/panels.ts';
import { benchDevices } from '../suite.ts';
import { type Curve, type Size, sizes } from './curves.ts';

const words: Readonly<Record<Size, string>> = {
  ...{ time: 'positions', width: 'width', blocks: 'blocks', batch: 'rows of the batch' },
};

const powersOfTwo = Array.from({ length: 16 }, (_, i) => 2 ** i);

/** What a row of panels shows. */
interface Quantity {
  name: string;
  of(point: Curve['points'][number]): number;
  exponent(curve: Curve): number;
}

const quantities: readonly Quantity[] = [
  { name: 'ms over', of: ({ milliseconds }) => milliseconds, exponent: ({ timeExponent }) => timeExponent },
  { name: 'MiB over', of: ({ bytes }) => bytes / 2 ** 20, exponent: ({ memoryExponent }) => memoryExponent },
];

/** Both axes are logarithmic, so that a slope is an exponent. */
export function drawGrowth(curves: readonly Curve[], palette: Palette = PAPER): string {
  const colours: Readonly<Record<string, string>> = { webgpu: palette.live, cpu: palette.frozen };
  const present = benchDevices.filter((device) => curves.some((curve) => curve.device === device));
  const drawPanel = ({ name, of, exponent }: Quantity, size: Size): Panel => {
    const own = curves.filter((curve) => curve.size === size);
    const points = own.flatMap(({ device, points }) =>
      points.map((point) => ({ device, x: point.value, y: of(point) })),
    );
    const values = points.map(({ x }) => x);
    const all = curves.flatMap((curve) => curve.points.map(of));
    const slopes = own.map((curve) => `${curve.device} ${exponent(curve).toFixed(2)}`);
    return {
      name: `${name} ${words[size]}`,
      x: { type: 'log', base: 2, domain: [Math.min(...values), Math.max(...values)] },
      y: { type: 'log', domain: [Math.min(...all) / 1.6, Math.max(...all) * 1.2] },
      height: 160,
      marks: [
        line(points, { x: 'x', y: 'y', z: 'device', stroke: ({ device }) => colours[device], strokeWidth: 2 }),
        dot(points, { x: 'x', y: 'y', fill: ({ device }) => colours[device], r: 3 }),
        text([slopes.join(', ')], { frameAnchor: 'bottom-right', dx: -4, dy: -4, fill: palette.muted }),
      ],
    };
  };
  return drawPanels({
    title: 'How time and peak memory of one training step of a GPT grow (exponents: between the last two sizes)',
    legend: present.map((device) => ({ colour: colours[device], words: device, sample: 'line' })),
    panels: quantities.flatMap((quantity) => sizes.map((size) => drawPanel(quantity, size))),
    columns: sizes.length,
    ownAxes: true,
    xLabel: 'size',
    xTicks: ({ x }) => powersOfTwo.filter((tick) => tick >= Number(x.domain[0]) && tick <= Number(x.domain[1])),
    xFormat: String,
    yFormat: String,
    palette,
  });
}
