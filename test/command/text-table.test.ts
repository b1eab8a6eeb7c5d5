import { expect, test } from 'vitest';
import { htmlTable, markdownTable, tableOf, textTable } from '../../command/text-table.ts';

const columns = [{ title: 'arm' }, { title: 'steps' }, { title: 'note', align: 'left' as const }];
const rows = [
  ['full', '1500', 'to the end'],
  ['a|b', '990', '<stopped>'],
];

test('columns are aligned, names to the left and figures to the right', () => {
  expect(textTable({ columns, rows })).toBe(
    ['arm   steps  note', '────  ─────  ──────────', 'full   1500  to the end', 'a|b     990  <stopped>'].join('\n'),
  );
  expect(() => textTable({ columns, rows: [['full']] })).toThrow('a row of this table has 3 cells, got 1: full');
});

test('the same table in Markdown and in HTML, what looks like markup told from it', () => {
  expect(markdownTable({ columns, rows })).toBe(
    [
      '| arm | steps | note |',
      '| --- | ---: | --- |',
      '| full | 1500 | to the end |',
      '| a\\|b | 990 | \\<stopped\\> |',
    ].join('\n'),
  );
  expect(htmlTable({ columns, rows: rows.slice(1) }, 'close')).toBe(
    '<table class="close"><thead><tr><th class="left">arm</th><th>steps</th><th class="left">note</th></tr></thead>' +
      '<tbody><tr><td class="left">a|b</td><td>990</td><td class="left">&lt;stopped&gt;</td></tr></tbody></table>',
  );
});

test('a table says of each item what its columns say, and leaves out the column that says nothing', () => {
  const items = [
    { on: 'cpu', by: 'us', ms: 12.5 },
    { on: 'webgpu', by: 'us', ms: null },
  ];
  const table = tableOf(items, 2, {
    on: ({ on }) => on,
    by: ({ by }) => by,
    ms: ({ ms }) => ms?.toFixed(1),
    GFLOP: () => null,
  });
  expect(textTable(table)).toBe(
    ['on      by    ms', '──────  ──  ────', 'cpu     us  12.5', 'webgpu  us     –'].join('\n'),
  );
  expect(tableOf([], 1, { on: () => 'cpu' })).toEqual({ columns: [], rows: [] });
});
