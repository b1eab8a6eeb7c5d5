import { expect, test } from 'vitest';
import { armNames } from '../../../../experiments/compare/arms.ts';
import { comparisonDocument } from '../../../../experiments/compare/report.ts';
import type { Comparison } from '../../../../experiments/compare/results.ts';
import { armLabel } from '../../../../experiments/report/arms.ts';
import { documentPictures } from '../../../../experiments/report/sections.ts';
import { balanced } from '../../markup.ts';
import { madeUpComparison } from '../made-up.ts';

const pictures = (comparison: Comparison) => documentPictures(comparisonDocument(comparison));

const everyPicture = [
  'accuracy-and-operations.svg',
  'alive-full-grades.svg',
  'alive-lora-grades.svg',
  'controls.svg',
  'differences.svg',
  'memory.svg',
  'signals-full-grades.svg',
  'signals-lora-grades.svg',
];

const noFigure = /NaN|undefined|Infinity/;

test('every picture is a well-formed file on a white ground, without a figure that is none', () => {
  const files = pictures(madeUpComparison());
  expect(Object.keys(files).sort()).toEqual(everyPicture);
  for (const [name, svg] of Object.entries(files)) {
    expect(svg, name).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /);
    expect(balanced(svg), name).toBe(true);
    expect(svg, name).not.toMatch(/NaN|undefined|Infinity|var\(/);
    expect(svg, name).toContain('fill="#ffffff"');
  }
  for (const arm of armNames.filter((name) => name !== 'full'))
    expect(files['differences.svg']).toContain(`>${armLabel(arm)}<`);
  for (const task of ['made-up-1', 'made-up-2']) expect(files['memory.svg']).toContain(`>${task}, LoRA<`);
});

test('what LoRA loses does not squash the other arms: it has a panel and an axis of its own', () => {
  const comparison = madeUpComparison();
  const arms = comparison.arms.map((run) =>
    run.arm.startsWith('lora') ? { ...run, accuracy: run.accuracy - 0.2 } : run,
  );
  const svg = pictures({ ...comparison, arms })['differences.svg'] ?? '';
  const [allWeights, lora] = [svg.split('>all weights, minus “full”<')[0], svg.split('>all weights, minus “full”<')[1]];
  expect(allWeights).not.toContain('>−20<');
  expect(lora).toContain('>−20<');
  for (const words of ['GradES', 'early stopping', 'control', 'to the end']) expect(svg).toContain(`>${words}<`);
});

test("a user's rule is drawn and named", () => {
  const comparison = madeUpComparison();
  const added = ['my-rule', 'my-rule-plain-stop'].flatMap((arm) =>
    comparison.arms.filter((run) => run.arm === 'full+grades').map((run) => ({ ...run, arm })),
  );
  const policy = { arm: 'my-rule', file: 'my-rule.ts' };
  const svg = pictures({ ...comparison, policy, arms: [...comparison.arms, ...added] })['differences.svg'];
  for (const words of ['my-rule', 'my-rule-plain-stop']) expect(svg).toContain(`>${words}<`);
  expect(svg).toContain('>another rule<');
});

test('every picture has a text in its place', () => {
  const files = pictures(madeUpComparison());
  for (const [name, svg] of Object.entries(files)) expect(svg, name).toMatch(/role="img" aria-label="[^"]{10}/);
  expect(files['accuracy-and-operations.svg']).toMatch(/aria-label="[^"]*full\+GradES: [+−]?\d\S* points at 0\.70/);
  expect(files['differences.svg']).toMatch(/aria-label="[^"]*full\+GradES [+−]?\d[^;]* at 0\.70/);
});

test('a smoke run says in every picture that it is no evidence', () => {
  const smoke = madeUpComparison({ evaluationTasks: 1, seeds: 1, blocks: 1, lengths: [1], kind: 'smoke' });
  for (const svg of Object.values(pictures(smoke))) expect(svg).toContain('(smoke run, not evidence)');
});

test('what there are no data for is not drawn', () => {
  const comparison = madeUpComparison({ lengths: [1] });
  const few = ['full', 'full+grades'];
  const partial = {
    ...comparison,
    arms: comparison.arms.filter(({ arm }) => few.includes(arm)),
    timings: comparison.timings.filter(({ arm }) => few.includes(arm)),
  };
  const files = pictures(partial);
  expect(Object.keys(files)).not.toContain('alive-lora-grades.svg');
  expect(Object.keys(files)).not.toContain('controls.svg');
  for (const svg of Object.values(files)) expect(svg).not.toMatch(noFigure);
  expect(files['differences.svg']).not.toContain('LoRA');
  expect(pictures({ ...comparison, tasks: [], arms: [], timings: [] })).toEqual({});
});

test('signals that are no numbers, and runs that froze nothing, are drawn as nothing', () => {
  const comparison = madeUpComparison({ evaluationTasks: 1, seeds: 1, blocks: 1, lengths: [1] });
  const arms = comparison.arms.map((run) => ({
    ...run,
    freezes: [],
    signals: run.signals.map((signal) => ({ ...signal, samples: [{ step: 1, value: Number.NaN }] })),
  }));
  const files = pictures({ ...comparison, arms });
  expect(Object.keys(files).filter((name) => /signals|alive/.test(name))).toEqual([]);
  expect(Object.values(files).join('')).not.toMatch(noFigure);
});

test('the signals of a rule of the user are drawn where it tells them', () => {
  const comparison = madeUpComparison({ evaluationTasks: 1, seeds: 1, lengths: [1] });
  const own = comparison.arms.filter(({ arm }) => arm === 'full+grades').map((run) => ({ ...run, arm: 'my-rule' }));
  const policy = { arm: 'my-rule', file: 'my-rule.ts' };
  const files = Object.keys(pictures({ ...comparison, policy, arms: [...comparison.arms, ...own] }));
  expect(files).toEqual(expect.arrayContaining(['signals-my-rule.svg', 'alive-my-rule.svg']));
});
