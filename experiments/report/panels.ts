import { axisX, axisY, frame, type Markish, type PlotOptions, text } from '@observablehq/plot';
import type { Palette } from './palette.ts';
import { framedPicture, type LegendEntry, label, PICTURE_FONT_SIZE, PICTURE_WIDTH } from './picture.ts';
import { placed, plotMarkup } from './svg.ts';

/** Where a small picture stands among its like; every datum of it carries this. */
export interface Place {
  column: number;
  row: number;
}

/** Given to every mark of small multiples. */
export const panelFacet = { fx: 'column', fy: 'row' } as const;

const MARGIN = { top: 26, right: 16, bottom: 44, left: 66 };
const PANEL_HEIGHT = 168;

export interface PanelsOptions {
  title: string;
  legend: readonly LegendEntry[];
  /** One small picture each, in rows of at most four. */
  names: readonly string[];
  x: NonNullable<PlotOptions['x']> & object;
  y: NonNullable<PlotOptions['y']> & object;
  /** What the axes count, in words. */
  xLabel: string;
  yLabel: string;
  xFormat?: (value: number) => string;
  yFormat?: (value: number) => string;
  xTicks?: readonly number[];
  yTicks?: readonly number[];
  palette: Palette;
  marks(place: (name: string) => Place): Markish[];
}

/** How many small pictures stand side by side: as many as leave the last row least empty. */
export function panelColumns(count: number): number {
  if (count <= 4) return Math.max(1, count);
  return Math.ceil(count / 3) * 3 - count < Math.ceil(count / 4) * 4 - count ? 3 : 4;
}

/** Small multiples with common axes. */
export function drawPanels(options: PanelsOptions): string {
  const { names, palette } = options;
  const columns = Math.max(2, panelColumns(names.length));
  const rows = Math.max(1, Math.ceil(names.length / columns));
  const place = (name: string): Place => {
    const index = names.indexOf(name);
    return { column: index % columns, row: Math.floor(index / columns) };
  };
  const height = MARGIN.top + rows * PANEL_HEIGHT + MARGIN.bottom;
  const drawing = plotMarkup({
    width: PICTURE_WIDTH,
    height,
    marginTop: MARGIN.top,
    marginRight: MARGIN.right,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    x: options.x,
    y: options.y,
    fx: { domain: Array.from({ length: columns }, (_, index) => index), padding: 0.07, axis: null },
    fy: { domain: Array.from({ length: rows }, (_, index) => index), padding: 0.2, axis: null },
    marks: [
      axisX({
        ticks: options.xTicks ?? 4,
        tickSize: 4,
        label: null,
        fill: palette.muted,
        stroke: palette.line,
        ...(options.xFormat && { tickFormat: options.xFormat }),
      }),
      axisY({
        ticks: options.yTicks ?? 4,
        tickSize: 0,
        label: null,
        fill: palette.muted,
        ...(options.yFormat && { tickFormat: options.yFormat }),
      }),
      frame({ stroke: palette.line }),
      ...options.marks(place),
      text(
        names.map((name) => ({ name, ...place(name) })),
        {
          ...panelFacet,
          text: 'name',
          frameAnchor: 'top-left',
          dy: -18,
          lineAnchor: 'top',
          fill: palette.ink,
          fontWeight: 600,
        },
      ),
    ],
  });
  return framedPicture(
    { title: options.title, legend: options.legend, height: height + 22, palette },
    (top) =>
      label(16, top + 12, `↑ ${options.yLabel}`, palette.muted) +
      placed(0, top + 18, PICTURE_FONT_SIZE, palette.ink, drawing) +
      label(PICTURE_WIDTH - MARGIN.right, top + 18 + height - 4, `${options.xLabel} →`, palette.muted, {
        anchor: 'end',
      }),
  );
}
