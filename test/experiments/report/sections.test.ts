import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { RunFolder } from '../../../command/run-folder.ts';
import { palette } from '../../../experiments/report/palette.ts';
import {
  type Document,
  documentMarkdown,
  documentPage,
  documentPictures,
  documentText,
  markedAsSmoke,
  writeReport,
} from '../../../experiments/report/sections.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const table = { columns: [{ title: 'arm' }], rows: [['full']] };
const madeUp: Document = {
  title: 'A title',
  introduction: ['What it is about.'],
  summary: [{ heading: 'What was found', paragraphs: ['A finding.'] }],
  notes: ['Left out: much.', 'Somewhere, some time.'],
  parts: [
    {
      file: 'a.svg',
      heading: 'A picture',
      caption: 'How to read it.',
      draw: (title) => `<svg><title>${title} on ${palette.paper}</title></svg>`,
    },
    { heading: 'A table', table },
    { heading: 'A long table', table, long: true },
  ],
};

test.each([
  ['text', documentText(madeUp)],
  ['Markdown', documentMarkdown(madeUp)],
  ['a page', documentPage(madeUp)],
])('as %s, a document says what it is about, what was found, and only then what was left out', (_, written) => {
  const order = ['A title', 'What it is about.', 'A finding.', 'Left out: much.', 'Somewhere', 'A table'];
  const places = order.map((words) => written.indexOf(words));
  expect(places).not.toContain(-1);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

test('the terminal has neither pictures nor long tables, the page folds them', () => {
  expect(documentText(madeUp)).not.toMatch(/picture|a\.svg|A long table/);
  expect(documentMarkdown(madeUp)).toContain('![A picture](a.svg)\n\nHow to read it.');
  expect(documentPage(madeUp)).toContain('<details><summary>1 rows</summary>');
});

test('what is wider than the window scrolls by itself, has a name, and can be reached by the keyboard', () => {
  const page = documentPage(madeUp);
  for (const name of ['A picture', 'A table']) {
    expect(page).toContain(`<div class="scroll" role="region" tabindex="0" aria-label="${name}">`);
  }
});

test('a picture is drawn on white as a file and follows the page on it', () => {
  expect(documentPictures(madeUp)['a.svg']).toContain('A picture on #ffffff');
  expect(documentPage(madeUp)).toContain('A picture on var(--paper)');
  expect(documentPictures(markedAsSmoke(madeUp))['a.svg']).toContain('A picture (smoke run, not evidence) on');
});

test('what cannot be written keeps neither the terminal nor the other files from the results', () => {
  const path = temporaryFolder();
  for (const inTheWay of ['a.svg', 'report.html']) mkdirSync(join(path, inTheWay));
  const folder = RunFolder.create(path, {});
  const print = vi.spyOn(console, 'log').mockImplementation(() => {});
  const write = () => writeReport(folder, madeUp, { file: 'summary.json', results: { accuracy: 1 }, json: null });
  try {
    expect(write).toThrow(/cannot write .*a\.svg \((EISDIR|EPERM)\)/);
    expect(print.mock.calls.flat().join('')).toContain('A finding.');
  } finally {
    print.mockRestore();
    folder.close();
  }
  expect(readdirSync(path).sort()).toEqual(['a.svg', 'config.json', 'report.html', 'summary.json', 'tables.md']);
});
