/** One document of sections and pictures, written as text for the terminal, as Markdown and as a page. */

import { alignment, formatTable, type Table } from '../fragments/table.ts';
import { PAGE, PAPER, type Palette, paletteCss } from './palette.ts';
import { escapeMarkup, FONT } from './svg.ts';

/** A picture that is a file of its own and part of the page. */
export interface Picture {
  file: string;
  heading: string;
  /** A few sentences on how to read it. */
  caption: string;
  /** Under its heading as title. */
  draw(title: string, palette: Palette): string;
}

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
  /** What belongs beside the numbers, a short sentence each: a smoke run, what was left out. */
  notes: readonly string[];
  /** Where, when and on what. */
  about: readonly string[];
  parts: readonly (Section | Picture)[];
}

/** For the terminal: everything but the pictures and the long tables. */
export function documentText({ title, introduction, summary, notes, about, parts }: Document): string {
  const sections = (all: Document['parts']) =>
    all
      .filter(isSection)
      .filter(({ long }) => !long)
      .flatMap(({ heading, paragraphs = [], table }) => [
        `${heading}\n${'═'.repeat(heading.length)}`,
        ...paragraphs,
        ...(table ? [formatTable(table)] : []),
      ]);
  return [
    title,
    ...introduction,
    ...sections(summary),
    ...(notes.length > 0 ? [notes.map((note) => `- ${note}`).join('\n')] : []),
    ...about,
    ...sections(parts),
  ].join('\n\n');
}

/** Headings, sentences and tables; the pictures lie beside it as files. */
export function documentMarkdown({ title, introduction, summary, notes, about, parts }: Document): string {
  const written = (all: Document['parts']) =>
    all.flatMap((part) =>
      isSection(part)
        ? [
            `## ${part.heading}`,
            ...(part.paragraphs ?? []).map(escapeCell),
            ...(part.table ? [markdownTable(part.table)] : []),
          ]
        : [`![${part.heading}](${part.file})`, escapeCell(part.caption)],
    );
  const paragraphs = [
    `# ${title}`,
    ...introduction.map(escapeCell),
    ...written(summary),
    ...(notes.length > 0 ? [notes.map((note) => `- ${escapeCell(note)}`).join('\n')] : []),
    ...about.map(escapeCell),
    ...written(parts),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

/** One HTML file that needs no other and no script, on a light or a dark ground. */
export function documentPage({ title, introduction, summary, notes, about, parts }: Document): string {
  const paragraphs = (texts: readonly string[], name = '') =>
    texts.map((text) => `<p${name && ` class="${name}"`}>${escapeMarkup(text)}</p>`).join('\n');
  const written = (part: Section | Picture) =>
    isSection(part)
      ? `<h2>${escapeMarkup(part.heading)}</h2>\n${paragraphs(part.paragraphs ?? [])}${part.table ? folded(part) : ''}`
      : `<figure>${scrolling(part.heading, part.draw(part.heading, PAGE))}<figcaption>${escapeMarkup(part.caption)}</figcaption></figure>`;
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
<h1>${escapeMarkup(title)}</h1>
${paragraphs(introduction)}
${summary.map(written).join('\n')}
${notes.length > 0 ? `<ul>${notes.map((note) => `<li>${escapeMarkup(note)}</li>`).join('')}</ul>` : ''}
${paragraphs(about, 'about')}
${parts.map(written).join('\n')}
</main>
</body>
</html>
`;
}

/** Each picture as a file on a white ground, by its file name. */
export function documentPictures({ parts }: Document): Record<string, string> {
  return Object.fromEntries(parts.filter(isPicture).map(({ file, heading, draw }) => [file, draw(heading, PAPER)]));
}

/** Every picture says under its title that it is no evidence. */
export function markedAsSmoke(document: Document): Document {
  const parts = document.parts.map((part) =>
    isPicture(part) ? { ...part, heading: `${part.heading} (smoke run, not evidence)` } : part,
  );
  return { ...document, parts };
}

export function markdownTable({ columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`;
  const rule = columns.map((_, index) => (alignment(columns, index) === 'left' ? '---' : '---:'));
  return [line(columns.map(({ title }) => title)), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

function htmlTable({ columns, rows }: Table): string {
  const row = (tag: 'th' | 'td', cells: readonly string[]) =>
    `<tr>${cells
      .map((cell, index) => `<${tag} class="${alignment(columns, index)}">${escapeMarkup(cell)}</${tag}>`)
      .join('')}</tr>`;
  const titles = columns.map(({ title }) => title);
  return `<table><thead>${row('th', titles)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('')}</tbody></table>`;
}

function folded({ heading, table, long }: Section): string {
  if (!table) return '';
  const markup = scrolling(heading, htmlTable(table), table.columns.length > 7 ? ' close' : '');
  return long ? `<details><summary>${table.rows.length} rows</summary>${markup}</details>` : markup;
}

/** What is wider than the window scrolls by itself, with a finger or with the arrow keys, and shows a shadow where more is. */
function scrolling(name: string, markup: string, close = ''): string {
  return `<div class="scroll${close}" role="region" tabindex="0" aria-label="${escapeMarkup(name)}">${markup}</div>`;
}

function isSection(part: Section | Picture): part is Section {
  return !isPicture(part);
}

function isPicture(part: Section | Picture): part is Picture {
  return 'draw' in part;
}

// Names of arms and settings hold no markup of their own; what Markdown would take for markup is told from it.
function escapeCell(text: string): string {
  return text.replaceAll(/[|<>*_`]/g, '\\$&');
}

// The first two grounds of .scroll move with its content and cover the shadows of the last two where nothing is hidden.
const STYLE = `body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 ${FONT}; }
main { max-width: 1040px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p, ul, figcaption { margin: 0 0 .5rem; max-width: 46rem; }
ul { margin: 2.5rem 0 1rem; padding-left: 1.1rem; }
ul, p.about, figcaption, summary { color: var(--muted); font-size: .9rem; }
figure { margin: 2.5rem 0 0; }
.scroll { --shade: color-mix(in srgb, var(--ink) 30%, transparent); overflow-x: auto; background:
  linear-gradient(to right, var(--paper) 40%, transparent) left / 3rem 100%,
  linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100%,
  linear-gradient(to right, var(--shade), transparent) left / 1rem 100%,
  linear-gradient(to left, var(--shade), transparent) right / 1rem 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll; }
svg { display: block; width: 100%; min-width: 680px; height: auto; }
.ground { fill: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); }
.left { text-align: left; }
.close th, .close td { padding: .25rem .5rem; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 800px) {
  th, td { padding: .25rem .5rem; font-size: .85rem; }
  .left { white-space: normal; min-width: 7rem; }
}`;
