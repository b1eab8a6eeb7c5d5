import { figure, htmlPage, htmlTable } from '../../report/page.ts';
import { PAGE } from '../../report/palette.ts';
import { escapeMarkup } from '../../report/svg.ts';
import { armColour, drawAccuracies, drawLosses } from './curves.ts';
import type { ReportData } from './data.ts';
import { drawSignals } from './signals.ts';
import { drawTimeline } from './timeline.ts';

/** One HTML file that needs no other: the pictures of a run and its final table, on a light or a dark ground. */
export function reportPage(data: ReportData): string {
  const accuracies = drawAccuracies(data, PAGE);
  return htmlPage(
    data.title,
    `<h1>${escapeMarkup(data.title)}</h1>
<p>${escapeMarkup(data.summary)}</p>
${htmlTable(data.table)}
${figure('Gradient signals', drawSignals(data, PAGE))}
${figure('What still learns', drawTimeline(data, PAGE))}
${figure('Training loss', armLegend(data) + drawLosses(data, PAGE))}
${accuracies === '' ? '' : figure('Accuracy on held-out files', armLegend(data) + accuracies)}`,
  );
}

function armLegend(data: ReportData): string {
  const keys = data.arms.map(
    ({ name }, index) =>
      `<span class="key"><i style="background:${armColour(index, PAGE)}"></i>${escapeMarkup(name)}</span>`,
  );
  return `<figcaption>${keys.join('')}</figcaption>`;
}
