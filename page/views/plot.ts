/** Curves over the steps of a run, as SVG. */
import { makeSvg } from './element.ts';

export interface Line {
  /** One value a step, from step 1. */
  values: readonly (number | null)[];
  className: string;
}

export interface Mark {
  className: string;
  /** A step: a vertical line. A value: a horizontal one. Both: a point. */
  step?: number;
  value?: number;
  label: string;
}

export interface Plot {
  steps: number;
  lowest: number;
  highest: number;
  isLogarithmic?: boolean;
  lines: readonly Line[];
  marks?: readonly Mark[];
  format?: (value: number) => string;
}

const [width, height, left, bottom, top] = [640, 240, 72, 24, 22];
/** More points than a line has pixels to show. */
const mostPoints = 320;

export function drawPlot(svg: SVGSVGElement, plot: Plot): void {
  const { steps, lines, marks = [], isLogarithmic = false, format = String } = plot;
  const scale = (value: number) => (isLogarithmic ? Math.log10(Math.max(value, 1e-12)) : value);
  const [low, high] = [scale(plot.lowest), scale(plot.highest)];
  const x = (step: number) => left + ((width - left - 8) * step) / steps;
  const y = (value: number) =>
    height -
    bottom -
    ((height - bottom - top) * (Math.min(high, Math.max(low, scale(value))) - low)) / (high - low || 1);
  const parts: SVGElement[] = [];
  const text = (content: string, attributes: Record<string, string | number>) =>
    parts.push(makeSvg('text', attributes, content));

  for (const value of ticks(plot)) {
    parts.push(makeSvg('line', { class: 'grid', x1: left, x2: width - 8, y1: y(value), y2: y(value) }));
    text(format(value), { class: 'tick', x: left - 5, y: y(value) + 4, 'text-anchor': 'end' });
  }
  for (const step of [0, steps / 2, steps]) {
    text(step === 0 ? 'step 0' : String(Math.round(step)), {
      class: 'tick',
      x: x(step),
      y: height - 6,
      'text-anchor': step === steps ? 'end' : 'start',
    });
  }
  for (const { values, className } of lines) {
    const stride = Math.max(1, Math.ceil(values.length / mostPoints));
    const points: string[] = [];
    for (let from = 0; from < values.length; from += stride) {
      const known = values.slice(from, from + stride).filter((value) => value !== null);
      if (known.length === 0) continue;
      const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
      points.push(`${x(Math.min(from + stride, values.length)).toFixed(1)},${y(mean).toFixed(1)}`);
    }
    parts.push(makeSvg('polyline', { class: `curve ${className}`, points: points.join(' ') }));
  }
  // Labels of vertical lines stand one below the other, below that of a point.
  let lane = marks.some(({ step, value, label }) => step !== undefined && value !== undefined && label) ? 1 : 0;
  for (const { step, value, label, className } of marks) {
    const at = { x: step === undefined ? width - 8 : x(step), y: value === undefined ? top : y(value) };
    if (step !== undefined && value !== undefined)
      parts.push(makeSvg('circle', { class: className, cx: at.x, cy: at.y, r: 4 }));
    else if (step !== undefined)
      parts.push(makeSvg('line', { class: `mark ${className}`, x1: at.x, x2: at.x, y1: top, y2: height - bottom }));
    else parts.push(makeSvg('line', { class: `mark ${className}`, x1: left, x2: at.x, y1: at.y, y2: at.y }));
    const isRight = at.x > 0.8 * width;
    text(label, {
      class: `label ${className}`,
      x: at.x + (isRight ? -6 : 6),
      y: at.y + (value === undefined ? 12 + 24 * lane++ : -5),
      'text-anchor': isRight ? 'end' : 'start',
    });
  }
  svg.replaceChildren(...parts);
}

export function makePlot(label: string): SVGSVGElement {
  return makeSvg('svg', { class: 'plot', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
}

function ticks({ lowest, highest, isLogarithmic }: Plot): number[] {
  if (!isLogarithmic) return [0, 0.25, 0.5, 0.75, 1].map((share) => lowest + share * (highest - lowest));
  const [from, to] = [Math.ceil(Math.log10(lowest) - 1e-9), Math.floor(Math.log10(highest) + 1e-9)];
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => 10 ** (from + i));
}
