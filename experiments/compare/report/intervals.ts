import { axisX, axisY, dot, gridX, link, rect, ruleX, text } from '@observablehq/plot';
import { signed } from '../../report/numbers.ts';
import type { Palette } from '../../report/palette.ts';
import { framedPicture, label, PICTURE_FONT_SIZE, PICTURE_WIDTH } from '../../report/picture.ts';
import { placed, plotMarkup } from '../../report/svg.ts';
import { type Difference, margin, type NoiseFloor } from '../statistics.ts';
import { armColour } from './arm-style.ts';

const ROW_HEIGHT = 22;
const MARGIN = { top: 10, right: 250, bottom: 40, left: 190 };

export interface IntervalGroup {
  heading: string;
  /** Which of the two arms a row is named after. */
  nameOf: 'arm' | 'base';
  differences: readonly Difference[];
}

/** A row a difference: its mean and its 95 % interval, filled where it is shown not to be worse. */
export function drawIntervals(
  title: string,
  groups: readonly IntervalGroup[],
  noise: NoiseFloor | null,
  palette: Palette,
): string {
  const rows = groups.flatMap(({ heading, nameOf, differences }, group) => [
    { key: `${group}`, name: heading, heading: true, difference: null, colour: palette.ink },
    ...differences.map((difference, index) => ({
      key: `${group} ${index}`,
      name: difference[nameOf],
      heading: false,
      difference,
      colour: armColour(difference[nameOf], palette),
    })),
  ]);
  const names = new Map(rows.map(({ key, name }) => [key, name]));
  const shown = rows.flatMap(({ key, difference, colour }) =>
    difference?.estimate ? [{ key, colour, ...difference.estimate }] : [],
  );
  const band = noise ? [{ low: -noise.band, high: noise.band }] : [];
  const ends = [...shown, ...band].flatMap(({ low, high }) => [low, high]);
  const lowest = Math.min(-2 * margin, ...ends);
  const highest = Math.max(2 * margin, ...ends);
  const height = MARGIN.top + rows.length * ROW_HEIGHT + MARGIN.bottom;
  const colour = (row: { colour: string }) => row.colour;
  const drawing = plotMarkup({
    width: PICTURE_WIDTH,
    height,
    marginTop: MARGIN.top,
    marginRight: MARGIN.right,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    x: { domain: [lowest, highest], nice: true },
    y: { domain: rows.map(({ key }) => key), padding: 0.3 },
    marks: [
      rect(band, { x1: 'low', x2: 'high', fill: palette.line, fillOpacity: 0.6 }),
      gridX({ stroke: palette.line, strokeOpacity: 0.7, ticks: 8 }),
      ruleX([0], { stroke: palette.muted }),
      ruleX([-margin], { stroke: palette.live, strokeDasharray: '4 3' }),
      axisX({ ticks: 8, label: null, fill: palette.muted, stroke: palette.line }),
      axisY(
        rows.filter((row) => !row.heading).map(({ key }) => key),
        { label: null, tickSize: 0, fill: palette.ink, tickFormat: (key: string) => names.get(key) ?? key },
      ),
      axisY(
        rows.filter((row) => row.heading).map(({ key }) => key),
        {
          label: null,
          tickSize: 0,
          fill: palette.ink,
          fontWeight: 600,
          tickFormat: (key: string) => names.get(key) ?? key,
        },
      ),
      link(
        shown.filter(({ hasInterval }) => hasInterval),
        { x1: 'low', x2: 'high', y1: 'key', y2: 'key', stroke: colour, strokeWidth: 2 },
      ),
      dot(shown, {
        x: 'mean',
        y: 'key',
        r: 4.5,
        stroke: colour,
        strokeWidth: 1.8,
        fill: ({ verdict, colour: filled }: (typeof shown)[number]) => (verdict === 'shown' ? filled : palette.paper),
      }),
      text(
        rows.filter(({ heading }) => !heading),
        {
          y: 'key',
          frameAnchor: 'right',
          textAnchor: 'start',
          dx: 14,
          fill: palette.muted,
          text: ({ difference }: (typeof rows)[number]) => (difference ? inFigures(difference) : ''),
        },
      ),
    ],
  });
  return framedPicture(
    {
      title,
      legend: [
        { colour: palette.ink, words: 'not worse by more than half a point: shown', sample: 'dot' },
        { colour: palette.ink, words: 'not shown', sample: 'ring' },
        { colour: palette.live, words: `−${margin} points`, sample: 'dashes' },
        ...(noise ? [{ colour: palette.line, words: 'noise floor', sample: 'ground' as const }] : []),
      ],
      height,
      palette,
    },
    (top) =>
      placed(0, top, PICTURE_FONT_SIZE, palette.ink, drawing) +
      label(PICTURE_WIDTH - MARGIN.right, top + height - 6, 'points of accuracy →', palette.muted, { anchor: 'end' }),
  );
}

function inFigures({ estimate, pairs, remarks }: Difference): string {
  if (!estimate) return 'not run';
  const { mean, low, high, hasInterval } = estimate;
  return hasInterval
    ? `${signed(mean, 2)} [${signed(low, 2)}, ${signed(high, 2)}]${remarks.length > 0 ? `, only ${pairs.length} pairs` : ''}`
    : `${signed(mean, 2)}  one pair, no interval`;
}
