/** Accuracy against cost, both beside `full`: a panel with its own axis a family of arms. */

import { dot, gridX, gridY, link, ruleX, ruleY, text } from '@observablehq/plot';
import { armLabel, armLegend, armStyle, byTaskAndFamily } from '../../report/arms.ts';
import { signed } from '../../report/numbers.ts';
import { palette } from '../../report/palette.ts';
import { drawPanels } from '../../report/panels.ts';
import { textWidth } from '../../report/picture.ts';

interface TradeOff {
  arm: string;
  /** Over that of `full`. */
  cost: number;
  /** Minus that of `full`. */
  points: number;
}

/** One mark an arm, joined to its name at the side. */
export function drawTradeOff(
  title: string,
  points: readonly TradeOff[],
  { xLabel = 'operations, over those of “full”', base = '“full”', labelOf = armLabel } = {},
): string {
  const x = padded([0.5, 1, ...points.map(({ cost }) => cost)]);
  const colour = ({ arm }: TradeOff) => armStyle(arm).colour;
  // GradES lies on top, whatever it shares its place with.
  const ordered = [...points].sort((a, b) => Number(isGradES(a)) - Number(isGradES(b)));
  return drawPanels({
    title,
    description: points.map((point) => inWords(point, labelOf)).join('; '),
    legend: armLegend(points),
    columns: 1,
    ownAxes: true,
    right: 8 + Math.max(...points.map((point) => textWidth(sideLabel(point, labelOf)))),
    xLabel,
    yLabel: `points of accuracy, minus ${base}`,
    panels: byTaskAndFamily(ordered).map(({ name, members }) => {
      const y = padded([-0.5, 0.1, ...members.map(({ points: gained }) => gained)]);
      const labels = untangled(members, x[1], y);
      return {
        name,
        x: { domain: x },
        y: { domain: y },
        height: Math.max(120, 22 * members.length),
        marks: [
          gridX({ stroke: palette.line, strokeOpacity: 0.6, ticks: 4 }),
          gridY({ stroke: palette.line, strokeOpacity: 0.6, ticks: 4 }),
          ruleX([1], { stroke: palette.muted, strokeDasharray: '2 3' }),
          ruleY([0], { stroke: palette.muted, strokeDasharray: '2 3' }),
          link(labels, { x1: 'cost', x2: x[1], y1: 'points', y2: 'at', stroke: colour, strokeOpacity: 0.45 }),
          dot(members, {
            x: 'cost',
            y: 'points',
            r: 6,
            symbol: ({ arm }: TradeOff) => armStyle(arm).symbol,
            fill: colour,
            stroke: palette.paper,
            strokeWidth: 0.8,
            title: (point: TradeOff) => inWords(point, labelOf),
          }),
          text(labels, {
            y: 'at',
            frameAnchor: 'right',
            textAnchor: 'start',
            dx: 8,
            fill: colour,
            text: (point: TradeOff) => sideLabel(point, labelOf),
          }),
        ],
      };
    }),
  });
}

function isGradES({ arm }: TradeOff): boolean {
  return arm.includes('grades') && !arm.endsWith('plain-stop');
}

function sideLabel({ arm, points }: TradeOff, labelOf: (arm: string) => string): string {
  return `${labelOf(arm)}  ${signed(points, 2)}`;
}

function inWords({ arm, cost, points }: TradeOff, labelOf: (arm: string) => string): string {
  return `${labelOf(arm)}: ${signed(points, 2)} points at ${cost.toFixed(2)}`;
}

function padded(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
}

/** A place for each name at the side, evenly apart, so that no two of the lines that lead there cross. */
export function untangled<T extends { cost: number; points: number }>(
  points: readonly T[],
  side: number,
  [low, high]: readonly [number, number],
): (T & { at: number })[] {
  const named = [...points]
    .sort((a, b) => a.points - b.points)
    .map((point, index) => ({ ...point, at: low + ((index + 0.5) / points.length) * (high - low) }));
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

/** Whether the lines from two points to their places at the side cross: one passes the other point on its wrong side. */
function cross<T extends { cost: number; points: number; at: number }>(a: T, b: T, side: number): boolean {
  const [left, right] = a.cost <= b.cost ? [a, b] : [b, a];
  const share = (right.cost - left.cost) / (side - left.cost);
  const passing = left.points + share * (left.at - left.points);
  return (passing - right.points) * (left.at - right.at) < -1e-12;
}
