/** Accuracy against cost, both beside `full`: a panel with its own axis a family of arms. */

import { dot, gridX, gridY, link, type Markish, ruleX, ruleY, text } from '@observablehq/plot';
import { armLabel, armLegend, armStyle, isAdapted } from '../../report/arms.ts';
import { signed } from '../../report/numbers.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels } from '../../report/panels.ts';

export interface TradeOff {
  arm: string;
  /** Null for the mean over tasks. */
  task: string | null;
  /** Over that of `full`. */
  cost: number;
  /** Minus that of `full`. */
  points: number;
}

const LABEL_GAP = 17;

/** One mark an arm, each joined to its name at the side. */
export function drawTradeOff(title: string, xLabel: string, points: readonly TradeOff[], palette: Palette): string {
  const x = padded(points.map(({ cost }) => cost));
  return drawPanels({
    title,
    description: points.map((point) => inWords(point)).join('; '),
    legend: armLegend(
      points.map(({ arm }) => arm),
      palette,
    ),
    columns: 1,
    ownAxes: true,
    right: 210,
    xLabel,
    yLabel: 'points of accuracy, minus “full”',
    palette,
    panels: families(points).map(({ name, members }) => {
      const y = padded(members.map(({ points: gained }) => gained));
      const height = Math.max(130, 24 * members.length);
      const labels = untangled(members, x[1], y, (LABEL_GAP / height) * (y[1] - y[0]));
      const colour = ({ arm }: TradeOff) => armStyle(arm, palette).colour;
      return {
        name,
        x: { domain: x },
        y: { domain: y },
        height,
        marks: [
          gridX({ stroke: palette.line, strokeOpacity: 0.6 }),
          gridY({ stroke: palette.line, strokeOpacity: 0.6, ticks: 4 }),
          link(labels, { x1: 'cost', x2: x[1], y1: 'points', y2: 'at', stroke: colour, strokeOpacity: 0.45 }),
          ...marks(members, palette, 6),
          text(labels, {
            y: 'at',
            frameAnchor: 'right',
            textAnchor: 'start',
            dx: 8,
            fill: colour,
            text: ({ arm, points: gained }: TradeOff) => `${armLabel(arm)}  ${signed(gained, 2)}`,
          }),
        ],
      };
    }),
  });
}

/** The same for every task by itself. */
export function drawTradeOffByTask(
  title: string,
  xLabel: string,
  points: readonly TradeOff[],
  palette: Palette,
): string {
  const x = padded(points.map(({ cost }) => cost));
  const panels = families(points).flatMap(({ name, members }) =>
    [...new Set(members.map(({ task }) => task))].map((task) => ({
      name: `${task}, ${name}`,
      members: members.filter((point) => point.task === task),
    })),
  );
  return drawPanels({
    title,
    legend: armLegend(
      points.map(({ arm }) => arm),
      palette,
    ),
    ownAxes: true,
    left: 36,
    xLabel,
    yLabel: 'points of accuracy, minus “full”',
    palette,
    panels: panels.map(({ name, members }) => ({
      name,
      x: { domain: x },
      y: { domain: padded(members.map(({ points: gained }) => gained)) },
      height: 120,
      marks: marks(members, palette, 4.5),
    })),
  });
}

/** Arms that train all weights, and those that train adapters: what they lose is of another size. */
function families(points: readonly TradeOff[]) {
  return [
    { name: 'all weights', members: points.filter(({ arm }) => !isAdapted(arm)) },
    { name: 'LoRA', members: points.filter(({ arm }) => isAdapted(arm)) },
  ].filter(({ members }) => members.length > 0);
}

function marks(points: readonly TradeOff[], palette: Palette, r: number): Markish[] {
  // GradES lies on top, whatever it shares its place with.
  const ordered = [...points].sort((a, b) => Number(a.arm.endsWith('grades')) - Number(b.arm.endsWith('grades')));
  return [
    ruleX([1], { stroke: palette.muted, strokeDasharray: '2 3' }),
    ruleY([0], { stroke: palette.muted, strokeDasharray: '2 3' }),
    dot(ordered, {
      x: 'cost',
      y: 'points',
      r,
      symbol: ({ arm }: TradeOff) => armStyle(arm, palette).symbol,
      fill: ({ arm }: TradeOff) => armStyle(arm, palette).colour,
      stroke: palette.paper,
      strokeWidth: 0.8,
      title: inWords,
    }),
  ];
}

function inWords({ arm, task, cost, points }: TradeOff): string {
  return `${armLabel(arm)}${task === null ? '' : ` on ${task}`}: ${signed(points, 2)} points at ${cost.toFixed(2)}`;
}

function padded(values: readonly number[]): [number, number] {
  const low = Math.min(...values, 0.99);
  const high = Math.max(...values, 1);
  return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
}

/** A place for each name at the side, so that no two of the lines that lead there cross. */
export function untangled<T extends { cost: number; points: number }>(
  points: readonly T[],
  side: number,
  [low, high]: readonly [number, number],
  gap: number,
): (T & { at: number })[] {
  const sorted = [...points].sort((a, b) => a.points - b.points);
  const places = spread(
    sorted.map((point) => point.points),
    gap,
    low,
    high,
  );
  const named = sorted.map((point, index) => ({ ...point, at: places[index]! }));
  // To swap the ends of two lines that cross makes them shorter together, so this comes to an end.
  for (let crossed = true; crossed; ) {
    crossed = false;
    for (const a of named) {
      for (const b of named) {
        if (!cross(a, b, side)) continue;
        [a.at, b.at] = [b.at, a.at];
        crossed = true;
      }
    }
  }
  return named;
}

/** Whether the lines from two points to their places at the side cross: the order at the side is not that at the right one. */
function cross(a: Line, b: Line, side: number): boolean {
  const [left, right] = a.cost <= b.cost ? [a, b] : [b, a];
  const share = (right.cost - left.cost) / (side - left.cost);
  const passing = left.points + share * (left.at - left.points);
  return (passing - right.points) * (left.at - right.at) < -1e-12;
}

interface Line {
  cost: number;
  points: number;
  at: number;
}

/** Ascending places moved apart to at least `gap`, as little as that takes, and within the bounds if they fit. */
function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
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
