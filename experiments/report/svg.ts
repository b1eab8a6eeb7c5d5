/** The inside of a plot, without a browser, and the SVG file around it. */

import { type PlotOptions, plot } from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escapeHtml } from '../../command/text-table.ts';

export const FONT = 'system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif';

/** The drawing of a plot as the inside of an SVG, without the style sheet that would resize it. */
export function plotMarkup(options: PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const drawing = plot({ ...options, document });
  for (const style of drawing.querySelectorAll('style')) style.remove();
  return drawing.innerHTML;
}

/** A whole SVG file, or the inside of a page. */
export function svgDocument(width: number, height: number, label: string, content: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `role="img" aria-label="${escapeHtml(label)}" font-family="${escapeHtml(FONT)}">${content}</svg>`
  );
}

/** A plot's inside, moved into its place in a larger picture. */
export function placed(x: number, y: number, fontSize: number, ink: string, content: string): string {
  return `<g transform="translate(${x},${y})" fill="${ink}" font-size="${fontSize}" text-anchor="middle">${content}</g>`;
}
