/** One document of sections and pictures, written as text for the terminal, as Markdown and as a page. */

import { type RunFolder, writeResults } from '../../command/run-folder.ts';
import {
  escapeHtml,
  escapeMarkdown,
  htmlTable,
  markdownTable,
  type Table,
  textTable,
} from '../../command/text-table.ts';
import { gradesInWords } from './explanations.ts';
import { onWhite, paletteCss } from './palette.ts';
import { FONT } from './picture.ts';

/** A picture that is a file of its own and part of the page. */
export interface Picture {
  file: string;
  heading: string;
  /** A few sentences on how to read it. */
  caption: string;
  /** Under its heading as title. */
  draw(title: string): string;
}

/** Left out where its table has no rows. */
export interface Section {
  heading: string;
  /** Said before the table. */
  paragraphs?: readonly string[];
  table?: Table;
  /** Many rows: folded on the page, left out in the terminal. */
  long?: boolean;
}

export interface Document {
  title: string;
  /** What this is about, for a reader who has never heard of it. */
  introduction: readonly string[];
  /** What was found. */
  summary: readonly Section[];
  /** What belongs beside the numbers, a short sentence each: a smoke run, where and when, what was left out. */
  notes: readonly string[];
  parts: readonly (Section | Picture)[];
}

/** When, where and with what results were made. */
export interface Circumstances {
  /** 'smoke' for quick runs, which prove nothing. */
  kind: 'full' | 'smoke';
  date: string;
  machine: string;
  device: { kind: string; adapter: string };
  model: string;
}

/** What every report of an experiment begins with. */
export function beginning(
  { kind, date, machine, device, model }: Circumstances,
  title: string,
  notes: readonly string[],
): Pick<Document, 'title' | 'introduction' | 'notes'> {
  const isSmoke = kind === 'smoke';
  const warning = 'Smoke run, not evidence. It shows that everything runs from end to end; its numbers say nothing.';
  const circumstances = `${date}. ${machine}. Device: ${device.kind}, ${device.adapter}. Model: ${model}.`;
  return {
    title: isSmoke ? `Smoke run, not evidence: ${title}` : title,
    introduction: [gradesInWords],
    notes: [...(isSmoke ? [warning] : []), circumstances, ...notes],
  };
}

/** How each thing that a document holds is written. */
interface Form {
  heading(text: string): string;
  paragraph(text: string): string;
  notes(texts: readonly string[]): string;
  table(table: Table, section: Section): string;
  picture(picture: Picture): string;
}

/** Everything under the title, in the order in which it is read. */
function written({ introduction, summary, notes, parts }: Document, form: Form): string[] {
  const part = (each: Section | Picture) => {
    if (isPicture(each)) return [form.picture(each)];
    const { heading, paragraphs = [], table } = each;
    if (table?.rows.length === 0) return [];
    return [form.heading(heading), ...paragraphs.map(form.paragraph), ...(table ? [form.table(table, each)] : [])];
  };
  return [
    ...introduction.map(form.paragraph),
    ...summary.flatMap(part),
    ...(notes.length > 0 ? [form.notes(notes)] : []),
    ...parts.flatMap(part),
  ];
}

/** For the terminal: everything but the pictures and the long tables. */
export function documentText(document: Document): string {
  const parts = document.parts.filter((part) => !isPicture(part) && !part.long);
  const blocks = written(
    { ...document, parts },
    {
      heading: (text) => `${text}\n${'═'.repeat(text.length)}`,
      paragraph: (text) => text,
      notes: (texts) => texts.map((text) => `- ${text}`).join('\n'),
      table: textTable,
      picture: ({ file }) => file,
    },
  );
  return [document.title, ...blocks].join('\n\n');
}

/** Headings, sentences and tables; the pictures lie beside it as files. */
export function documentMarkdown(document: Document): string {
  const blocks = written(document, {
    heading: (text) => `## ${text}`,
    paragraph: escapeMarkdown,
    notes: (texts) => texts.map((text) => `- ${escapeMarkdown(text)}`).join('\n'),
    table: markdownTable,
    picture: ({ heading, file, caption }) => `![${heading}](${file})\n\n${escapeMarkdown(caption)}`,
  });
  return `${[`# ${document.title}`, ...blocks].join('\n\n')}\n`;
}

