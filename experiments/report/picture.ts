/** A picture as an SVG file, made without a browser: title, legend, and what plots draw. */

import { dot, type PlotOptions, plot, type SymbolName } from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escapeHtml } from '../../command/text-table.ts';
import { palette } from './palette.ts';

export const FONT = 'system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
export const PICTURE_WIDTH = 1000;
export const PICTURE_FONT_SIZE = 12;
export const EDGE = 16;
const TITLE_HEIGHT = 34;
const LEGEND_ROW = 20;

/** Of a text of the size of a picture's, on the safe side: nothing measures text where pictures are drawn. */
export function textWidth(words: string): number {
  return 6.6 * words.length;
}

export interface LegendEntry {
  colour: string;
  words: string;
  /** How its sample looks: a line, a filled patch, or a mark. */
  sample: 'line' | 'dashes' | 'dots' | 'ground' | SymbolName;
  /** A mark of which only the outline is drawn. */
  hollow?: boolean;
}

export interface PictureOptions {
  title: string;
  /** What the picture shows, for those who do not see it; the title alone by default. */
  description?: string;
  legend: readonly LegendEntry[];
}

/** The drawing of a plot as the inside of an SVG, without the style sheet that would resize it. */
export function plotMarkup(options: PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const drawing = plot({ ...options, document });
  for (const style of drawing.querySelectorAll('style')) style.remove();
  return drawing.innerHTML;
}

/** A picture on its own ground. `content`, of the given height, is told how much title and legend take. */
export function framedPicture(
  { title, description, legend }: PictureOptions,
  contentHeight: number,
  content: (top: number) => string,
): string {
  const key = legendMarkup(legend);
  const top = TITLE_HEIGHT + key.height;
  const height = Math.ceil(top + contentHeight);
  const words = description === undefined ? title : `${title}. ${description}`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PICTURE_WIDTH} ${height}" width="${PICTURE_WIDTH}" height="${height}" ` +
    `role="img" aria-label="${escapeHtml(words)}" font-family="${escapeHtml(FONT)}">` +
    `<rect class="ground" width="${PICTURE_WIDTH}" height="${height}" fill="${palette.paper}"/>` +
    `<text x="${EDGE}" y="24" font-size="16" font-weight="600" fill="${palette.ink}">${escapeHtml(title)}</text>` +
    `${key.markup}${content(top)}</svg>`
  );
}

/** A line of text by itself, for what Plot's axes would put elsewhere. */
export function label(
  x: number,
  y: number,
  words: string,
  colour: string,
  { anchor = 'start', weight = 400 }: { anchor?: 'start' | 'end'; weight?: number } = {},
): string {
  return `<text x="${round(x)}" y="${round(y)}" font-size="${PICTURE_FONT_SIZE}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${escapeHtml(words)}</text>`;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}

function legendMarkup(entries: readonly LegendEntry[]): { markup: string; height: number } {
  let x = EDGE;
  let row = 0;
  const markup = entries.map((entry) => {
    const width = 32 + textWidth(entry.words) + 18;
    if (x > EDGE && x + width > PICTURE_WIDTH - EDGE) {
      x = EDGE;
      row++;
    }
    const placed =
      `<g transform="translate(${round(x)},${TITLE_HEIGHT + 10 + row * LEGEND_ROW})" fill="none">${sampleMarkup(entry)}` +
      `${label(30, 4, entry.words, palette.muted)}</g>`;
    x += width;
    return placed;
  });
  return { markup: markup.join(''), height: entries.length === 0 ? 0 : (row + 1) * LEGEND_ROW + 6 };
}

function sampleMarkup({ colour, sample, hollow }: LegendEntry): string {
  const dashes = { line: 'none', dashes: '4 3', dots: '1 3' };
  if (sample === 'line' || sample === 'dashes' || sample === 'dots') {
    return `<path d="M0,0H24" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashes[sample]}"/>`;
  }
  if (sample === 'ground') return `<rect y="-7" width="24" height="14" fill="${colour}" stroke="${palette.line}"/>`;
  const outlined = hollow || sample === 'asterisk';
  const mark = plotMarkup({
    width: 24,
    height: 14,
    margin: 0,
    axis: null,
    marks: [
      dot([0], {
        frameAnchor: 'middle',
        symbol: sample,
        r: 5,
        ...(outlined ? { stroke: colour, strokeWidth: 1.8 } : { fill: colour }),
      }),
    ],
  });
  return `<g transform="translate(0,-7)">${mark}</g>`;
}
