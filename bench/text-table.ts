/** Aligned columns under a ruled title row; the first `leftColumns` are aligned left, the others right. */
export function textTable(titles: readonly string[], rows: readonly (readonly string[])[], leftColumns = 1): string {
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i < leftColumns ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(titles), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
