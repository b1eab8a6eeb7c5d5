import { DOMParser } from 'linkedom';
import { expect, test } from 'vitest';
import type { RecordedArm } from '../../../experiments/fragments/arm.ts';
import { type StartResults, startDocument } from '../../../experiments/fragments/report.ts';
import { documentPage, documentPictures, documentText } from '../../../experiments/report/sections.ts';
import { projectionKinds } from '../../../src/index.ts';
import { madeUpComparison } from '../compare/made-up.ts';
import { balanced } from '../markup.ts';

const reportPage = (results: StartResults) => documentPage(startDocument(results));
const drawSignals = (results: StartResults) => documentPictures(startDocument(results))['signals.svg'] ?? '';

function madeUpRun(): StartResults {
  const matrices = [0, 1].flatMap((block) =>
    projectionKinds.map((kind, index) => ({
      ...{ name: `blocks.${block}.part.${kind}`, block, kind, step: 200 + 100 * index + 50 * block },
      samples: Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: 1 - sample / 150 })),
    })),
  );
  const losses = Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: Math.exp(-sample / 30) }));
  const full: RecordedArm = {
    ...{ ...madeUpComparison({ lengths: [1] }).arms[0], scheduleSteps: 1000, steps: 1000, peakBytes: 2048 },
    ...{ arm: 'full', seconds: { train: 2, evaluate: 0.5 }, graceSteps: 1000 },
    ...{ accuracy: 0.87, loss: 0.5, losses, freezes: [], signals: [], threshold: null },
    operations: { forward: 5e8, backward: 4e8, optimizer: 1e8, validation: 0 },
    curve: [
      { step: 500, value: 0.8 },
      { step: 700, value: 0.842 },
      { step: 1000, value: 0.86 },
    ],
    plainStop: { step: 700, accuracy: 0.84, loss: 0.5 },
  };
  const grades: RecordedArm = {
    ...full,
    ...{
      arm: 'grades',
      steps: 900,
      accuracy: 0.88,
      losses: losses.slice(0, 90),
      threshold: 0.45,
      graceSteps: 150,
      plainStop: null,
    },
    curve: [
      { step: 500, value: 0.8 },
      { step: 900, value: 0.851 },
    ],
    operations: { forward: 4e8, backward: 3e8, optimizer: 1e8, validation: 0 },
    signals: matrices.map(({ step: freezeStep, ...matrix }) => ({
      ...matrix,
      samples: matrix.samples.filter(({ step }) => freezeStep >= 700 || step <= freezeStep),
    })),
    freezes: [
      ...matrices.filter(({ step }) => step < 700).map(({ samples, ...freeze }) => ({ ...freeze, value: 0.44 })),
      { name: 'tokens.table', kind: 'embedding', block: null, step: 600, value: null },
    ],
  };
  return { device: { kind: 'cpu', adapter: 'made up', software: true }, config: {}, full, grades };
}

/** The run of GradES with another record. */
function withGrades(change: (grades: RecordedArm) => Partial<RecordedArm>): StartResults {
  const results = madeUpRun();
  return { ...results, grades: { ...results.grades, ...change(results.grades) } };
}

function parseSvg(svg: string) {
  expect(balanced(svg)).toBe(true);
  return new DOMParser().parseFromString(svg, 'image/svg+xml');
}

test('the signals are a well-formed SVG with a white ground that names every matrix and marks every freeze', () => {
  const { signals, freezes } = madeUpRun().grades;
  const events = freezes.filter(({ value }) => value !== null);
  const svg = drawSignals(madeUpRun());
  const picture = parseSvg(svg);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /);
  expect(svg).not.toContain('var(');
  expect(svg).not.toContain('NaN');
  expect(picture.querySelector('rect')?.getAttribute('fill')).toBe('#ffffff');
  const titles = [...picture.querySelectorAll('title')].map((title) => title.textContent ?? '');
  const texts = [...picture.querySelectorAll('text')].map((text) => text.textContent);
  for (const { name, kind, block } of signals) {
    expect(titles).toContain(name);
    expect(texts).toContain(`block ${block}, ${kind}`);
  }
  for (const { name, step } of events) {
    expect(texts).toContain(String(step));
    expect(titles).toContain(`${name} frozen at step ${step}`);
  }
  expect(titles.filter((title) => title.includes('frozen at'))).toHaveLength(events.length);
});

