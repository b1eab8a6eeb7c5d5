import { axisFx, axisFy, axisX, axisY, dot, frame, line, rect, ruleX, ruleY, text } from '@observablehq/plot';
import { PAPER, type Palette } from '../../report/palette.ts';
import { escapeMarkup, placed, plotMarkup, stepTicks, svgDocument } from '../../report/svg.ts';
import { finiteValues, largest, MATRIX_KINDS, type SignalData, type WatchedMatrix } from './data.ts';

const WIDTH = 1000;
const HEAD = 62;
const FONT_SIZE = 12;
const MARGIN = { top: 26, right: 72, bottom: 44, left: 44 };

/**
 * The watched quantity of every matrix over the steps, one small picture each: a row a block, a column a kind. Dashed is the
 * threshold, a star marks the freeze with its step, and the ground is icy from there on.
 *
 * @returns an SVG file. Its ground is white unless another palette is given.
 */
export function drawSignals(data: SignalData, palette: Palette = PAPER): string {
  const blocks = [...new Set(data.matrices.map(({ block }) => block))].sort((a, b) => a - b);
  const rowHeight = blocks.length <= 4 ? 150 : 96;
  const plotHeight = MARGIN.top + blocks.length * rowHeight + MARGIN.bottom;
  const height = HEAD + plotHeight;
  const frozen = data.matrices.filter((matrix) => matrix.frozen !== undefined).length;
  const label = `${data.quantity}: ${frozen} of ${data.matrices.length} matrices frozen`;
  return svgDocument(
    WIDTH,
    height,
    label,
    `<rect width="${WIDTH}" height="${height}" fill="${palette.paper}"/>` +
      `<text x="16" y="26" font-size="16" font-weight="600" fill="${palette.ink}">${escapeMarkup(label)}</text>` +
      legend(data, palette) +
      placed(0, HEAD, FONT_SIZE, palette.ink, panels(data, blocks, plotHeight, palette)) +
      `<text x="${WIDTH - MARGIN.right}" y="${height - 8}" font-size="${FONT_SIZE}" text-anchor="end" fill="${palette.muted}">step →</text>`,
  );
}

function panels(data: SignalData, blocks: readonly number[], height: number, palette: Palette): string {
  const { matrices, totalSteps, graceSteps, endedAt = totalSteps } = data;
  const kinds = MATRIX_KINDS.filter((kind) => matrices.some((matrix) => matrix.kind === kind));
  const points = matrices.flatMap((matrix) =>
    matrix.samples
      .filter(({ value }) => Number.isFinite(value))
      .map(({ step, value }) => ({ step, value, ...placeOf(matrix) })),
  );
  const top = 1.18 * Math.max(largest(finiteValues(points)), largest(matrices.map(({ threshold }) => threshold)));
  const freezes = matrices.flatMap((matrix) =>
    matrix.frozen === undefined
      ? []
      : [{ ...matrix.frozen, ...placeOf(matrix), end: endedAt, title: freezeTitle(matrix) }],
  );
  const facet = { fx: 'kind', fy: 'block' };
  const isLate = ({ step }: { step: number }) => step > 0.6 * totalSteps;
  const freezeLabel = {
    ...facet,
    x: 'step',
    y: top,
    text: ({ step }: { step: number }) => String(step),
    dy: 9,
    fill: palette.frozen,
    fontWeight: 600,
  };

  return plotMarkup({
    width: WIDTH,
    height,
    marginTop: MARGIN.top,
    marginRight: MARGIN.right,
    marginBottom: MARGIN.bottom,
    marginLeft: MARGIN.left,
    x: { domain: [0, totalSteps] },
    y: { domain: [0, top] },
    fx: { domain: kinds, padding: 0.08 },
    fy: { domain: blocks, padding: 0.14 },
    marks: [
      rect(freezes, { ...facet, x1: 'step', x2: 'end', y1: 0, y2: top, fill: palette.ice }),
      axisX({
        ticks: stepTicks(totalSteps),
        tickSize: 4,
        tickFormat: String,
        label: null,
        fill: palette.muted,
        stroke: palette.line,
      }),
      axisY({ ticks: blocks.length <= 4 ? 4 : 2, tickSize: 0, label: null, fill: palette.muted }),
      axisFx({ anchor: 'top', label: null, fontSize: 13, fontWeight: 600, fill: palette.ink }),
      axisFy({ anchor: 'right', label: null, fontSize: 13, fontWeight: 600, fill: palette.ink, tickFormat: blockName }),
      graceSteps === undefined ? null : ruleX([graceSteps], { stroke: palette.muted, strokeDasharray: '1 3' }),
      ruleY(matrices.map(placeOf), { ...facet, y: 'threshold', stroke: palette.muted, strokeDasharray: '4 3' }),
      line(points, {
        ...facet,
        x: 'step',
        y: 'value',
        z: 'name',
        title: 'name',
        stroke: palette.live,
        strokeWidth: 1.6,
      }),
      ruleX(freezes, { ...facet, x: 'step', y1: 'value', y2: 0.9 * top, stroke: palette.frozen, strokeWidth: 1 }),
      dot(freezes, {
        ...facet,
        x: 'step',
        y: 'value',
        symbol: 'asterisk',
        r: 5,
        stroke: palette.frozen,
        strokeWidth: 1.8,
        title: 'title',
      }),
      text(freezes, { ...freezeLabel, filter: isLate, textAnchor: 'end', dx: 4 }),
      text(freezes, { ...freezeLabel, filter: (freeze) => !isLate(freeze), textAnchor: 'start', dx: -4 }),
      frame({ stroke: palette.line }),
    ],
  });
}

