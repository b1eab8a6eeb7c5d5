import { alignment, type Table } from '../fragments/table.ts';
import { paletteCss } from './palette.ts';
import { escapeMarkup, FONT } from './svg.ts';

/** One HTML file that needs no other, on a light or a dark ground. `body` is markup already. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>
${paletteCss()}
${STYLE}
</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

const STYLE = `body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 ${FONT}; }
main { max-width: 1040px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: 0 0 1.5rem; color: var(--muted); max-width: 46rem; }
p.finding { color: var(--ink); margin: 0 0 .5rem; }
p.warning { color: var(--live); font-weight: 600; }
figure { margin: 0; }
.picture { margin: 2.5rem 0 0; }
.picture svg { min-width: 640px; }
.picture figcaption { color: var(--muted); font-size: .9rem; margin-top: .25rem; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 720px; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); }
details { margin: 0 0 1rem; }
summary { cursor: pointer; color: var(--muted); }
.left { text-align: left; }
.close th, .close td { padding: .25rem .5rem; font-size: .85rem; }
@media (max-width: 800px) { th, td { padding: .25rem .5rem; font-size: .85rem; } }
.key { display: inline-block; margin-right: 1.25rem; color: var(--muted); font-size: .9rem; }
.key i { display: inline-block; width: 1.5rem; height: 3px; margin-right: .4rem; vertical-align: middle; }`;

export function figure(heading: string, content: string): string {
  return `<h2>${escapeMarkup(heading)}</h2>\n<figure class="scroll">${content}</figure>`;
}

/** @param close - for many columns: smaller, with less air. */
export function htmlTable({ columns, rows }: Table, close = false): string {
  const cell = (tag: 'th' | 'td', content: string, index: number) =>
    `<${tag}${alignment(columns, index) === 'left' ? ' class="left"' : ''}>${escapeMarkup(content)}</${tag}>`;
  const row = (tag: 'th' | 'td', cells: readonly string[]) =>
    `<tr>${cells.map((content, index) => cell(tag, content, index)).join('')}</tr>`;
  const titles = columns.map(({ title }) => title);
  const table = close ? '<table class="close">' : '<table>';
  return `<div class="scroll">${table}<thead>${row('th', titles)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('')}</tbody></table></div>`;
}