test('samples that are not numbers, and matrices without samples, are drawn as nothing', () => {
  const samples = [
    { step: 10, value: Number.NaN },
    { step: 20, value: 0.5 },
  ];
  const broken = withGrades(({ signals: [first, second, ...rest] }) => ({
    signals: [{ ...first!, samples }, { ...second!, samples: [] }, ...rest],
  }));
  expect(drawSignals(broken)).not.toContain('NaN');
});

test('the page needs no other file', () => {
  const page = reportPage(madeUpRun());
  expect(page).not.toMatch(/(src|href)=|@import|url\(|NaN/);
  expect(page).toContain('prefers-color-scheme: dark');
  for (const heading of [
    'Split-half signal ρ, relative to its own peak: 10 of 14 matrices frozen',
    'What still learns',
    'Training loss',
    'Accuracy on a part of the held-out files',
  ]) {
    expect(page).toContain(`>${heading}`);
  }
  expect(page).toContain('GradES 85.1 %');
  for (const { block, kind } of madeUpRun().grades.signals) expect(page).toContain(`>block ${block}, ${kind}</text>`);
  for (const svg of page.match(/<svg[\s\S]*?<\/svg>/g) ?? []) expect(balanced(svg)).toBe(true);
});

test('what still learns has a legend and a number on every bar, also where the freeze ended the run', () => {
  const ended = withGrades(({ freezes: [first, ...rest] }) => ({ freezes: [{ ...first!, step: 900 }, ...rest] }));
  const alive =
    reportPage(ended)
      .split('<svg')
      .find((svg) => svg.includes('>What still learns<')) ?? '';
  for (const words of ['learning', 'frozen, out of the backward graph']) expect(alive).toContain(`>${words}<`);
  for (const { step } of ended.grades.freezes.filter(({ value }) => value !== null))
    expect(alive).toContain(`>${step}<`);
  expect(alive).toContain('>not frozen<');
});

test('the accuracy of both arms is a curve, with the plain stop and the ends in figures', () => {
  const curves =
    reportPage(madeUpRun())
      .split('<svg')
      .find((svg) => svg.includes('>Loss and accuracy<')) ?? '';
  for (const words of ['full', 'GradES', 'plain stop at the operations of GradES'])
    expect(curves).toContain(`>${words}<`);
  for (const words of ['full 86.0 %', 'GradES 85.1 %', 'plain stop 84.2 %']) expect(curves).toContain(`>${words}<`);
  const { full, ...rest } = withGrades(() => ({ curve: [] }));
  const page = reportPage({ ...rest, full: { ...full, curve: [], plainStop: null } });
  expect(page).toContain('>Training loss<');
  expect(page).not.toContain('>Accuracy on');
});

test('the page says what GradES is and what the signal is', () => {
  const page = reportPage(madeUpRun());
  expect(page.indexOf('GradES watches')).toBeLessThan(page.indexOf('<h2>'));
  expect(page).toContain('The split-half signal ρ compares');
});

test('both arms stand side by side, with the ratio of each pair, and in words beside a plain stop', () => {
  const text = documentText(startDocument(madeUpRun()));
  const line = (title: string) =>
    text
      .split('\n')
      .find((each) => each.startsWith(title))
      ?.split(/ {2,}/);
  expect(line('accuracy')).toEqual(['accuracy on held-out files', '87.0 %', '88.0 %', '1.0 points']);
  expect(line('floating-point')).toEqual(['floating-point operations', '1.00 GFLOP', '800 MFLOP', '0.80']);
  expect(line('matrices')).toEqual(['matrices frozen', '0 of 14', '10 of 14']);
  expect(line('training time')?.at(-1)).toBe('1.00');
  expect(text).toContain('at step 700, would have reached 84.0 % (loss 0.5000)');
  const { full, ...others } = withGrades(() => ({ freezes: [] }));
  expect(documentText(startDocument({ ...others, full: { ...full, plainStop: null } }))).toContain(
    'GradES froze 0 of 14 matrices by the end of the schedule.\n',
  );
});
