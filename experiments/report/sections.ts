import { alignment, formatTable, type Table } from '../fragments/table.ts';
import { htmlPage, htmlTable } from './page.ts';
import { PAGE, PAPER, type Palette } from './palette.ts';
import { escapeMarkup } from './svg.ts';

/** A picture that is a file of its own and part of the page. */
export interface Picture {
  file: string;
  heading: string;
  /** One or two sentences on how to read it. */
  caption: string;
  draw(palette: Palette): string;
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
  /** What must be read before any number: a smoke run, what was left out. */
  warnings: readonly string[];
  /** Where, when and on what. */
  about: readonly string[];
  parts: readonly (Section | Picture)[];
}

/** For the terminal: everything but the pictures and the long tables. */
export function documentText({ title, warnings, about, parts }: Document): string {
  const sections = parts.filter(isSection).filter(({ long }) => !long);
  const paragraphs = [
    title,
    ...warnings,
    ...about,
    ...sections.flatMap(({ heading, paragraphs = [], table }) => [
      `${heading}\n${'═'.repeat(heading.length)}`,
      ...paragraphs,
      ...(table ? [formatTable(table)] : []),
    ]),
  ];
  return paragraphs.join('\n\n');
}

/** Headings, sentences and tables; the pictures lie beside it as files. */
export function documentMarkdown({ title, warnings, about, parts }: Document): string {
  const paragraphs = [
    `# ${title}`,
    ...warnings.map((warning) => `**${escapeCell(warning)}**`),
    ...about.map(escapeCell),
    ...parts.flatMap((part) =>
      isSection(part)
        ? [
            `## ${part.heading}`,
            ...(part.paragraphs ?? []).map(escapeCell),
            ...(part.table ? [markdownTable(part.table)] : []),
          ]
        : [`![${part.heading}](${part.file})`],
    ),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

/** One HTML file that needs no other and no script. */
export function documentPage({ title, warnings, about, parts }: Document): string {
  const paragraph = (text: string, name?: string) =>
    `<p${name === undefined ? '' : ` class="${name}"`}>${escapeMarkup(text)}</p>`;
  return htmlPage(
    title,
    [
      `<h1>${escapeMarkup(title)}</h1>`,
      ...warnings.map((warning) => paragraph(warning, 'warning')),
      ...about.map((text) => paragraph(text)),
      ...parts.flatMap((part) =>
        isSection(part)
          ? [
              `<h2>${escapeMarkup(part.heading)}</h2>`,
              ...(part.paragraphs ?? []).map((text) => paragraph(text, 'finding')),
              ...(part.table ? [folded(part.table, part.long ?? false)] : []),
            ]
          : [
              `<figure class="picture"><div class="scroll">${part.draw(PAGE)}</div>` +
                `<figcaption>${escapeMarkup(part.caption)}</figcaption></figure>`,
            ],
      ),
    ].join('\n'),
  );
}

/** Each picture as a file on a white ground, by its file name. */
export function documentPictures({ parts }: Document): Record<string, string> {
  return Object.fromEntries(parts.filter(isPicture).map(({ file, draw }) => [file, draw(PAPER)]));
}

export function markdownTable({ columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`;
  const rule = columns.map((_, index) => (alignment(columns, index) === 'left' ? '---' : '---:'));
  return [line(columns.map(({ title }) => title)), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

function isSection(part: Section | Picture): part is Section {
  return !isPicture(part);
}

function isPicture(part: Section | Picture): part is Picture {
  return 'draw' in part;
}

function folded(table: Table, long: boolean): string {
  const markup = htmlTable(table, table.columns.length > 7);
  return long ? `<details><summary>${table.rows.length} rows</summary>${markup}</details>` : markup;
}

// Names of arms and settings hold no markup of their own; what Markdown would take for markup is told from it.
function escapeCell(text: string): string {
  return text.replaceAll(/[|<>*_`]/g, '\\$&');
}
