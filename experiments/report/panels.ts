/** Small plots in rows and columns under one title and legend: every picture of the reports is made of them. */

import { axisX, axisY, frame, type Markish, type ScaleOptions } from '@observablehq/plot';
import { palette } from './palette.ts';
import {
  EDGE,
  framedPicture,
  label,
  PICTURE_FONT_SIZE,
  PICTURE_WIDTH,
  type PictureOptions,
  plotMarkup,
  textWidth,
} from './picture.ts';

/** A scale with the two ends of its numbers, or all of its names. */
type Axis = Omit<ScaleOptions, 'domain'> & { domain: readonly (number | string)[] };

export interface Panel {
  name: string;
  x: Axis;
  y: Axis;
  /** Of the plot without its name and its axis. */
  height: number;
  marks: Markish[];
}

export interface PanelsOptions extends PictureOptions {
  panels: readonly Panel[];
  /** How many stand side by side. By default as `panelColumns` says. */
  columns?: number;
  /** Every panel has a vertical axis of its own; else the first of a row speaks for all. */
  ownAxes?: boolean;
  /** Room for the labels of the vertical axis, by default as names need it, and for what the marks write to the right of a panel. */
  left?: number;
  right?: number;
  /** What the axes count, in words. */
  xLabel: string;
  yLabel?: string;
  xTicks?: number | ((panel: Panel) => readonly number[]);
  yTicks?: number | readonly number[];
  xFormat?: (value: number) => string;
  yFormat?: (value: number) => string;
}

const NAME = 26;
const AXIS = 24;
const GAP = 14;

/** For panels whose horizontal axis counts the steps of a run, from 0: two to four round ones, far enough from the ends. */
export const overSteps = {
  xLabel: 'step',
  xFormat: String,
  xTicks({ x: { domain } }: Panel): number[] {
    const totalSteps = Number(domain[1]);
    const spacings = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((unit) => [unit, 2 * unit, 5 * unit]);
    const spacing = spacings.find((candidate) => totalSteps / candidate <= 4) ?? totalSteps;
    const steps = Array.from({ length: Math.floor(totalSteps / spacing) }, (_, index) => (index + 1) * spacing);
    return steps.filter((step) => step <= 0.9 * totalSteps);
  },
};

/** Up to five side by side; three or four where there are more, as leaves the last row least empty. */
function panelColumns(count: number): number {
  if (count <= 5) return Math.max(1, count);
  return Math.ceil(count / 3) * 3 - count < Math.ceil(count / 4) * 4 - count ? 3 : 4;
}

export function drawPanels(options: PanelsOptions): string {
  const { panels, ownAxes = false, right = 0, xLabel, yLabel } = options;
  const names = panels.flatMap(({ y }) => y.domain.filter((value) => typeof value === 'string'));
  const left = options.left ?? Math.max(52, ...names.map((name) => 12 + textWidth(name)));
  const columns = options.columns ?? panelColumns(panels.length);
  const rows = Array.from({ length: Math.ceil(panels.length / columns) }, (_, row) =>
    panels.slice(row * columns, (row + 1) * columns),
  );
  // The axis of the first column takes its room from all of them, so that all plots are of one width.
  const room = PICTURE_WIDTH - 2 * EDGE - (columns - 1) * GAP - (ownAxes ? columns : 1) * left - columns * right;
  const width = room / columns;
  const step = width + GAP + right + (ownAxes ? left : 0);
  const tops = rows.map((_, row) => rows.slice(0, row).reduce((sum, each) => sum + heightOf(each), 0));
  const heading = yLabel === undefined ? 0 : 20;
  const height = heading + rows.reduce((sum, row) => sum + heightOf(row), 0) + 22;

  const drawn = (panel: Panel, top: number, column: number): string => {
    const drawing = plotMarkup({
      width: left + width + right,
      height: NAME + panel.height + AXIS,
      marginTop: NAME,
      marginRight: right,
      marginBottom: AXIS,
      marginLeft: left,
      x: { ...panel.x, domain: [...panel.x.domain], axis: null },
      y: { ...panel.y, domain: [...panel.y.domain], axis: null },
      // Opacities are drawn as they are given.
      opacity: { type: 'identity' },
      marks: [
        frame({ stroke: palette.line }),
        axisX({
          ticks: typeof options.xTicks === 'function' ? options.xTicks(panel) : (options.xTicks ?? 4),
          tickSize: 4,
          label: null,
          fill: palette.muted,
          stroke: palette.line,
          ...(options.xFormat && { tickFormat: options.xFormat }),
        }),
        ownAxes || column === 0
          ? axisY({
              ticks: options.yTicks ?? 4,
              tickSize: 0,
              label: null,
              fill: palette.muted,
              ...(options.yFormat && { tickFormat: options.yFormat }),
            })
          : null,
        ...panel.marks,
      ],
    });
    const x = EDGE + column * step;
    return (
      `<g transform="translate(${x},${top})" fill="${palette.ink}" font-size="${PICTURE_FONT_SIZE}" text-anchor="middle">${drawing}</g>` +
      label(x + left, top + NAME - 8, panel.name, palette.ink, { weight: 600 })
    );
  };

  return framedPicture(
    options,
    height,
    (top) =>
      (yLabel === undefined ? '' : label(EDGE, top + 14, `↑ ${yLabel}`, palette.muted)) +
      rows
        .map((row, index) => row.map((panel, column) => drawn(panel, top + heading + tops[index]!, column)).join(''))
        .join('') +
      label(PICTURE_WIDTH - EDGE - right, top + height - 6, `${xLabel} →`, palette.muted, { anchor: 'end' }),
  );
}

function heightOf(row: readonly Panel[]): number {
  return NAME + Math.max(...row.map(({ height }) => height)) + AXIS;
}