/** One HTML file that needs no other and no script, on a light or a dark ground. */
export function documentPage(document: Document): string {
  const title = escapeHtml(document.title);
  const blocks = written(document, {
    heading: (text) => `<h2>${escapeHtml(text)}</h2>`,
    paragraph: (text) => `<p>${escapeHtml(text)}</p>`,
    notes: (texts) => `<ul>${texts.map((text) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`,
    table: (table, { heading, long }) => {
      const markup = scrolling(heading, htmlTable(table, table.columns.length > 6 ? 'close' : ''));
      return long ? `<details><summary>${table.rows.length} rows</summary>${markup}</details>` : markup;
    },
    picture: ({ heading, caption, draw }) =>
      `<figure>${scrolling(heading, draw(heading))}<figcaption>${escapeHtml(caption)}</figcaption></figure>`,
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
${paletteCss()}
${STYLE}
</style>
</head>
<body>
<main>
<h1>${title}</h1>
${blocks.join('\n')}
</main>
</body>
</html>
`;
}

/**
 * Ends a run. On the terminal and in its folder: the page, its pictures, and its tables in Markdown; then the results, in a file of
 * the folder and where `--json` says. What cannot be written keeps nothing else from it.
 *
 * @throws the first error.
 */
export function writeReport(
  folder: RunFolder,
  document: Document,
  { file, results, json }: { file: string; results: object; json: string | null },
): void {
  console.log(`\n${documentText(document)}\n`);
  const failures: unknown[] = [];
  for (const write of [
    ...Object.entries(documentPictures(document)).map((picture) => () => folder.write(...picture)),
    () => folder.write('tables.md', documentMarkdown(document)),
    () => console.log(`The whole report as a page: ${folder.write('report.html', documentPage(document))}`),
    () => folder.writeJson(file, results),
    () => json !== null && writeResults(json, results),
  ]) {
    try {
      write();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  folder.close();
}

/** Each picture as a file on a white ground, by its file name. */
export function documentPictures({ parts }: Document): Record<string, string> {
  return Object.fromEntries(parts.filter(isPicture).map(({ file, heading, draw }) => [file, onWhite(draw(heading))]));
}

/** Every picture says under its title that it is no evidence. */
export function markedAsSmoke(document: Document): Document {
  const parts = document.parts.map((part) =>
    isPicture(part) ? { ...part, heading: `${part.heading} (smoke run, not evidence)` } : part,
  );
  return { ...document, parts };
}

/** What is wider than the window scrolls by itself, with a finger or with the arrow keys, and shows a shadow where more is. */
function scrolling(name: string, markup: string): string {
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(name)}">${markup}</div>`;
}

function isPicture(part: Section | Picture): part is Picture {
  return 'draw' in part;
}

// The first two grounds of .scroll move with its content and cover the shadows of the last two where nothing is hidden.
const STYLE = `body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 ${FONT}; }
main { max-width: 1040px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p, ul, figcaption { margin: 0 0 .5rem; max-width: 46rem; }
ul { margin: 2.5rem 0 1rem; padding-left: 1.1rem; }
ul, figcaption, summary { color: var(--muted); font-size: .9rem; }
figure { margin: 2.5rem 0 0; }
.scroll { --shade: color-mix(in srgb, var(--ink) 25%, transparent); overflow-x: auto; background:
  linear-gradient(to right, var(--paper) 40%, transparent) left / 3rem 100%,
  linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100%,
  linear-gradient(to right, var(--shade), transparent) left / 1rem 100%,
  linear-gradient(to left, var(--shade), transparent) right / 1rem 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll; }
svg { display: block; width: 100%; min-width: 680px; height: auto; }
.ground { fill: none; }
table { border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); }
.left { text-align: left; white-space: normal; min-width: 5.5rem; }
.close th, .close td { padding: .25rem .5rem; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 800px) {
  th, td { padding: .25rem .5rem; font-size: .85rem; }
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
}`;
