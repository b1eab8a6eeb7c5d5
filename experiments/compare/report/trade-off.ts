import { axisX, axisY, dot, frame, gridX, gridY, ruleX, ruleY } from '@observablehq/plot';
import { signed } from '../../report/numbers.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels, panelFacet } from '../../report/panels.ts';
import { framedPicture, label, PICTURE_FONT_SIZE, PICTURE_WIDTH, round } from '../../report/picture.ts';
import { placed, plotMarkup } from '../../report/svg.ts';
import type { ArmName } from '../results.ts';
import { armColour, armLegend, isAdapted } from './arm-style.ts';

/** What an arm costs and gives, both beside `full`. */
export interface TradeOff {
  arm: ArmName;
  /** Null for the mean over tasks. */
  task: string | null;
  /** Over that of `full`. */
  cost: number;
  /** Minus that of `full`. */
  points: number;
}

const HEIGHT = 400;
const MARGIN = { top: 12, right: 230, bottom: 44, left: 58 };
const LABEL_GAP = 17;

/** One point an arm, each joined to its name at the side. */
export function drawTradeOff(title: string, xLabel: string, points: readonly TradeOff[], palette: Palette): string {
  const { x, y } = domains(points);
  const drawing = plotMarkup({
    width: PICTURE_WIDTH,
    height: HEIGHT,
    marginTop: MARGIN.top,
    marginRight: MARGIN.right,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    x: { domain: x },
    y: { domain: y },
    marks: [
      gridX({ stroke: palette.line, strokeOpacity: 0.6 }),
      gridY({ stroke: palette.line, strokeOpacity: 0.6 }),
      ...axes(palette),
      frame({ stroke: palette.line }),
      ...rules(palette),
      ...dots(points, palette, 5.5),
    ],
  });
  const toX = (cost: number) =>
    MARGIN.left + ((cost - x[0]) / (x[1] - x[0])) * (PICTURE_WIDTH - MARGIN.left - MARGIN.right);
  const toY = (value: number) => MARGIN.top + ((y[1] - value) / (y[1] - y[0])) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const named = points
    .map((point) => ({ ...point, x: toX(point.cost), y: toY(point.points) }))
    .sort((a, b) => a.y - b.y || b.x - a.x);
  const heights = spread(
    named.map((point) => point.y),
    LABEL_GAP,
    MARGIN.top + 6,
    HEIGHT - 14,
  );
  const side = PICTURE_WIDTH - MARGIN.right;
  return framedPicture({ title, legend: armLegend(armsOf(points), palette), height: HEIGHT + 22, palette }, (top) => {
    const names = named.map(({ arm, x: fromX, y: fromY, points: gained }, index) => {
      const at = heights[index]!;
      const colour = armColour(arm, palette);
      return (
        `<path d="M${round(fromX + 6)},${round(fromY)}L${side + 4},${round(at)}H${side + 14}" stroke="${colour}" stroke-opacity="0.45" fill="none"/>` +
        label(side + 18, at + 4, `${arm}  ${signed(gained, 2)}`, colour)
      );
    });
    return (
      label(16, top + 12, '↑ points of accuracy, minus “full”', palette.muted) +
      `<g transform="translate(0,${top + 18})">${names.join('')}</g>` +
      placed(0, top + 18, PICTURE_FONT_SIZE, palette.ink, drawing) +
      label(side, top + 18 + HEIGHT - 6, `${xLabel} →`, palette.muted, { anchor: 'end' })
    );
  });
}

/** The same for every task by itself. */
export function drawTradeOffByTask(
  title: string,
  xLabel: string,
  points: readonly (TradeOff & { task: string })[],
  palette: Palette,
): string {
  const { x, y } = domains(points);
  return drawPanels({
    title,
    legend: armLegend(armsOf(points), palette),
    names: [...new Set(points.map(({ task }) => task))],
    x: { domain: x },
    y: { domain: y },
    xLabel,
    yLabel: 'points of accuracy, minus “full”',
    palette,
    marks: (place) => [
      ...rules(palette),
      ...dots(
        points.map((point) => ({ ...point, ...place(point.task) })),
        palette,
        3.8,
        panelFacet,
      ),
    ],
  });
}

function axes(palette: Palette) {
  return [
    axisX({ label: null, fill: palette.muted, stroke: palette.line }),
    axisY({ label: null, tickSize: 0, fill: palette.muted }),
  ];
}

function rules(palette: Palette) {
  return [
    ruleX([1], { stroke: palette.muted, strokeDasharray: '2 3' }),
    ruleY([0], { stroke: palette.muted, strokeDasharray: '2 3' }),
  ];
}

function dots(points: readonly TradeOff[], palette: Palette, r: number, facet: Partial<typeof panelFacet> = {}) {
  const shared = {
    ...facet,
    x: 'cost',
    y: 'points',
    r,
    fill: ({ arm }: TradeOff) => armColour(arm, palette),
    stroke: palette.paper,
    strokeWidth: 0.8,
    title: ({ arm, task, cost, points: gained }: TradeOff) =>
      `${arm}${task === null ? '' : ` on ${task}`}: ${signed(gained, 2)} points at ${cost.toFixed(2)}`,
  } as const;
  // GradES lies on top, whatever it shares its place with.
  const ordered = [...points].sort((a, b) => Number(a.arm.endsWith('grades')) - Number(b.arm.endsWith('grades')));
  return [
    dot(
      ordered.filter(({ arm }) => !isAdapted(arm)),
      shared,
    ),
    dot(
      ordered.filter(({ arm }) => isAdapted(arm)),
      { ...shared, symbol: 'triangle' },
    ),
  ];
}

function armsOf(points: readonly TradeOff[]): ArmName[] {
  return [...new Set(points.map(({ arm }) => arm))];
}

function domains(points: readonly TradeOff[]): { x: [number, number]; y: [number, number] } {
  return {
    x: padded([...points.map(({ cost }) => cost), 0.5, 1]),
    y: padded([...points.map(({ points: gained }) => gained), -0.5, 0.5]),
  };
}

function padded(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
}

/** Ascending places moved apart to at least `gap`, as little as that takes, and within the bounds if they fit. */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const places = [...wanted];
  let least = low;
  for (const [index, place] of places.entries()) {
    places[index] = Math.max(place, least);
    least = places[index]! + gap;
  }
  let most = high;
  for (let index = places.length - 1; index >= 0; index--) {
    places[index] = Math.min(places[index]!, most);
    most = places[index]! - gap;
  }
  return places;
}
