import type { Palette } from './palette.ts';
import { escapeMarkup, svgDocument } from './svg.ts';

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
  /** How its sample looks. */
  sample: 'line' | 'dashes' | 'ground' | 'dot' | 'ring' | 'triangle' | 'star';
}

/** A picture under its title and legend, on its own ground. `content` gets the height that they take. */
export function framedPicture(
  options: {
    title: string;
    legend?: readonly LegendEntry[];
    /** Of the content alone. */
    height: number;
    palette: Palette;
  },
  content: (top: number) => string,
): string {
  const { title, legend = [], palette } = options;
  const key = legendMarkup(legend, palette);
  const top = TITLE_HEIGHT + key.height;
  const height = Math.ceil(top + options.height);
  return svgDocument(
    PICTURE_WIDTH,
    height,
    title,
    `<rect width="${PICTURE_WIDTH}" height="${height}" fill="${palette.paper}"/>` +
      `<text x="${EDGE}" y="24" font-size="16" font-weight="600" fill="${palette.ink}">${escapeMarkup(title)}</text>` +
      key.markup +
      content(top),
  );
}

/** A line of text by itself, for what Plot's axes would put elsewhere. */
export function label(
  x: number,
  y: number,
  words: string,
  colour: string,
  { anchor = 'start', size = PICTURE_FONT_SIZE }: { anchor?: 'start' | 'middle' | 'end'; size?: number } = {},
): string {
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" text-anchor="${anchor}" fill="${colour}">${escapeMarkup(words)}</text>`;
}

export function round(value: number): number {
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

function sampleMarkup({ colour, sample }: LegendEntry, palette: Palette): string {
  switch (sample) {
    case 'line':
      return `<path d="M0,0H24" stroke="${colour}" stroke-width="2"/>`;
    case 'dashes':
      return `<path d="M0,0H24" stroke="${colour}" stroke-width="1.5" stroke-dasharray="4 3"/>`;
    case 'ground':
      return `<rect y="-7" width="24" height="14" fill="${colour}" stroke="${palette.line}"/>`;
    case 'dot':
      return `<circle cx="12" r="4.5" fill="${colour}"/>`;
    case 'ring':
      return `<circle cx="12" r="4.5" stroke="${colour}" stroke-width="1.8"/>`;
    case 'triangle':
      return `<path d="M12,-5.5L17.5,4.5H6.5Z" fill="${colour}"/>`;
    default:
      return `<path d="M12,-6V6M6.8,-3L17.2,3M6.8,3L17.2,-3" stroke="${colour}" stroke-width="1.8"/>`;
  }
}
