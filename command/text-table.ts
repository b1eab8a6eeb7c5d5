/** One table of texts, drawn for a terminal, as Markdown and as HTML. */

export interface Column {
  readonly title: string;
  /** The first column is aligned left and the others right unless they say otherwise. */
  readonly align?: 'left' | 'right';
}

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

/** What stands where there is nothing to say. */
export const absent = '–';

/** A column by its title: what it says of an item, null where there is nothing to say. */
export type Columns<Item> = Readonly<Record<string, (item: Item) => string | null | undefined>>;

/** A row for each item. The first `leftColumns` hold words; a column that says nothing of any item is left out. */
export function tableOf<Item>(items: readonly Item[], leftColumns: number, columns: Columns<Item>): Table {
  const kept = Object.entries(columns).filter(([, cell]) => items.some((item) => cell(item) != null));
  return {
    columns: kept.map(([title], i) => ({ title, align: i < leftColumns ? 'left' : 'right' })),
    rows: items.map((item) => kept.map(([, cell]) => cell(item) ?? absent)),
  };
}

/**
 * Aligned columns under a ruled title row.
 *
 * @throws {RangeError} a row has more or fewer cells than there are columns.
 */
export function textTable({ columns, rows }: Table): string {
  const gap = '  ';
  for (const row of rows) {
    if (row.length !== columns.length) {
      throw new RangeError(`a row of this table has ${columns.length} cells, got ${row.length}: ${row.join(' | ')}`);
    }
  }
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, i) => Math.max(...[titles, ...rows].map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (isLeft(columns, i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join(gap)
      .trimEnd();
  return [line(titles), widths.map((width) => '─'.repeat(width)).join(gap), ...rows.map(line)].join('\n');
}

export function markdownTable({ columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  const rule = columns.map((_, i) => (isLeft(columns, i) ? '---' : '---:'));
  return [line(columns.map(({ title }) => title)), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** A `<table>`; left columns have the class `left`. */
export function htmlTable({ columns, rows }: Table, className = ''): string {
  const cell = (tag: 'th' | 'td', content: string, i: number) =>
    `<${tag}${isLeft(columns, i) ? ' class="left"' : ''}>${escapeHtml(content)}</${tag}>`;
  const row = (tag: 'th' | 'td', cells: readonly string[]) =>
    `<tr>${cells.map((content, i) => cell(tag, content, i)).join('')}</tr>`;
  const head = row(
    'th',
    columns.map(({ title }) => title),
  );
  const body = rows.map((cells) => row('td', cells)).join('');
  return `<table${className && ` class="${className}"`}><thead>${head}</thead><tbody>${body}</tbody></table>`;
}

/** Text that Markdown would take for markup, told from it. */
export function escapeMarkdown(text: string): string {
  return text.replaceAll(/[|<>*_`]/g, '\\$&');
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function isLeft(columns: readonly Column[], i: number): boolean {
  return (columns[i].align ?? (i === 0 ? 'left' : 'right')) === 'left';
}
