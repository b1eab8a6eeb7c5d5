import { DOMParser } from 'linkedom';
import { expect, test } from 'vitest';
import type { ReportData } from '../../../experiments/fragments/report/data.ts';
import { drawSignals, MATRIX_KINDS, reportPage } from '../../../experiments/fragments/report.ts';
import { balanced } from '../markup.ts';

function madeUpRun(): ReportData {
  const matrices = [0, 1].flatMap((block) =>
    MATRIX_KINDS.map((kind, index) => {
      const freezeStep = 200 + 100 * index + 50 * block;
      const frozen = freezeStep < 700 ? { step: freezeStep, value: 0.44 } : undefined;
      const samples = Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: 1 - sample / 150 }));
      return {
        name: `blocks.${block}.part.${kind}`,
        block,
        kind,
        samples: samples.filter(({ step }) => frozen === undefined || step <= frozen.step),
        threshold: 0.45,
        frozen,
      };
    }),
  );
  const loss = Array.from({ length: 100 }, (_, sample) => ({ step: 10 * sample, value: Math.exp(-sample / 30) }));
  return {
    title: 'A <run> & its pictures',
    summary: 'Made up.',
    quantity: 'Signal ρ',
    totalSteps: 1000,
    graceSteps: 150,
    matrices,
    arms: [
      {
        name: 'full',
        loss,
        accuracy: [
          { step: 500, value: 0.8 },
          { step: 1000, value: 0.86 },
        ],
        plainStop: { step: 700, value: 0.842 },
      },
      {
        name: 'grades',
        loss: loss.slice(0, 90),
        accuracy: [
          { step: 500, value: 0.8 },
          { step: 900, value: 0.851 },
        ],
        stoppedAt: 900,
      },
    ],
    table: { columns: [{ title: 'arm' }, { title: 'accuracy' }], rows: [['full', '86.0 %']] },
  };
}

function parseSvg(svg: string) {
  expect(balanced(svg)).toBe(true);
  return new DOMParser().parseFromString(svg, 'image/svg+xml');
}

test('the signals are a well-formed SVG with a white ground that names every matrix and marks every freeze', () => {
  const data = madeUpRun();
  const svg = drawSignals(data);
  const picture = parseSvg(svg);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /);
  expect(svg).not.toContain('var(');
  expect(svg).not.toContain('NaN');
  expect(picture.querySelector('rect')?.getAttribute('fill')).toBe('#ffffff');
  const titles = [...picture.querySelectorAll('title')].map((title) => title.textContent ?? '');
  const texts = [...picture.querySelectorAll('text')].map((text) => text.textContent);
  for (const { name, kind, block, frozen } of data.matrices) {
    expect(titles).toContain(name);
    expect(texts).toContain(`block ${block}, ${kind}`);
    if (frozen === undefined) continue;
    expect(texts).toContain(String(frozen.step));
    expect(titles).toContain(`${name} frozen at step ${frozen.step}`);
  }
  const freezes = data.matrices.filter(({ frozen }) => frozen !== undefined);
  expect(titles.filter((title) => title.includes('frozen at'))).toHaveLength(freezes.length);
});

test('samples that are not numbers, and matrices without samples, are drawn as nothing', () => {
  const data = madeUpRun();
  const [first, second, ...rest] = data.matrices;
  const broken = [
    {
      ...first!,
      samples: [
        { step: 10, value: Number.NaN },
        { step: 20, value: 0.5 },
      ],
    },
    { ...second!, samples: [], frozen: undefined },
    ...rest,
  ];
  expect(drawSignals({ ...data, matrices: broken })).not.toContain('NaN');
});

test('the page needs no other file, and text from outside cannot break it', () => {
  const page = reportPage(madeUpRun());
  expect(page).toContain('<h1>A &lt;run&gt; &amp; its pictures</h1>');
  expect(page).not.toMatch(/(src|href)=|@import|url\(|NaN/);
  expect(page).toContain('prefers-color-scheme: dark');
  for (const heading of [
    'Signal ρ: 10 of 14 matrices frozen',
    'What still learns',
    'Training loss',
    'Accuracy on a part of the held-out files',
  ]) {
    expect(page).toContain(`>${heading}`);
  }
  expect(page).toContain('GradES 85.1 %');
  for (const { block, kind } of madeUpRun().matrices) expect(page).toContain(`>block ${block}, ${kind}</text>`);
  for (const svg of page.match(/<svg[\s\S]*?<\/svg>/g) ?? []) expect(balanced(svg)).toBe(true);
});

test('what still learns has a legend and a number on every bar, also where the freeze ended the run', () => {
  const data = madeUpRun();
  const [first, ...rest] = data.matrices;
  const ended = { ...data, endedAt: 900, matrices: [{ ...first!, frozen: { step: 900, value: 0.4 } }, ...rest] };
  const alive =
    reportPage(ended)
      .split('<svg')
      .find((svg) => svg.includes('>What still learns<')) ?? '';
  for (const words of ['learning', 'frozen, out of the backward graph']) expect(alive).toContain(`>${words}<`);
  for (const { frozen } of ended.matrices) expect(alive).toContain(`>${frozen?.step ?? 'not frozen'}<`);
});

test('the accuracy of both arms is a curve, with the plain stop and the ends in figures', () => {
  const curves =
    reportPage(madeUpRun())
      .split('<svg')
      .find((svg) => svg.includes('>Loss and accuracy<')) ?? '';
  for (const words of ['full', 'GradES', 'plain stop at the operations of GradES'])
    expect(curves).toContain(`>${words}<`);
  for (const words of ['full 86.0 %', 'GradES 85.1 %', 'plain stop 84.2 %']) expect(curves).toContain(`>${words}<`);
  const unmeasured = madeUpRun().arms.map((arm) => ({ ...arm, accuracy: [], plainStop: undefined }));
  const page = reportPage({ ...madeUpRun(), arms: unmeasured });
  expect(page).toContain('>Training loss<');
  expect(page).not.toContain('>Accuracy on');
});

test('the page says what GradES is and what the signal is', () => {
  const page = reportPage(madeUpRun());
  expect(page.indexOf('GradES watches')).toBeLessThan(page.indexOf('<h2>'));
  expect(page).toContain('The split-half signal ρ compares');
});
