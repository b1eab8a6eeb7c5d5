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
  expect(cellsOf(markdown, 'Accuracy, evaluation', 'full')).toEqual(['full', '82.0 ± 1.0', '82.0 ± 1.0', '82.00']);
  expect(cellsOf(markdown, 'Differences in accuracy, evaluation', 'full+grades', 'full')).toEqual([
    ...['full+grades', 'full', '6', '−1.00', '−1.00 to −1.00', '−1.00', 'not shown'],
  ]);
  expect(cellsOf(markdown, 'Operations, evaluation', 'full+stopping').slice(0, 7)).toEqual([
    ...['full+stopping', '0.700', '0.700', '0.180', '0.180', '0.240', '0.100'],
  ]);
  expect(cellsOf(markdown, 'Wall time', 'full+stopping').slice(1, 4)).toEqual(['1 min 00 s', '10.0 s', '1.43×']);
  expect(cellsOf(markdown, 'Schedule lengths', '2×', 'full+grades').slice(2, 6)).toEqual([
    ...['6', '82.00', '81.00', '−1.00'],
  ]);
  expect(cellsOf(markdown, 'Settings tried', 'rule \\< 0.45').at(-1)).toBe('chosen');
  expect(cellsOf(markdown, 'When full+grades', 'query').at(-1)).toMatch(/^0\.2\d \(100 %\)$/);
  expect(cellsOf(markdown, 'Tokens a second', 'made-up-1', 'full+grades', '250').slice(5)).toEqual([
    '5',
    '2231',
    '1.15',
  ]);
});

test('what was asked is answered with no more than the intervals show', () => {
  const comparison = madeUpComparison({ evaluationTasks: 3, seeds: 3 });
  const answer = (control: string, points: number) => {
    const arms = comparison.arms.map((run) => ({
      ...run,
      accuracy: 0.8 + (run.arm === control ? points / 100 + (run.seed === 2 ? 0.001 : 0) : 0),
    }));
    const markdown = markdownTables({ ...comparison, arms });
    return (question: string) => cellsOf(markdown, 'What was asked', question).slice(3);
  };
  const stop = 'Does freezing matrix by matrix beat a plain stop?';
  expect(answer('plain-stop', -1)(stop)).toEqual(['+0.97', '+0.93 to +0.99', 'higher', '1.00', '1.00']);
  expect(answer('plain-stop', 1)(stop)[2]).toBe('lower');
  const undecided = answer('plain-stop', -0.05);
  expect(undecided(stop)[2]).toBe('no difference shown');
  expect(undecided('Does it matter which matrix freezes?')[2]).toBe('the same');
  expect(answer('reversed', -1)('Does it matter in which order?')[2]).toBe('higher');
  expect(undecided('Does paper-v1 beat a plain stop?')).toHaveLength(5);
});

test('few arms give no rows of arms that were not asked for', () => {
  const partial = only(madeUpComparison({ lengths: [1] }), ['full', 'full+grades']);
  const markdown = markdownTables(partial);
  expect(markdown).not.toMatch(/lora|plain-stop|reversed/);
  expect(markdown).toContain('Unknown: fewer than two runs of the arm “null”');
  expect(cellsOf(markdown, 'Operations, evaluation', 'full+grades')).toHaveLength(8);
  const files = pictures(partial);
  expect(Object.keys(files)).not.toContain('alive-lora-grades.svg');
  expect(Object.values(files).join('')).not.toMatch(/NaN|undefined|Infinity/);
});

test('thresholds that were calibrated are told, with where they come from', () => {
  const markdown = markdownTables(madeUpComparison());
  expect(cellsOf(markdown, 'Thresholds τ', 'made-up-2')).toEqual(['made-up-2', '1.50', '2.25', '0.500']);
  expect(markdown).toContain('in one full run with seed 301');
});

test('a comparison without any result is still a page that says so', () => {
  const comparison = madeUpComparison();
  const empty = { ...comparison, tasks: [], arms: [], timings: [], sweep: [], settings: [] };
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

test('a rule that froze nothing is said to have frozen nothing', () => {
  const comparison = madeUpComparison(smallest);
  const arms = comparison.arms.map((run) => ({ ...run, freezes: [] }));
  expect(summaryText({ ...comparison, arms })).toContain('never (0 %)');
});
