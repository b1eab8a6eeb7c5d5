import { expect, test } from 'vitest';
import { armNames } from '../../../experiments/compare/arms.ts';
import { comparisonDocument } from '../../../experiments/compare/report.ts';
import type { Comparison } from '../../../experiments/compare/results.ts';
import {
  documentMarkdown,
  documentPage,
  documentPictures,
  documentText,
} from '../../../experiments/report/sections.ts';
import { balanced } from '../markup.ts';
import { madeUpComparison } from './made-up.ts';

const reportPage = (comparison: Comparison) => documentPage(comparisonDocument(comparison));
const pictures = (comparison: Comparison) => documentPictures(comparisonDocument(comparison));
const markdownTables = (comparison: Comparison) => documentMarkdown(comparisonDocument(comparison));
const summaryText = (comparison: Comparison) => documentText(comparisonDocument(comparison));
const smallest = { evaluationTasks: 1, seeds: 1, blocks: 1, lengths: [1] };

function only(comparison: Comparison, arms: readonly string[]): Comparison {
  return {
    ...comparison,
    arms: comparison.arms.filter(({ arm }) => arms.includes(arm)),
    timings: comparison.timings.filter(({ arm }) => arms.includes(arm)),
  };
}

/** The cells of a Markdown row that starts like this. */
function cellsOf(markdown: string, heading: string, ...first: string[]): string[] {
  const section = markdown.split(/^## /m).find((part) => part.startsWith(heading));
  const row = section?.split('\n').find((line) => line.startsWith(`| ${first.join(' | ')} |`));
  return (row ?? '')
    .split('|')
    .map((cell) => cell.trim())
    .slice(1, -1);
}

test('the page needs no other file and no script, holds every picture and names every arm', () => {
  const page = reportPage(madeUpComparison());
  expect(page).not.toMatch(/(src|href)=|@import|url\(|<script|NaN|undefined/);
  expect(page).toContain('prefers-color-scheme: dark');
  const drawn = page.match(/<svg[\s\S]*?<\/svg>/g) ?? [];
  expect(drawn).toHaveLength(Object.keys(pictures(madeUpComparison())).length);
  for (const svg of drawn) expect(balanced(svg)).toBe(true);
  for (const arm of armNames) expect(page).toContain(`>${arm}</td>`);
  expect(page).not.toMatch(/smoke run/i);
  expect(page).toContain('Left out: everything that a real run would have done.');
});

test('a smoke run says at every place that it is no evidence', () => {
  const smoke = madeUpComparison({ ...smallest, kind: 'smoke' });
  expect(reportPage(smoke)).toContain('<h1>Smoke run, not evidence');
  expect(summaryText(smoke)).toMatch(/^Smoke run, not evidence/);
  expect(markdownTables(smoke)).toMatch(/^# Smoke run, not evidence/);
});

test('the tables hold the numbers of the results', () => {
  const comparison = madeUpComparison({ evaluationTasks: 2, seeds: 3 });
  const constant = {
    ...comparison,
    arms: comparison.arms.map((run) => ({
      ...run,
      accuracy: (run.arm === 'full+grades' ? 0.79 : 0.8) + 0.01 * run.seed,
    })),
  };
  const markdown = markdownTables(constant);
  const against = 'Every arm against full training';
  expect(cellsOf(markdown, 'Accuracy, task by task', 'full')).toEqual(['full', ...Array(3).fill('82.0 ± 1.0')]);
  expect(cellsOf(markdown, against, 'full+grades', 'full')).toEqual([
    ...['full+grades', 'full', '6', '81.00', '−1.00', '−1.00 to −1.00', 'not shown', '0.70', '–', '0.85', '0.70'],
  ]);
  expect(cellsOf(markdown, against, 'full+stopping', 'full').slice(7)).toEqual(['0.70', '0.10', '0.75', '0.70']);
  expect(cellsOf(markdown, 'GradES on schedules of other lengths', 'full+grades', 'full', '2×').slice(3, 6)).toEqual([
    ...['6', '81.00', '−1.00'],
  ]);
  expect(cellsOf(markdown, 'Settings tried', 'rule \\< 0.45').at(-1)).toBe('chosen');
});

test('each rule stands beside its controls', () => {
  const comparison = madeUpComparison({ evaluationTasks: 3, seeds: 3 });
  const arms = comparison.arms.map((run) => ({
    ...run,
    accuracy: 0.8 - (run.arm === 'plain-stop' ? 0.01 - (run.seed === 2 ? 0.001 : 0) : 0),
  }));
  const markdown = markdownTables({ ...comparison, arms });
  const beside = (arm: string, base: string) =>
    cellsOf(markdown, 'Each rule against its controls', arm, base).slice(4, 8);
  expect(beside('full+grades', 'plain-stop')).toEqual(['+0.97', '+0.93 to +0.99', 'shown', '1.00']);
  expect(beside('full+grades', 'random-matrices')[0]).toBe('0.00');
  expect(beside('paper-v1', 'paper-v1-plain-stop')).toHaveLength(4);
});

test('few arms give no rows of arms that were not asked for', () => {
  const partial = only(madeUpComparison({ lengths: [1] }), ['full', 'full+grades']);
  const markdown = markdownTables(partial);
  expect(markdown).not.toMatch(/lora|plain-stop|reversed/);
  expect(markdown).toContain('Unknown: fewer than two runs of the arm “null”');
  expect(cellsOf(markdown, 'Every arm against full', 'full+grades', 'full')).toHaveLength(10);
  const files = pictures(partial);
  expect(Object.keys(files)).not.toContain('alive-lora-grades.svg');
  expect(Object.values(files).join('')).not.toMatch(/NaN|undefined|Infinity/);
});

test('thresholds that were calibrated are told, with where they come from', () => {
  const markdown = markdownTables(madeUpComparison());
  expect(cellsOf(markdown, 'Tasks', 'made-up-2').slice(-3)).toEqual(['1.50', '2.25', '0.500']);
  expect(markdown).toContain('in one full run with seed 301');
});

test('a comparison without any result is still a page that says so', () => {
  const comparison = madeUpComparison();
  const empty = { ...comparison, tasks: [], arms: [], timings: [], sweep: [], tuning: [] };
  for (const written of [reportPage(empty), summaryText(empty), markdownTables(empty)]) {
    expect(written).toContain('There is no evaluation task');
    expect(written).not.toMatch(/NaN|undefined|Infinity/);
  }
  expect(Object.values(pictures(empty)).join('')).not.toMatch(/NaN|undefined|Infinity/);
});

test('text from outside cannot break the page or a table', () => {
  const hostile = { ...madeUpComparison(smallest), model: '<script> & "x" | y' };
  expect(reportPage(hostile)).toContain('&lt;script&gt; &amp; &quot;x&quot; | y');
  expect(markdownTables(hostile)).toContain('\\<script\\> & "x" \\| y');
});
