/** A picture under its title and legend. What a plot draws is put inside by `placed`. */

import { dot, type SymbolName } from '@observablehq/plot';
import { escapeHtml } from '../../command/text-table.ts';
import type { Palette } from './palette.ts';
import { plotMarkup, svgDocument } from './svg.ts';

export const PICTURE_WIDTH = 1000;
export const PICTURE_FONT_SIZE = 12;
const EDGE = 16;
const TITLE_HEIGHT = 34;
const LEGEND_ROW = 20;
/** Width of a letter of the legend, on the safe side: nothing measures text where pictures are drawn. */
const LETTER = 6.6;

export interface LegendEntry {
  colour: string;
  words: string;
  /** How its sample looks: a line, a filled patch, or a mark. */
  sample: 'line' | 'dashes' | 'dots' | 'ground' | SymbolName;
  /** A mark of which only the outline is drawn. */
  hollow?: boolean;
}

/** A picture on its own ground. `content` gets the height that title and legend take. */
export function framedPicture(
  options: {
    title: string;
    /** What the picture shows, for those who do not see it; the title alone by default. */
    description?: string;
    legend?: readonly LegendEntry[];
    /** Of the content alone. */
    height: number;
    palette: Palette;
  },
  content: (top: number) => string,
): string {
  const { title, description, legend = [], palette } = options;
  const key = legendMarkup(legend, palette);
  const top = TITLE_HEIGHT + key.height;
  const height = Math.ceil(top + options.height);
  return svgDocument(
    PICTURE_WIDTH,
    height,
    description === undefined ? title : `${title}. ${description}`,
    `<rect class="ground" width="${PICTURE_WIDTH}" height="${height}" fill="${palette.paper}"/>` +
      `<text x="${EDGE}" y="24" font-size="16" font-weight="600" fill="${palette.ink}">${escapeHtml(title)}</text>` +
      key.markup +
      content(top),
  );
}

interface LabelOptions {
  anchor?: 'start' | 'middle' | 'end';
  size?: number;
  weight?: number;
}

/** A line of text by itself, for what Plot's axes would put elsewhere. */
export function label(
  x: number,
  y: number,
  words: string,
  colour: string,
  { anchor = 'start', size = PICTURE_FONT_SIZE, weight = 400 }: LabelOptions = {},
): string {
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${escapeHtml(words)}</text>`;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}

function legendMarkup(entries: readonly LegendEntry[], palette: Palette): { markup: string; height: number } {
  let x = EDGE;
  let row = 0;
  const markup = entries.map((entry) => {
    const width = 32 + LETTER * entry.words.length + 18;
    if (x > EDGE && x + width > PICTURE_WIDTH - EDGE) {
      x = EDGE;
      row++;
    }
    const placed =
      `<g transform="translate(${round(x)},${TITLE_HEIGHT + 10 + row * LEGEND_ROW})" fill="none">${sampleMarkup(entry, palette)}` +
      `${label(30, 4, entry.words, palette.muted)}</g>`;
    x += width;
    return placed;
  });
  return { markup: markup.join(''), height: entries.length === 0 ? 0 : (row + 1) * LEGEND_ROW + 6 };
}

function sampleMarkup({ colour, sample, hollow }: LegendEntry, palette: Palette): string {
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
