import { expect, test } from 'vitest';
import { ablationDocument } from '../../../experiments/ablate/report.ts';
import type { Ablation } from '../../../experiments/compare/results.ts';
import { documentMarkdown, documentText } from '../../../experiments/report/sections.ts';
import { madeUpAblation } from '../compare/made-up.ts';

const markdownTables = (ablation: Ablation) => documentMarkdown(ablationDocument(ablation));
const summaryText = (ablation: Ablation) => documentText(ablationDocument(ablation));

test('a row a setting, and its numbers the means over seeds', () => {
  const ablation = madeUpAblation();
  const accuracyOf = (arm: string) => {
    const { threshold, grace } = ablation.settings[arm] ?? { threshold: 0.5, grace: 0 };
    return threshold + 0.1 * grace;
  };
  const constant = { ...ablation, arms: ablation.arms.map((run) => ({ ...run, accuracy: accuracyOf(run.arm) })) };
  const markdown = markdownTables(constant);
  expect(markdown).toContain('| split-half | 0.45 | 0.1 | 2 | 46.00 ± 0.00 | −4.00 | 0.595 | 59.5 s | 0 % | 80 % |');
  expect(markdown).toContain('| gradient | 0.6 | 0.5 | 2 | 65.00 ± 0.00 | +15.00 | 0.700 | 1 min 10 s |');
});

test('full training and smoke runs are told', () => {
  const text = summaryText(madeUpAblation('smoke'));
  expect(text).toMatch(/^Smoke run, not evidence/);
  expect(text).toContain('Accuracy of full training in percent, over 2 seeds: 80.15 ± 0.07.');
});
