export interface Column {
  title: string;
  align?: 'left' | 'right';
}

/** A table whose cells are already text; drawn as plain text here and as HTML by the report. */
export interface Table {
  columns: readonly Column[];
  rows: readonly (readonly string[])[];
}

const GAP = '  ';

/**
 * Aligned columns under a ruled title row, ready to print. The first column is left-aligned and the others are
 * right-aligned unless they say otherwise.
 *
 * @throws {RangeError} a row has more or fewer cells than there are columns.
 */
export function formatTable({ columns, rows }: Table): string {
  for (const row of rows) {
    if (row.length !== columns.length) {
      throw new RangeError(`a row of this table has ${columns.length} cells, got ${row.length}: ${row.join(' | ')}`);
    }
  }
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, index) => Math.max(...[titles, ...rows].map((row) => row[index]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) =>
        alignment(columns, index) === 'left' ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!),
      )
      .join(GAP)
      .trimEnd();
  return [line(titles), widths.map((width) => '─'.repeat(width)).join(GAP), ...rows.map(line)].join('\n');
}

export function alignment(columns: readonly Column[], index: number): 'left' | 'right' {
  return columns[index]?.align ?? (index === 0 ? 'left' : 'right');
}