function placeOf({ name, block, kind, threshold }: WatchedMatrix) {
  return { name, block, kind, threshold };
}

function freezeTitle({ name, frozen, threshold }: WatchedMatrix): string {
  return `${name} frozen at step ${frozen?.step}: ${frozen?.value.toPrecision(3)} below ${threshold.toPrecision(3)}`;
}

function blockName(block: number): string {
  return `block ${block}`;
}

function legend({ matrices, graceSteps }: SignalData, palette: Palette): string {
  const thresholds = [...new Set(matrices.map(({ threshold }) => threshold))];
  const stroke = (colour: string, more = '') => `<path d="M0,0H24" stroke="${colour}" stroke-width="1.8" ${more}/>`;
  const star = `<path d="M12,-6V6M6.8,-3L17.2,3M6.8,3L17.2,-3" stroke="${palette.frozen}" stroke-width="1.8"/>`;
  const ice = `<rect y="-7" width="24" height="14" fill="${palette.ice}" stroke="${palette.line}"/>`;
  const grace = `<path d="M12,-7V7" stroke="${palette.muted}" stroke-width="1.5" stroke-dasharray="1 3"/>`;
  const entries: { sample: string; words: string; width: number }[] = [
    { sample: stroke(palette.live), words: 'learning', width: 105 },
    {
      sample: stroke(palette.muted, 'stroke-dasharray="4 3"'),
      words: thresholds.length === 1 ? `threshold ${thresholds[0]}` : 'threshold',
      width: 145,
    },
    { sample: star, words: 'frozen, at this step', width: 165 },
    { sample: ice, words: 'out of the backward graph', width: 205 },
    ...(graceSteps === undefined
      ? []
      : [{ sample: grace, words: `nothing may freeze before ${graceSteps}`, width: 0 }]),
  ];
  let x = 16;
  return entries
    .map(({ sample, words, width }) => {
      const label = `<text x="30" y="4" font-size="${FONT_SIZE}" fill="${palette.muted}">${words}</text>`;
      const entry = `<g transform="translate(${x},46)" fill="none">${sample}${label}</g>`;
      x += width;
      return entry;
    })
    .join('');
}
