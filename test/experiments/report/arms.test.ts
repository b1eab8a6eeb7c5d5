import { expect, test } from 'vitest';
import { armLabel, armLegend, armStyle, byTaskAndFamily } from '../../../experiments/report/arms.ts';

test.each([
  ['full', 'to the end'],
  ['lora', 'to the end'],
  ['lora+stopping', 'early stopping'],
  ['full+grades', 'GradES'],
  ['grades', 'GradES'],
  ['lora-plain-stop', 'control'],
  ['my-rule plain stop', 'control'],
  ['paper-v1', 'the paper’s rules'],
  ['released-code', 'the paper’s rules'],
  ['my-rule', 'another rule'],
])('the arm %s is drawn as %s', (arm, words) => {
  const [entry] = armLegend([{ arm }]);
  const { colour, symbol } = armStyle(arm);
  expect(entry).toEqual({ words, colour, sample: symbol });
});

test('no two groups of arms share a colour or a mark', () => {
  const arms = ['full', 'full+stopping', 'plain-stop', 'full+grades', 'paper-v3', 'my-rule'];
  const styles = arms.map((arm) => armStyle(arm));
  expect(new Set(styles.map(({ colour }) => colour)).size).toBe(arms.length);
  expect(new Set(styles.map(({ symbol }) => symbol)).size).toBe(arms.length);
});

test('the rule is written as its authors write it', () => {
  expect(['grades', 'lora+grades', 'upgrades'].map(armLabel)).toEqual(['GradES', 'lora+GradES', 'upgrades']);
});

test('adapters have panels of their own', () => {
  const items = ['lora', 'full', 'lora+grades', 'plain-stop'].map((arm) => ({ arm, task: 'parity' }));
  expect(byTaskAndFamily(items).map(({ name, members }) => [name, ...members.map(({ arm }) => arm)])).toEqual([
    ['parity', 'full', 'plain-stop'],
    ['parity, LoRA', 'lora', 'lora+grades'],
  ]);
  const means = items.map(({ arm }) => ({ arm }));
  expect(byTaskAndFamily(means).map(({ name }) => name)).toEqual(['all weights', 'LoRA']);
});
