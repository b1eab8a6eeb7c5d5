import { expect, test } from 'vitest';
import type { Ablation } from '../../../experiments/ablate/grid.ts';
import { ablationDocument } from '../../../experiments/ablate/report.ts';
import {
  documentMarkdown,
  documentPage,
  documentPictures,
  documentText,
} from '../../../experiments/report/sections.ts';
import { madeUpAblation } from '../compare/made-up.ts';
import { balanced } from '../markup.ts';

const pictures = (ablation: Ablation) => documentPictures(ablationDocument(ablation));
const reportPage = (ablation: Ablation) => documentPage(ablationDocument(ablation));
const markdownTables = (ablation: Ablation) => documentMarkdown(ablationDocument(ablation));
const summaryText = (ablation: Ablation) => documentText(ablationDocument(ablation));

test('a heat map a signal, each a file by itself and on the page', () => {
  const ablation = madeUpAblation();
  const files = pictures(ablation);
  expect(Object.keys(files)).toEqual(['ablation-split-half-peak.svg', 'ablation-gradient-peak.svg']);
  for (const svg of Object.values(files)) {
    expect(balanced(svg)).toBe(true);
    expect(svg).not.toMatch(/NaN|undefined|Infinity|var\(/);
    for (const label of ['τ 0.45', 'α 0.3']) expect(svg).toContain(`>${label}<`);
  }
  const page = reportPage(ablation);
  expect(page.match(/<svg/g)).toHaveLength(2);
  expect(page).not.toMatch(/(src|href)=|<script|NaN|undefined/);
});

test('rows are thresholds, columns graces, and the cells the means over seeds', () => {
  const ablation = madeUpAblation();
  const constant = {
    ...ablation,
    rows: ablation.rows.map((row) => ({ ...row, accuracy: row.threshold + 0.1 * row.grace, fullAccuracy: 0.5 })),
  };
  const markdown = markdownTables(constant);
  expect(markdown).toContain('| τ \\ α | 0.1 | 0.3 | 0.5 |');
  expect(markdown).toContain('| 0.45 | 46.00 ± 0.00 (−4.00) | 48.00 ± 0.00 (−2.00) | 50.00 ± 0.00 (0.00) |');
  expect(markdown).toContain('| 0.6 | 0.460 | 0.580 | 0.700 |');
  expect(markdown).toContain('| 0.6 | 46.0 s | 58.0 s | 1 min 10 s |');
  expect(markdown).toContain('chosen after the fact');
});

test('cells that did not run, times that are not known and smoke runs are told', () => {
  const ablation = madeUpAblation('smoke');
  const partial = { ...ablation, rows: ablation.rows.filter(({ threshold, grace }) => threshold > 0.3 || grace > 0.1) };
  const text = summaryText(partial);
  expect(text).toMatch(/^Smoke run, not evidence/);
  expect(text).toContain('1 cell without a run.');
  expect(text).not.toContain('Time, gradient / peak');
  expect(pictures(partial)['ablation-gradient-peak.svg']).toContain('smoke run, not evidence');
  expect(summaryText({ ...ablation, rows: [] })).toContain('Nothing was run.');
});
