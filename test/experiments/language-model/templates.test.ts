import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fromTemplate, templateNames } from '../../../experiments/language-model/templates.ts';

interface Asked {
  fields: Record<string, unknown>;
  /** By lm-evaluation-harness: context and continuation of each choice. */
  requests: [string, string][];
  answer: number;
}

const asked: Record<string, Asked[]> = JSON.parse(readFileSync(new URL('templates.json', import.meta.url), 'utf8'));

test.each(templateNames)('%s asks what lm-evaluation-harness asks', (name) => {
  expect(asked[name].length).toBeGreaterThan(0);
  for (const { fields, requests, answer } of asked[name]) {
    const made = fromTemplate(name, fields);
    const pairs = made.choices.map((choice, i) => [made.prompts[i] ?? made.prompts[0], ` ${choice}`]);
    expect(pairs).toEqual(requests);
    expect(made.answer).toBe(answer);
  }
});

test.each(['openbookqa', 'arc-easy'] as const)('%s as its authors published it', (name) => {
  for (const { fields } of asked[name]) {
    const { choices, answerKey } = fields;
    const { text, label }: { text: string[]; label: string[] } = Object(choices);
    const stem = fields.question ?? fields.question_stem;
    const question = { stem, choices: text.map((each, i) => ({ text: each, label: label[i] })) };
    expect(fromTemplate(name, { question, answerKey })).toEqual(fromTemplate(name, fields));
  }
});

test.each([
  ['boolq', { label: 2 }, '"label" is 2 (allowed: 0, 1)'],
  ['piqa', { sol2: undefined }, '"sol2" is missing (allowed: a text that is not empty)'],
  ['siqa', { label: '0' }, '"label" is "0" (allowed: "1", "2", "3")'],
  ['hellaswag', { label: '' }, '"label" is "" (allowed: 0, 1, 2, 3)'],
  ['winogrande', { sentence: 'no gap' }, '"sentence" has no _'],
  ['winogrande', { answer: '' }, '"answer" is "" (allowed: "1", "2")'],
  ['openbookqa', { choices: undefined }, '"text" must be two texts or more'],
  ['arc-challenge', { answerKey: 'E' }, '"answerKey" is "E" (allowed: "A", "B", "C")'],
] as const)('%s: %j is refused', (name, change, message) => {
  expect(() => fromTemplate(name, { ...asked[name][0].fields, ...change })).toThrow(message);
});
