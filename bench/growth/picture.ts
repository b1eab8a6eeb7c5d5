/** The picture of growth: time above, memory below, over each size. */

import { dot, line, type PlotOptions } from '@observablehq/plot';
import { PAPER, type Palette } from '../../experiments/report/palette.ts';
import { framedPicture, label, PICTURE_FONT_SIZE, PICTURE_WIDTH } from '../../experiments/report/picture.ts';
import { placed, plotMarkup } from '../../experiments/report/svg.ts';
import { benchDevices } from '../suite.ts';
import { type Curve, type Size, sizes } from './curves.ts';

const words: Readonly<Record<Size, string>> = {
  ...{ time: 'positions', width: 'width', blocks: 'blocks', batch: 'rows of the batch' },
};
const panel = { width: PICTURE_WIDTH / sizes.length, height: 220 };
const margins = { marginLeft: 52, marginRight: 14, marginTop: 42, marginBottom: 36 };

/** What a row of panels shows. */
interface Quantity {
  label: string;
  of(point: Curve['points'][number]): number;
  exponent(curve: Curve): number;
}

const quantities: readonly Quantity[] = [
  { label: 'ms a step', of: ({ milliseconds }) => milliseconds, exponent: ({ timeExponent }) => timeExponent },
  { label: 'peak MiB', of: ({ bytes }) => bytes / 2 ** 20, exponent: ({ memoryExponent }) => memoryExponent },
];

/** Both axes are logarithmic, so that a slope is an exponent. */
export function drawGrowth(curves: readonly Curve[], palette: Palette = PAPER): string {
  const colours: Readonly<Record<string, string>> = { webgpu: palette.live, cpu: palette.frozen };
  const present = benchDevices.filter((device) => curves.some((curve) => curve.device === device));
  const legend = present.map((device) => ({ colour: colours[device], words: device, sample: 'line' }) as const);
  const title = 'How the cost of one training step grows (small GPT, one size at a time, logarithmic axes)';
  const drawPanel = (size: Size, quantity: Quantity, x: number, y: number) => {
    const own = curves.filter((curve) => curve.size === size);
    const points = own.flatMap(({ device, points }) =>
      points.map((point) => ({ device, x: point.value, y: quantity.of(point) })),
    );
    const all = curves.flatMap((curve) => curve.points.map(quantity.of));
    const options: PlotOptions = {
      ...panel,
      ...margins,
      x: {
        ...{ type: 'log', base: 2, label: words[size], tickSize: 3, tickFormat: String },
        ticks: [...new Set(points.map((point) => point.x))],
      },
      y: {
        ...{ type: 'log', label: quantity.label, grid: true, ticks: 4, tickFormat: String },
        domain: [Math.min(...all) / 1.2, Math.max(...all) * 1.2],
      },
      marks: [
        line(points, { x: 'x', y: 'y', z: 'device', stroke: ({ device }) => colours[device], strokeWidth: 2 }),
        dot(points, { x: 'x', y: 'y', fill: ({ device }) => colours[device], r: 3 }),
      ],
    };
    const slopes = own.map((curve) => `${curve.device} ${quantity.exponent(curve).toFixed(2)}`);
    const note = `exponent at the end: ${slopes.join(', ')}`;
    return (
      placed(x, y, PICTURE_FONT_SIZE, palette.ink, plotMarkup(options)) +
      label(x + panel.width - margins.marginRight, y + 32, note, palette.muted, { anchor: 'end', size: 10.5 })
    );
  };
  return framedPicture({ title, legend, height: 2 * panel.height + 16, palette }, (top) =>
    quantities
      .flatMap((quantity, row) =>
        sizes.map((size, column) => drawPanel(size, quantity, column * panel.width, top + row * panel.height)),
      )
      .join(''),
  );
}
