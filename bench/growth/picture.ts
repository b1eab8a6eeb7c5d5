import { dot, line, type PlotOptions } from '@observablehq/plot';
import { PAPER, type Palette } from '../../experiments/report/palette.ts';
import { framedPicture, label, PICTURE_FONT_SIZE, PICTURE_WIDTH } from '../../experiments/report/picture.ts';
import { placed, plotMarkup } from '../../experiments/report/svg.ts';
import { benchDevices } from '../options.ts';
import { type Size, start, variations } from './workload.ts';

/** Of one device: what one size costs, point by point, and the slopes of the last two points in the logarithms. */
export interface Curve {
  device: string;
  size: Size;
  points: { value: number; milliseconds: number; bytes: number }[];
  timeExponent: number;
  memoryExponent: number;
}

const columns: readonly { size: Size; words: string }[] = [
  { size: 'time', words: 'positions' },
  { size: 'width', words: 'width' },
  { size: 'blocks', words: 'blocks' },
  { size: 'batch', words: 'rows of the batch' },
];
const panel = { width: PICTURE_WIDTH / columns.length, height: 220 };

/** Above the time of a step, below its memory, each over one size; both axes logarithmic, so that a slope is an exponent. */
export function drawGrowth(curves: readonly Curve[], palette: Palette = PAPER): string {
  const colours: Readonly<Record<string, string>> = { webgpu: palette.live, cpu: palette.frozen };
  const present = benchDevices.filter((device) => curves.some((curve) => curve.device === device));
  const legend = present.map((device) => ({ colour: colours[device], words: device, sample: 'line' }) as const);
  const title = 'How the cost of one training step grows (small GPT, one size at a time, logarithmic axes)';
  return framedPicture({ title, legend, height: 2 * panel.height + 16, palette }, (top) =>
    columns
      .flatMap(({ size, words }, column) =>
        (['milliseconds', 'bytes'] as const).map((what, row) => {
          const own = curves.filter((curve) => curve.size === size);
          const rows = own.flatMap(({ device, points }) => points.map((point) => ({ ...point, device })));
          const all = curves.flatMap(({ points }) => points.map((point) => scaled(point, what)));
          const options: PlotOptions = {
            width: panel.width,
            height: panel.height,
            marginLeft: 52,
            marginRight: 14,
            marginTop: 42,
            marginBottom: 36,
            x: {
              type: 'log',
              base: 2,
              ticks: [...variations[size]],
              tickFormat: (value) => `${value}`,
              label: words,
              tickSize: 3,
            },
            y: {
              type: 'log',
              domain: [Math.min(...all) / 1.2, Math.max(...all) * 1.2],
              label: what === 'bytes' ? 'peak MiB' : 'ms a step',
              grid: true,
              ticks: 4,
              tickFormat: (value) => `${value}`,
            },
            marks: [
              line(rows, {
                x: 'value',
                y: (point) => scaled(point, what),
                z: 'device',
                stroke: ({ device }) => colours[device],
                strokeWidth: 2,
              }),
              dot(rows, { x: 'value', y: (point) => scaled(point, what), fill: ({ device }) => colours[device], r: 3 }),
            ],
          };
          const [x, y] = [column * panel.width, top + row * panel.height];
          const slopes = own.map(({ device, timeExponent, memoryExponent }) =>
            present.length > 1
              ? `${device} ${(what === 'bytes' ? memoryExponent : timeExponent).toFixed(2)}`
              : (what === 'bytes' ? memoryExponent : timeExponent).toFixed(2),
          );
          return (
            placed(x, y, PICTURE_FONT_SIZE, palette.ink, plotMarkup(options)) +
            label(x + panel.width - 14, y + 32, `exponent at the end: ${slopes.join(', ')}`, palette.muted, {
              anchor: 'end',
              size: 10.5,
            })
          );
        }),
      )
      .join(''),
  );
}

function scaled(point: { milliseconds: number; bytes: number }, what: 'milliseconds' | 'bytes'): number {
  return what === 'bytes' ? point.bytes / 1024 / 1024 : point.milliseconds;
}

/** The sizes that do not grow, in words. */
export function otherSizes(): string {
  return `batch ${start.batch}, ${start.time} positions, width ${start.width}, ${start.blocks} blocks`;
}
