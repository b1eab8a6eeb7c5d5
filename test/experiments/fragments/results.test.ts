import { expect, test } from 'vitest';
import { textTable } from '../../../command/text-table.ts';
import {
  type ArmRecord,
  type Results,
  resultsInWords,
  resultsJson,
  resultsTable,
} from '../../../experiments/fragments/results.ts';

const matrix = {
  name: 'blocks.0.attention.query.weight',
  kind: 'query',
  block: 0,
  samples: [{ step: 90, value: 0.4 }],
};
const freeze = {
  type: 'freeze',
  name: matrix.name,
  step: 90,
  value: 0.4,
  threshold: 0.45,
  reason: 'converged',
} as const;
const follow = { ...freeze, name: 'tokens.table', value: null, threshold: null, reason: 'the first block is frozen' };

const full: ArmRecord = {
  ...{ name: 'full', steps: 120, seconds: { train: 2, evaluate: 0.5 }, flops: 1e9, peakBytes: 2048 },
  ...{
    accuracy: 0.8,
    loss: 0.5,
    losses: [{ step: 1, value: 2 }],
    events: [],
    watched: [],
    threshold: null,
    graceSteps: 120,
  },
  curve: [
    { step: 60, value: 0.7 },
    { step: 110, value: 0.77 },
    { step: 120, value: 0.79 },
  ],
  plainStop: { step: 110, accuracy: 0.78, loss: 0.55, seconds: 0.1 },
};

const grades: ArmRecord = {
  ...{
    ...full,
    name: 'grades',
    steps: 100,
    flops: 8e8,
    accuracy: 0.81,
    plainStop: null,
    threshold: 0.45,
    graceSteps: 18,
  },
  ...{ events: [freeze, follow], watched: [matrix] },
};

const results: Results = {
  ...{ device: { kind: 'cpu', adapter: 'two threads', software: true }, config: { steps: 120 } },
  ...{ full, grades },
};

test('both arms stand side by side, with the ratio of each pair', () => {
  const lines = textTable(resultsTable(results)).split('\n');
  const line = (title: string) => lines.find((each) => each.startsWith(title))?.split(/ {2,}/);
  expect(lines[0].trim().split(/ {2,}/)).toEqual(['full', 'GradES', 'GradES / full']);
  expect(line('accuracy')).toEqual(['accuracy on held-out files', '80.0 %', '81.0 %', '1.0 points']);
  expect(line('floating-point')).toEqual(['floating-point operations', '1.00 GFLOP', '800 MFLOP', '0.80']);
  expect(line('matrices')).toEqual(['matrices frozen', '0 of 1', '1 of 1']);
  expect(line('training time')?.at(-1)).toBe('1.00');
});

test('the words compare with a plain stop, where there was one', () => {
  expect(resultsInWords(results)).toMatch(
    /^GradES froze all 1 matrices and ended at step 100, with an accuracy of 81\.0 %\./,
  );
  expect(resultsInWords(results)).toContain('at step 110, would have reached 78.0 % (loss 0.5500)');
  const unfrozen = { ...results, full: { ...full, plainStop: null }, grades: { ...grades, events: [] } };
  expect(resultsInWords(unfrozen)).toBe('GradES froze 0 of 1 matrices by the end of the schedule.');
});

test('the JSON tells what the rule froze from what followed, and where an arm ended early', () => {
  expect(resultsJson(results)).toMatchObject({
    arms: [
      {
        name: 'full',
        frozen: [],
        followed: [],
        stoppedAt: null,
        plainStopAtEqualFlops: full.plainStop,
        curve: full.curve,
      },
      {
        ...{ name: 'grades', stoppedAt: 100, plainStopAtEqualFlops: null },
        frozen: [{ parameter: matrix.name, step: 90, value: 0.4, threshold: 0.45 }],
        followed: [{ parameter: 'tokens.table', step: 90 }],
      },
    ],
  });
});
