import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { accuracyOf, picksOf } from '../../../experiments/language-model/choice-scores.ts';
import { readItems } from '../../../experiments/language-model/items.ts';
import { choiceTokens } from '../../../experiments/language-model/log-likelihood.ts';
import { loadPretrained, loadTokenizer, noGrad, step, tensor } from '../../../src/index.ts';
import { cpu } from '../../devices.ts';
import { fixture } from '../../pretrained/fixtures.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';
import { characters, run, smallModel } from './command.ts';

/** log p of each token after those before it, in f64 from the logits of one pass without a cache. */
async function logProbabilities(text: string): Promise<number[]> {
  const { model } = await loadPretrained(fixture('models/llama'), { device: cpu });
  const tokens = [...text].map((each) => characters.indexOf(each));
  const logits = await step(() => noGrad(() => model.call(tensor([tokens], { device: cpu, dtype: 'i32' }))).data());
  return tokens.slice(1).map((token, i) => {
    const row = [...logits.subarray(i * 96, (i + 1) * 96)];
    return row[token] - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
  });
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

async function evaluate(lines: readonly string[], ...options: string[]) {
  const folder = temporaryFolder();
  writeFiles(folder, { 'items.jsonl': lines.join('\n') });
  const [data, json] = [join(folder, 'items.jsonl'), join(folder, 'scores.json')];
  const asked = ['--model', smallModel(), '--device', 'cpu', '--data', data, '--json', json, ...options];
  const { stdout, stderr, code } = await run('evaluate', ...asked);
  return { stdout, stderr, code, scores: code === 0 ? JSON.parse(readFileSync(json, 'utf8')) : null };
}

test('perplexity: of every token but the first; a long text in windows', async () => {
  const long = 'The quick brown fox jumps over the lazy dog. '.repeat(3);
  const texts = ['It was a dark night.', long];
  const { stdout, scores } = await evaluate(texts.map((text) => JSON.stringify({ text })));
  const short = await logProbabilities(texts[0]);
  // 96 positions: the second window begins with the last token of the first one.
  const windows = [...(await logProbabilities(long.slice(0, 97))), ...(await logProbabilities(long.slice(96)))];
  const tokens = texts[0].length - 1 + long.length - 1;
  expect(short.length + windows.length).toBe(tokens);
  const perToken = -sum([...short, ...windows]) / tokens;
  expect(scores.tokens).toBe(tokens);
  expect(scores.negativeLogLikelihoodPerToken).toBeCloseTo(perToken, 5);
  expect(scores.perplexity / Math.exp(perToken)).toBeCloseTo(1, 5);
  expect(stdout).toContain(`Perplexity: ${scores.perplexity.toPrecision(6)} over ${tokens} tokens`);
});

test('multiple choice: the likelihood of what follows the context, and who is picked', async () => {
  const items = [
    { question: 'Who flies?', choices: ['a bird', 'a fish', 'a stone in a river'], answer: 0 },
    { question: 'Wet?', choices: ['water', 'no'], answer: 1 },
    { question: 'Not read', choices: ['a', 'b'], answer: 0 },
  ];
  const { stdout, scores } = await evaluate(
    items.map((item) => JSON.stringify(item)),
    ...['--limit', '2'],
  );
  expect(scores.items).toHaveLength(2);
  for (const [i, { question, choices, answer }] of items.slice(0, 2).entries()) {
    const context = `Question: ${question}\nAnswer:`;
    const expected: number[] = [];
    for (const choice of choices) {
      const all = await logProbabilities(`${context} ${choice}`);
      expected.push(sum(all.slice(context.length - 1)));
    }
    const found: number[] = scores.items[i].logLikelihoods;
    found.forEach((value, k) => {
      expect(value, choices[k]).toBeCloseTo(expected[k], 4);
    });
    const perCharacter = expected.map((value, k) => value / choices[k].length);
    expect(scores.items[i].accPicks).toBe(expected.indexOf(Math.max(...expected)));
    expect(scores.items[i].accNormPicks).toBe(perCharacter.indexOf(Math.max(...perCharacter)));
    expect(scores.items[i].answer).toBe(answer);
  }
  expect(stdout).toMatch(/Of 2 questions\nacc: {6}[\d.]+ % ± [\d.]+ %\nacc_norm: /);
});

describe('counted as lm-evaluation-harness does', () => {
  test('the first of equals; characters are code points', () => {
    expect(picksOf(['aa', 'b'], [-2, -2])).toEqual({ byLikelihood: 0, byCharacter: 0 });
    expect(picksOf(['aaaa', 'b'], [-4, -3])).toEqual({ byLikelihood: 1, byCharacter: 0 });
    // In UTF-16 the bird has two units, and would be picked.
    expect(picksOf(['🐦', 'ab'], [-3, -4])).toEqual({ byLikelihood: 0, byCharacter: 1 });
  });

  test('the standard error is the sample deviation over the root of the count', () => {
    // Deviations of 1, 1, 1, 0 from 0.75: 3 · 0.0625 + 0.5625 = 0.75; 0.75 / 3 = 0.25; its root 0.5, over 2.
    expect(accuracyOf([true, true, true, false])).toEqual({ value: 0.75, standardError: 0.25 });
    expect(accuracyOf([true])).toEqual({ value: 1, standardError: null });
  });

  test('the tokens of a choice are those after as many as the context has', async () => {
    const tokenizer = await loadTokenizer(fixture('tokenizers/byte-level'));
    const item = { prompts: ['Question: Which?\nAnswer:'], choices: ['light', 'a house'], line: 1 };
    const [{ context, continuations }] = choiceTokens(tokenizer, 96, item);
    expect(context).toEqual(tokenizer.encode('Question: Which?\nAnswer:'));
    expect(continuations.map((each) => tokenizer.decode(each))).toEqual([' light', ' a house']);
  });
});

describe('what cannot be used is refused, by its line', () => {
  const good = '{"question": "q", "choices": ["a", "b"], "answer": 1}';
  test.each([
    ['{"question": ', 'line 2: is no JSON'],
    ['7', 'line 2: is no JSON object'],
    ['{"title": "t"}', 'line 2: has none of the known forms'],
    ['{"question": "q", "choices": ["a"], "answer": 0}', 'line 2: "choices" must be two texts or more'],
    ['{"question": "q", "choices": ["a", ""], "answer": 0}', 'none of them empty'],
    ['{"question": "q", "choices": ["a", "b"], "answer": 2}', 'line 2: "answer" is 2 (allowed: 0 … 1'],
    ['{"question": "q", "choices": ["a", "b"], "answer": "a"}', 'line 2: "answer" is "a"'],
    ['{"question": "q", "choices": ["a", "b"]}', 'line 2: "answer" is missing'],
    ['{"text": "t"}', 'line 2: is {"text"}, the lines before are {"question", "choices", "answer"}'],
  ])('%s', (line, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'items.jsonl': `${good}\n${line}\n` });
    expect(() => readItems(join(folder, 'items.jsonl'))).toThrow(message);
  });

  test('no file, no items', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'empty.jsonl': '\n\n' });
    expect(() => readItems(join(folder, 'empty.jsonl'))).toThrow('has no items');
    expect(() => readItems(join(folder, 'none.jsonl'))).toThrow('cannot be read (ENOENT)');
  });

  test('a question longer than the context, a text of one token', async () => {
    const question = 'x'.repeat(90);
    const long = await evaluate([good, JSON.stringify({ question, choices: ['a', 'b'], answer: 0 })]);
    expect([long.code, long.stderr]).toEqual([1, expect.stringContaining('line 2: the text with "a" has 109 tokens')]);
    const short = await evaluate(['{"text": "a"}']);
    expect([short.code, short.stderr]).toEqual([1, expect.stringContaining('line 1: the text has 1 tokens')]);
    const none = await run('evaluate', '--model', 'x');
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('--data must be given')]);
  });
});
