import { DOMParser } from 'linkedom';
import { expect, test } from 'vitest';
import { fragmentsDocument } from '../../../experiments/fragments/report.ts';
import type { ArmRecord, Results } from '../../../experiments/fragments/results.ts';
import { documentPage, documentPictures } from '../../../experiments/report/sections.ts';
import { projectionKinds } from '../../../src/index.ts';
import { balanced } from '../markup.ts';

const reportPage = (results: Results) => documentPage(fragmentsDocument(results));
const drawSignals = (results: Results) => documentPictures(fragmentsDocument(results))['signals.svg'] ?? '';

function madeUpRun(): Results {
  const matrices = [0, 1].flatMap((block) =>
    projectionKinds.map((kind, index) => ({
      ...{ name: `blocks.${block}.part.${kind}`, block, kind, step: 200 + 100 * index + 50 * block },
      samples: Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: 1 - sample / 150 })),
    })),
  );
  const losses = Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: Math.exp(-sample / 30) }));
  const full: ArmRecord = {
    ...{ name: 'full', steps: 1000, seconds: { train: 2, evaluate: 0.5 }, flops: 1e9, peakBytes: 2048 },
    ...{ accuracy: 0.87, loss: 0.5, losses, events: [], watched: [], threshold: null, graceSteps: 1000 },
    curve: [
      { step: 500, value: 0.8 },
      { step: 700, value: 0.842 },
      { step: 1000, value: 0.86 },
    ],
    plainStop: { step: 700, accuracy: 0.84, loss: 0.5, seconds: 1 },
  };
  const grades: ArmRecord = {
    ...full,
    ...{ name: 'grades', steps: 900, losses: losses.slice(0, 90), threshold: 0.45, graceSteps: 150, plainStop: null },
    curve: [
      { step: 500, value: 0.8 },
      { step: 900, value: 0.851 },
    ],
    watched: matrices.map(({ step: freezeStep, ...matrix }) => ({
      ...matrix,
      samples: matrix.samples.filter(({ step }) => freezeStep >= 700 || step <= freezeStep),
    })),
    events: matrices
      .filter(({ step }) => step < 700)
      .map(({ name, step }) => ({ type: 'freeze', name, step, value: 0.44, threshold: 0.45, reason: 'converged' })),
  };
  return { device: { kind: 'cpu', adapter: 'made up', software: true }, config: { steps: 1000 }, full, grades };
}

/** The run of GradES with another record. */
function withGrades(change: (grades: ArmRecord) => Partial<ArmRecord>): Results {
  const results = madeUpRun();
  return { ...results, grades: { ...results.grades, ...change(results.grades) } };
}

function parseSvg(svg: string) {
  expect(balanced(svg)).toBe(true);
  return new DOMParser().parseFromString(svg, 'image/svg+xml');
}

test('the signals are a well-formed SVG with a white ground that names every matrix and marks every freeze', () => {
  const { watched, events } = madeUpRun().grades;
  const svg = drawSignals(madeUpRun());
  const picture = parseSvg(svg);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /);
  expect(svg).not.toContain('var(');
  expect(svg).not.toContain('NaN');
  expect(picture.querySelector('rect')?.getAttribute('fill')).toBe('#ffffff');
  const titles = [...picture.querySelectorAll('title')].map((title) => title.textContent ?? '');
  const texts = [...picture.querySelectorAll('text')].map((text) => text.textContent);
  for (const { name, kind, block } of watched) {
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
  const broken = withGrades(({ watched: [first, second, ...rest] }) => ({
    watched: [{ ...first!, samples }, { ...second!, samples: [] }, ...rest],
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
  for (const { block, kind } of madeUpRun().grades.watched) expect(page).toContain(`>block ${block}, ${kind}</text>`);
  for (const svg of page.match(/<svg[\s\S]*?<\/svg>/g) ?? []) expect(balanced(svg)).toBe(true);
});

test('what still learns has a legend and a number on every bar, also where the freeze ended the run', () => {
  const ended = withGrades(({ events: [first, ...rest] }) => ({ events: [{ ...first!, step: 900 }, ...rest] }));
  const alive =
    reportPage(ended)
      .split('<svg')
      .find((svg) => svg.includes('>What still learns<')) ?? '';
  for (const words of ['learning', 'frozen, out of the backward graph']) expect(alive).toContain(`>${words}<`);
  for (const { step } of ended.grades.events) expect(alive).toContain(`>${step}<`);
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
