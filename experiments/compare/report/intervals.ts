/** Forest plots: a row a difference, its mean and its 95 % interval, and at which operations; a panel with its own axis a family of arms. */

import { dot, gridX, link, rect, ruleX, text } from '@observablehq/plot';
import { armLabel, armLegend, armStyle } from '../../report/arms.ts';
import { fixed, signed } from '../../report/numbers.ts';
import { palette } from '../../report/palette.ts';
import { drawPanels } from '../../report/panels.ts';
import { textWidth } from '../../report/picture.ts';
import { type Difference, margin, type NoiseFloor } from '../statistics.ts';

const TEXT_GAP = 14;

interface IntervalGroup {
  heading: string;
  /** Which of the two arms a row is named after. */
  nameOf: 'arm' | 'base';
  differences: readonly Difference[];
}

export function drawIntervals(title: string, groups: readonly IntervalGroup[], noise: NoiseFloor | null): string {
  const panels = groups
    .filter(({ differences }) => differences.length > 0)
    .map(({ heading, nameOf, differences }) => ({
      heading,
      rows: differences.map((difference) => {
        const arm = difference[nameOf];
        const { estimate } = difference;
        return { arm, name: armLabel(arm), ...armStyle(arm), words: inFigures(difference), estimate };
      }),
    }));
  const band = noise ? [{ low: -noise.band, high: noise.band }] : [];
  return drawPanels({
    title,
    description: panels
      .map(({ heading, rows }) => `${heading}: ${rows.map(({ name, words }) => `${name} ${words}`).join('; ')}`)
      .join('. '),
    legend: [
      ...armLegend(panels.flatMap(({ rows }) => rows)),
      { colour: palette.muted, words: 'filled: shown not to be worse by more than half a point', sample: 'circle' },
      { colour: palette.muted, words: 'not shown', sample: 'circle', hollow: true },
      { colour: palette.live, words: `−${margin} points`, sample: 'dashes' },
      ...(noise ? [{ colour: palette.line, words: 'noise floor', sample: 'ground' as const }] : []),
    ],
    columns: 1,
    ownAxes: true,
    right: TEXT_GAP + Math.max(...panels.flatMap(({ rows }) => rows.map(({ words }) => textWidth(words)))),
    xLabel: 'points of accuracy',
    xTicks: 8,
    panels: panels.map(({ heading, rows }) => {
      const known = rows.flatMap(({ estimate, ...row }) => (estimate ? [{ ...row, ...estimate }] : []));
      const ends = [...known, ...band].flatMap(({ low, high }) => [low, high]);
      return {
        name: heading,
        x: { domain: [Math.min(-2 * margin, ...ends), Math.max(2 * margin, ...ends)], nice: true },
        y: { domain: rows.map(({ name }) => name), padding: 0.3 },
        height: 22 * rows.length,
        marks: [
          rect(band, { x1: 'low', x2: 'high', fill: palette.line, fillOpacity: 0.6 }),
          gridX({ stroke: palette.line, strokeOpacity: 0.7, ticks: 8 }),
          ruleX([0], { stroke: palette.muted }),
          ruleX([-margin], { stroke: palette.live, strokeDasharray: '4 3' }),
          link(
            known.filter(({ hasInterval }) => hasInterval),
            { x1: 'low', x2: 'high', y: 'name', stroke: 'colour', strokeWidth: 2 },
          ),
          dot(known, {
            x: 'mean',
            y: 'name',
            symbol: 'symbol',
            r: 5,
            stroke: 'colour',
            strokeWidth: 1.8,
            fill: ({ verdict, colour }: (typeof known)[number]) => (verdict === 'shown' ? colour : palette.paper),
          }),
          text(rows, {
            y: 'name',
            frameAnchor: 'right',
            textAnchor: 'start',
            dx: TEXT_GAP,
            fill: palette.muted,
            text: 'words',
          }),
        ],
      };
    }),
  });
}

function inFigures({ estimate, pairs, missing, operations }: Difference): string {
  if (!estimate) return 'not run';
  const { mean, low, high, hasInterval } = estimate;
  const interval = hasInterval ? `[${signed(low, 2)}, ${signed(high, 2)}]` : '(one pair)';
  const few = hasInterval && missing > 0 ? `, only ${pairs.length} pairs` : '';
  return `${signed(mean, 2)} ${interval} at ${fixed(operations ?? Number.NaN, 2)}${few}`;
}
