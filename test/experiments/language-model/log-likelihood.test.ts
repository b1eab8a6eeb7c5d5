import { expect, test } from 'vitest';
import { choiceLogLikelihoods, questionsLogLikelihoods } from '../../../experiments/language-model/log-likelihood.ts';
import { smallModel } from '../../../experiments/study/small.ts';
import { openDevice } from '../../../src/index.ts';

test('questions side by side have the likelihoods that each has alone', async () => {
  const { model } = smallModel(await openDevice('cpu'));
  const questions = [
    [{ context: [3, 1, 4], continuations: [[1], [5], [9]] }],
    [{ context: [2, 6, 5, 3], continuations: [[5], [8]] }],
    [{ context: [9, 7, 9], continuations: [[3], [2]] }],
    // Choices of several tokens, and a context before each choice.
    [{ context: [3, 8], continuations: [[4, 6], [2]] }],
    [
      { context: [6, 4], continuations: [[3]] },
      { context: [3, 8], continuations: [[3]] },
    ],
  ];
  const done: number[] = [];
  const together = await questionsLogLikelihoods(model, questions, (count) => done.push(count));
  for (const [i, question] of questions.entries()) {
    const alone = await choiceLogLikelihoods(model, question);
    expect(together[i]).toHaveLength(alone.length);
    for (const [k, value] of alone.entries()) expect(together[i][k]).toBeCloseTo(value, 5);
  }
  expect([done.at(0), done.at(-1)]).toEqual([0, 5]);
});
