import { describe, expect, test } from 'vitest';
import { vocabulary, windowLength } from '../../../experiments/compare/tasks/task.ts';
import { loadTask, taskNames } from '../../../experiments/compare/tasks.ts';
import { ArgumentError } from '../../../src/index.ts';

const itemsOf = ({ tokens, count }: { tokens: Int32Array; count: number }) =>
  Array.from({ length: count }, (_, i) => tokens.subarray(i * windowLength, (i + 1) * windowLength).join());

test('eight tasks: three or more on files, two that get solved, two that stay noisy, one that jumps late', () => {
  const tasks = taskNames.map(loadTask);
  const count = (is: (task: (typeof tasks)[number]) => boolean) => tasks.filter(is).length;
  expect(tasks).toHaveLength(8);
  expect(count(({ base }) => base === 'files')).toBeGreaterThanOrEqual(3);
  expect(count(({ character }) => character === 'solved')).toBeGreaterThanOrEqual(2);
  expect(count(({ character }) => character === 'noisy')).toBeGreaterThanOrEqual(2);
  expect(count(({ character }) => character === 'late-jump')).toBeGreaterThanOrEqual(1);
  expect(() => loadTask('mnist')).toThrow(ArgumentError);
  expect(() => loadTask('mnist')).toThrow("no task 'mnist' (allowed: file-kind");
});

describe.each(taskNames)('%s', (name) => {
  const task = loadTask(name);
  const classes = task.classes.length;

  test('holds 2,000 test items or more, distinct, and none of them in validation', () => {
    expect(task.test.count).toBeGreaterThanOrEqual(2000);
    expect(task.validation.count).toBeGreaterThanOrEqual(task.test.count);
    const all = [...itemsOf(task.test), ...itemsOf(task.validation)];
    expect(all).toHaveLength(task.test.count + task.validation.count);
    expect(new Set(all).size).toBe(all.length);
  });

  test('draws for training nothing that is held out', () => {
    const heldOut = new Set([...itemsOf(task.test), ...itemsOf(task.validation)]);
    for (let step = 1; step <= 40; step++) {
      const { tokens } = task.trainingBatch(1, step, 16);
      for (const item of itemsOf({ tokens, count: 16 })) expect(heldOut.has(item)).toBe(false);
    }
  });

  test('has items of every class alike, of tokens that its base knows', () => {
    for (const { labels, tokens, count } of [task.test, task.validation]) {
      expect(tokens).toHaveLength(count * windowLength);
      const perClass = Array.from({ length: classes }, (_, label) => labels.filter((each) => each === label).length);
      // Noise in the labels moves some; otherwise they go round.
      const tolerance = name === 'noisy-majority' ? 0.1 : 0.01;
      for (const items of perClass) expect(Math.abs((items * classes) / count - 1)).toBeLessThan(tolerance);
      expect(tokens.every((token) => token >= 0 && token < vocabulary[task.base])).toBe(true);
    }
  });

  test('gives a batch by seed and step alone', () => {
    const first = task.trainingBatch(3, 7, 16);
    expect(task.trainingBatch(3, 7, 16)).toEqual(first);
    for (const [seed, step] of [
      [3, 8],
      [4, 7],
    ]) {
      expect(task.trainingBatch(seed, step, 16).tokens).not.toEqual(first.tokens);
    }
  });
});

describe('labels say what the task asks', () => {
  const rowsOf = (name: string) => {
    const { tokens, labels, count } = loadTask(name).test;
    return Array.from({ length: count }, (_, i) => ({
      row: [...tokens.subarray(i * windowLength, (i + 1) * windowLength)],
      label: labels[i],
    }));
  };
  const countOf = (row: readonly number[], token: number) => row.filter((each) => each === token).length;

  test('majority', () => {
    for (const { row, label } of rowsOf('majority')) {
      const counts = [0, 1, 2, 3].map((letter) => countOf(row, letter));
      expect(counts.filter((count) => count >= counts[label])).toHaveLength(1);
    }
  });

  test('contains', () => {
    for (const { row, label } of rowsOf('contains')) expect(row.includes(0) ? 1 : 0).toBe(label);
  });

  test('parity', () => {
    for (const { row, label } of rowsOf('parity')) {
      expect(countOf(row, 0) + countOf(row, 1)).toBe(2);
      expect(countOf(row, 1) % 2).toBe(label);
    }
  });

  test('noisy-majority: a quarter is drawn at random, so three of sixteen are wrong', () => {
    const rows = rowsOf('noisy-majority');
    const right = rows.filter(({ row, label }) =>
      [0, 1, 2, 3].every((each) => countOf(row, each) <= countOf(row, label)),
    );
    expect(right.length / rows.length).toBeCloseTo(13 / 16, 1);
  });
});
