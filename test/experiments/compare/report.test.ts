import { expect, test } from 'vitest';
import { armNames } from '../../../experiments/compare/arms.ts';
import { pictures, reportPage } from '../../../experiments/compare/report.ts';
import type { Comparison } from '../../../experiments/compare/results.ts';
import { markdownTables, summaryText } from '../../../experiments/compare/tables.ts';
import { balanced } from '../markup.ts';
import { madeUpComparison } from './made-up.ts';

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

test('what is said of a difference is no more than its interval shows', () => {
  const comparison = madeUpComparison({ evaluationTasks: 3, seeds: 3 });
  const finding = (control: string, points: number, question = 'Does freezing matrix by matrix beat a plain stop?') => {
    const arms = comparison.arms.map((run) => ({
      ...run,
      accuracy: 0.8 + (run.arm === control ? points / 100 + (run.seed === 2 ? 0.001 : 0) : 0),
    }));
    return cellsOf(markdownTables({ ...comparison, arms }), 'What was asked', question).at(-2);
  };
  expect(finding('plain-stop', -1)).toBe('higher');
  expect(finding('plain-stop', 1)).toBe('lower');
  expect(finding('plain-stop', -0.05)).toBe('no difference shown');
  expect(finding('plain-stop', -1, 'Does it matter which matrix freezes?')).toBe('the same');
  expect(finding('reversed', -1, 'Does it matter in which order?')).toBe('higher');
});

test('what did not run has no row', () => {
  const partial = only(madeUpComparison({ lengths: [1] }), ['full', 'full+grades']);
  const text = summaryText(partial);
  expect(text).toContain('What does it cost beside full training?');
  expect(text).not.toMatch(/plain-stop|lora/);
});

test('a comparison without any result is still a page that says so', () => {
  const comparison = madeUpComparison();
  const empty = { ...comparison, tasks: [], arms: [], timings: [], sweep: [], settings: [] };
  for (const written of [reportPage(empty), summaryText(empty), markdownTables(empty)]) {
    expect(written).toContain('There is no evaluation task');
    expect(written).not.toMatch(/NaN|undefined|Infinity/);
  }
});

test('text from outside cannot break the page or a table', () => {
  const hostile = { ...madeUpComparison(smallest), model: '<script> & "x" | y' };
  expect(reportPage(hostile)).toContain('&lt;script&gt; &amp; &quot;x&quot; | y');
  expect(markdownTables(hostile)).toContain('\\<script\\> & "x" \\| y');
});
