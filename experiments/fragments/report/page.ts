import { alignment, type Table } from '../table.ts';
import { armColour, drawAccuracies, drawLosses } from './curves.ts';
import type { ReportData } from './data.ts';
import { PAGE, paletteCss } from './palette.ts';
import { drawSignals } from './signals.ts';
import { escapeMarkup, FONT } from './svg.ts';
import { drawTimeline } from './timeline.ts';

/** One HTML file that needs no other: the pictures of a run and its final table, on a light or a dark ground. */
export function reportPage(data: ReportData): string {
  const accuracies = drawAccuracies(data, PAGE);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(data.title)}</title>
<style>
${paletteCss()}
${STYLE}
</style>
</head>
<body>
<main>
<h1>${escapeMarkup(data.title)}</h1>
<p>${escapeMarkup(data.summary)}</p>
${htmlTable(data.table)}
${figure('Gradient signals', drawSignals(data, PAGE))}
${figure('What still learns', drawTimeline(data, PAGE))}
${figure('Training loss', armLegend(data) + drawLosses(data, PAGE))}
${accuracies === '' ? '' : figure('Accuracy on held-out files', armLegend(data) + accuracies)}
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
figure { margin: 0; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 720px; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); }
.left { text-align: left; }
.key { display: inline-block; margin-right: 1.25rem; color: var(--muted); font-size: .9rem; }
.key i { display: inline-block; width: 1.5rem; height: 3px; margin-right: .4rem; vertical-align: middle; }`;

function figure(heading: string, content: string): string {
  return `<h2>${heading}</h2>\n<figure class="scroll">${content}</figure>`;
}

function armLegend(data: ReportData): string {
  const keys = data.arms.map(
    ({ name }, index) =>
      `<span class="key"><i style="background:${armColour(index, PAGE)}"></i>${escapeMarkup(name)}</span>`,
  );
  return `<figcaption>${keys.join('')}</figcaption>`;
}

function htmlTable({ columns, rows }: Table): string {
  const cell = (tag: 'th' | 'td', content: string, index: number) =>
    `<${tag}${alignment(columns, index) === 'left' ? ' class="left"' : ''}>${escapeMarkup(content)}</${tag}>`;
  const row = (tag: 'th' | 'td', cells: readonly string[]) =>
    `<tr>${cells.map((content, index) => cell(tag, content, index)).join('')}</tr>`;
  const titles = columns.map(({ title }) => title);
  return `<div class="scroll"><table><thead>${row('th', titles)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('')}</tbody></table></div>`;
}
