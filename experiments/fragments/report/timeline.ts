import { axisX, axisY, barX, text } from '@observablehq/plot';
import type { Palette } from '../../report/palette.ts';
import { placed, plotMarkup, svgDocument } from '../../report/svg.ts';
import type { SignalData } from './data.ts';
import { AXIS_FONT_SIZE, STEP_MARGINS, STEP_WIDTH } from './step-axis.ts';

const ROW_HEIGHT = 21;

/** A bar a matrix: warm while it learns, cold from its freeze to the end of the run. */
export function drawTimeline(data: SignalData, palette: Palette): string {
  const endedAt = data.endedAt ?? data.totalSteps;
  const names = data.matrices.map(({ name }) => name);
  const bars = data.matrices.map(({ name, frozen }) => ({
    name,
    start: 0,
    end: endedAt,
    freeze: frozen?.step ?? endedAt,
  }));
  const freezes = bars.filter(({ freeze, end }) => freeze < end);
  const height = STEP_MARGINS.marginTop + names.length * ROW_HEIGHT + STEP_MARGINS.marginBottom;
  const isLate = ({ freeze }: { freeze: number }) => freeze > 0.92 * endedAt;
  const label = { x: 'freeze', y: 'name', text: ({ freeze }: { freeze: number }) => String(freeze), fontWeight: 600 };
  const drawing = plotMarkup({
    width: STEP_WIDTH,
    height,
    ...STEP_MARGINS,
    x: { domain: [0, data.totalSteps] },
    y: { domain: names, padding: 0.25 },
    marks: [
      axisX({ label: 'step →', tickFormat: String, fill: palette.muted, stroke: palette.line }),
      axisY({ label: null, tickSize: 0, fill: palette.ink }),
      barX(bars, { x1: 'start', x2: 'freeze', y: 'name', fill: palette.live, fillOpacity: 0.85 }),
      barX(freezes, {
        x1: 'freeze',
        x2: 'end',
        y: 'name',
        fill: palette.ice,
        stroke: palette.frozen,
        strokeWidth: 0.5,
      }),
      text(freezes, { ...label, filter: isLate, textAnchor: 'end', dx: -6, fill: palette.paper }),
      text(freezes, { ...label, filter: (bar) => !isLate(bar), textAnchor: 'start', dx: 6, fill: palette.frozen }),
    ],
  });
  return svgDocument(
    STEP_WIDTH,
    height,
    'Which matrices are learning, by step',
    placed(0, 0, AXIS_FONT_SIZE, palette.ink, drawing),
  );
}
