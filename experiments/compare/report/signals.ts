import { axisFx, axisFy, axisX, axisY, dot, frame, line, ruleX, ruleY } from '@observablehq/plot';
import { largest } from '../../fragments/report/data.ts';
import type { Palette } from '../../report/palette.ts';
import { framedPicture, label, PICTURE_FONT_SIZE, PICTURE_WIDTH } from '../../report/picture.ts';
import { placed, plotMarkup } from '../../report/svg.ts';
import { inDrawingOrder } from '../kinds.ts';
import type { ArmResult } from '../results.ts';

const MARGIN = { top: 26, right: 72, bottom: 40, left: 44 };

/** What GradES watched on one task: a row a block, a column a kind, the seeds over one another. */
export function drawSignalCurves(title: string, runs: readonly ArmResult[], palette: Palette): string {
  const points = runs.flatMap(({ seed, scheduleSteps, signals }) =>
    signals.flatMap(({ name, kind, block, samples }) =>
      samples
        .filter(({ value }) => Number.isFinite(value))
        .map(({ step, value }) => ({ run: `${name} ${seed}`, kind, block, time: step / scheduleSteps, value })),
    ),
  );
  const panels = new Set(points.map(({ kind, block }) => `${kind} ${block}`));
  const freezes = runs.flatMap(({ seed, scheduleSteps, freezes }) =>
    freezes.flatMap(({ name, kind, block, step, value }) =>
      value !== null && Number.isFinite(value) && panels.has(`${kind} ${block}`)
        ? [{ kind, block, time: step / scheduleSteps, value, title: `${name}, seed ${seed}: frozen at step ${step}` }]
        : [],
    ),
  );
  const thresholds = [...new Set(runs.map(({ threshold }) => threshold).filter((each) => each !== null))];
  const kinds = inDrawingOrder(points.map(({ kind }) => kind));
  const blocks = [...new Set(points.map(({ block }) => block))].sort(
    (a, b) => (a ?? Number.MAX_SAFE_INTEGER) - (b ?? Number.MAX_SAFE_INTEGER),
  );
  const rowHeight = blocks.length <= 4 ? 140 : 92;
  const height = MARGIN.top + blocks.length * rowHeight + MARGIN.bottom;
  const top = 1.08 * largest([...points.map(({ value }) => value), ...thresholds]);
  const facet = { fx: 'kind', fy: 'block' } as const;
  const drawing = plotMarkup({
    width: PICTURE_WIDTH,
    height,
    marginTop: MARGIN.top,
    marginRight: MARGIN.right,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    x: { domain: [0, 1] },
    y: { domain: [0, top] },
    fx: { domain: kinds, padding: 0.08 },
    fy: { domain: blocks.map(blockName), padding: 0.14 },
    marks: [
      axisX({
        ticks: [0.25, 0.5, 0.75],
        tickSize: 4,
        tickFormat: String,
        label: null,
        fill: palette.muted,
        stroke: palette.line,
      }),
      axisY({ ticks: blocks.length <= 4 ? 4 : 2, tickSize: 0, label: null, fill: palette.muted }),
      axisFx({ anchor: 'top', label: null, fontSize: 13, fontWeight: 600, fill: palette.ink }),
      axisFy({ anchor: 'right', label: null, fontSize: 13, fontWeight: 600, fill: palette.ink }),
      frame({ stroke: palette.line }),
      ruleY(thresholds, { stroke: palette.muted, strokeDasharray: '4 3' }),
      line(points.map(named), {
        ...facet,
        x: 'time',
        y: 'value',
        z: 'run',
        stroke: palette.live,
        strokeOpacity: 0.75,
        strokeWidth: 1.2,
      }),
      ruleX(freezes.map(named), {
        ...facet,
        x: 'time',
        y1: 0,
        y2: 'value',
        stroke: palette.frozen,
        strokeOpacity: 0.5,
      }),
      dot(freezes.map(named), {
        ...facet,
        x: 'time',
        y: 'value',
        symbol: 'asterisk',
        r: 4,
        stroke: palette.frozen,
        strokeWidth: 1.6,
        title: 'title',
      }),
    ],
  });
  return framedPicture(
    {
      title,
      legend: [
        { colour: palette.live, words: 'learning, a line a seed', sample: 'line' },
        ...(thresholds.length > 0
          ? [{ colour: palette.muted, words: `threshold ${thresholds.join(', ')}`, sample: 'dashes' as const }]
          : []),
        { colour: palette.frozen, words: 'frozen', sample: 'star' },
      ],
      height,
      palette,
    },
    (at) =>
      placed(0, at, PICTURE_FONT_SIZE, palette.ink, drawing) +
      label(PICTURE_WIDTH - MARGIN.right, at + height - 4, 'time as a share of the schedule →', palette.muted, {
        anchor: 'end',
      }),
  );
}

function named<T extends { block: number | null }>(datum: T): T & { block: string } {
  return { ...datum, block: blockName(datum.block) };
}

function blockName(block: number | null): string {
  return block === null ? 'no block' : `block ${block}`;
}
