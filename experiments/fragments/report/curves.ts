import { axisX, axisY, dot, gridY, line, ruleX, ruleY, text, windowY } from '@observablehq/plot';
import type { Palette } from '../../report/palette.ts';
import { placed, plotMarkup, svgDocument } from '../../report/svg.ts';
import { type ArmCurves, finiteValues, largest, type ReportData } from './data.ts';
import { AXIS_FONT_SIZE, STEP_MARGINS, STEP_WIDTH } from './step-axis.ts';

const HEIGHT = 250;

/** The arms' colours, in the order of `data.arms`. */
export function armColour(index: number, palette: Palette): string {
  return [palette.muted, palette.frozen, palette.live, palette.ink][index % 4]!;
}

/** Training loss of every arm: the values as logged faint, their moving average strong. */
export function drawLosses(data: ReportData, palette: Palette): string {
  const { arms } = data;
  return drawArms(
    data,
    palette,
    'Training loss',
    [0, Math.max(0.1, largest(arms.flatMap(({ loss }) => finiteValues(loss))))],
    [
      ...arms.map(({ loss }, index) =>
        line(loss, { x: 'step', y: 'value', stroke: armColour(index, palette), strokeOpacity: 0.25, strokeWidth: 1 }),
      ),
      ...arms.map(({ loss }, index) =>
        line(
          loss,
          windowY(
            { k: Math.max(1, Math.round(loss.length / 30)) },
            { x: 'step', y: 'value', stroke: armColour(index, palette), strokeWidth: 2 },
          ),
        ),
      ),
    ],
  );
}

/** Accuracy on held-out fragments wherever it was measured; the empty text when it was not. */
export function drawAccuracies(data: ReportData, palette: Palette): string {
  const measured = data.arms.flatMap(({ accuracy }) => finiteValues(accuracy ?? []));
  if (measured.length === 0) return '';
  const lowest = Math.max(0, Math.floor(Math.min(...measured) * 10) / 10);
  return drawArms(
    data,
    palette,
    'Accuracy on held-out files',
    [lowest, 1],
    data.arms.flatMap(({ accuracy = [] }, index) => [
      line(accuracy, { x: 'step', y: 'value', stroke: armColour(index, palette), strokeWidth: 2 }),
      dot(accuracy, { x: 'step', y: 'value', fill: armColour(index, palette), r: 2.5 }),
    ]),
  );
}

function drawArms(
  data: ReportData,
  palette: Palette,
  label: string,
  domain: [number, number],
  marks: Parameters<typeof plotMarkup>[0]['marks'] & object,
): string {
  const stops = data.arms.flatMap(({ name, stoppedAt }: ArmCurves) =>
    stoppedAt === undefined ? [] : [{ name, stoppedAt }],
  );
  const isLate = ({ stoppedAt }: { stoppedAt: number }) => stoppedAt > data.totalSteps / 2;
  const stopLabel = {
    x: 'stoppedAt',
    frameAnchor: 'top',
    text: ({ name, stoppedAt }: { name: string; stoppedAt: number }) => `${name} ends at ${stoppedAt}`,
    dy: 3,
    fill: palette.frozen,
  } as const;
  const drawing = plotMarkup({
    width: STEP_WIDTH,
    height: HEIGHT,
    ...STEP_MARGINS,
    x: { domain: [0, data.totalSteps] },
    y: { domain, nice: true },
    marks: [
      gridY({ stroke: palette.line, strokeOpacity: 1, ticks: 5 }),
      axisX({ label: 'step →', tickFormat: String, fill: palette.muted, stroke: palette.line }),
      axisY({ label: null, ticks: 5, tickSize: 0, fill: palette.muted }),
      ruleX(stops, { x: 'stoppedAt', stroke: palette.frozen, strokeDasharray: '4 3' }),
      ...[marks].flat(),
      text(stops, { ...stopLabel, filter: isLate, textAnchor: 'end', dx: -5 }),
      text(stops, { ...stopLabel, filter: (stop) => !isLate(stop), textAnchor: 'start', dx: 5 }),
      ruleY([domain[0]], { stroke: palette.line }),
    ],
  });
  return svgDocument(STEP_WIDTH, HEIGHT, label, placed(0, 0, AXIS_FONT_SIZE, palette.ink, drawing));
}
