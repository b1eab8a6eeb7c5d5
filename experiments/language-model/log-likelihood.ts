/** How likely a model holds a text to be, whole or after another one. */

import {
  crossEntropy,
  type Decoder,
  KeyValueCache,
  logSoftmax,
  noGrad,
  step,
  type TextTokenizer,
  tensor,
} from '../../src/index.ts';
import { getOrCreate } from '../../src/tensor/get-or-create.ts';
import { DatasetError } from '../data/files.ts';
import type { ChoiceItem } from './items.ts';

/** Positions computed at a time: each takes as many logits as there are tokens in the vocabulary. */
const piece = 256;
/** Of which only the last position has logits. */
const questionsAtATime = 64;

/** A question in tokens, and each of its choices as what follows. */
export interface ChoiceTokens {
  readonly context: readonly number[];
  readonly continuations: readonly (readonly number[])[];
}

/**
 * Log-likelihood of a text, and how many of its tokens that counts: the first has nothing before it. A text longer than the
 * context is taken in windows, each of which begins with the last token of the one before.
 */
export async function textLogLikelihood(model: Decoder, tokens: readonly number[]) {
  const { blocks, contextLength } = model.config;
  const scored = tokens.length - 1;
  let sum = 0;
  for (let start = 0; start < scored; start += contextLength) {
    const end = Math.min(start + contextLength, scored);
    const cache = new KeyValueCache(blocks, end - start);
    try {
      sum += await logLikelihood(model, cache, tokens.slice(start, end), tokens.slice(start + 1, end + 1));
    } finally {
      cache.release();
    }
  }
  return { logLikelihood: sum, tokens: scored };
}

/** Log-likelihood of each choice after what stands before it, in the order of the choices. */
export async function choiceLogLikelihoods(model: Decoder, tokens: readonly ChoiceTokens[]): Promise<number[]> {
  const found: number[] = [];
  for (const each of tokens) found.push(...(await continuationLogLikelihoods(model, each)));
  return found;
}

/**
 * The same of many questions. Where each choice is a single token, one pass over questions of the same length serves all their
 * choices; others are taken one by one.
 *
 * @param onQuestions told how many were done, now and then; may throw, which ends it.
 */
export async function questionsLogLikelihoods(
  model: Decoder,
  questions: readonly (readonly ChoiceTokens[])[],
  onQuestions: (done: number) => void = () => {},
): Promise<number[][]> {
  const found: number[][] = questions.map(() => []);
  const alike = new Map<number, number[]>();
  for (const [i, tokens] of questions.entries()) {
    const [{ context, continuations }] = tokens;
    const isSingle = tokens.length === 1 && continuations.every(({ length }) => length === 1);
    getOrCreate(alike, isSingle ? context.length : 0, () => []).push(i);
  }
  let done = 0;
  const take = async (places: readonly number[], likelihoods: () => Promise<number[][]>) => {
    onQuestions(done);
    for (const [i, values] of (await likelihoods()).entries()) found[places[i]] = values;
    done += places.length;
  };
  for (const [length, places] of alike) {
    const atATime = length === 0 ? 1 : questionsAtATime;
    for (let from = 0; from < places.length; from += atATime) {
      const some = places.slice(from, from + atATime);
      const tokens = some.map((i) => questions[i]);
      await take(some, () =>
        length === 0
          ? Promise.all(tokens.map((each) => choiceLogLikelihoods(model, each)))
          : nextTokenLogLikelihoods(
              model,
              tokens.map(([each]) => each),
            ),
      );
    }
  }
  onQuestions(done);
  return found;
}

/** Of questions whose contexts are as long, and whose choices are single tokens. */
async function nextTokenLogLikelihoods(model: Decoder, questions: readonly ChoiceTokens[]): Promise<number[][]> {
  const { vocabulary } = model.config;
  const values = await inEvaluation(model, () => {
    const { device } = model.tokens.table;
    const contexts = tensor(
      questions.map(({ context }) => [...context]),
      { device, dtype: 'i32' },
    );
    return logSoftmax(model.call(contexts, { lastOnly: true })).data();
  });
  return questions.map(({ continuations }, i) => continuations.map(([token]) => values[i * vocabulary + token]));
}

/** Log-likelihood of each continuation after the context, whose keys and values are computed once. */
async function continuationLogLikelihoods(model: Decoder, { context, continuations }: ChoiceTokens) {
  const shared = context.slice(0, -1);
  const longest = Math.max(...continuations.map(({ length }) => length));
  const cache = new KeyValueCache(model.config.blocks, shared.length + longest);
  try {
    if (shared.length > 0) await fill(model, cache, shared);
    const found: number[] = [];
    for (const continuation of continuations) {
      cache.rewind(shared.length);
      const inputs = [...context.slice(-1), ...continuation.slice(0, -1)];
      found.push(await logLikelihood(model, cache, inputs, continuation));
    }
    return found;
  } finally {
    cache.release();
  }
}

/**
 * The tokens of the choices, and of what stands before them: one for all choices, or one for each.
 *
 * @throws {DatasetError} they do not fit the model, or a choice has no token of its own.
 */
export function choiceTokens(
  tokenizer: TextTokenizer,
  contextLength: number,
  { prompts, choices, line }: Pick<ChoiceItem, 'prompts' | 'choices' | 'line'>,
): ChoiceTokens[] {
  return prompts.map((prompt, i) => {
    const after = prompts.length === 1 ? choices : [choices[i]];
    const parts = after.map((choice) => splitTokens(tokenizer, contextLength, prompt, ` ${choice}`, line));
    return { context: parts[0].context, continuations: parts.map(({ continuation }) => continuation) };
  });
}

/**
 * The tokens of a text in two parts as lm-evaluation-harness makes them: of both together, the second has those after as many as
 * the first has alone. Spaces at the end of the first go with the second.
 *
 * @throws {DatasetError} they do not fit the model, or the second has no token of its own.
 */
export function splitTokens(
  tokenizer: TextTokenizer,
  contextLength: number,
  first: string,
  second: string,
  line: number,
): { context: number[]; continuation: number[] } {
  const context = tokenizer.encode(first.trimEnd());
  const whole = tokenizer.encode(first + second);
  if (whole.length - 1 > contextLength) {
    throw new DatasetError(
      `line ${line}: the text with "${second.trim()}" has ${whole.length - 1} tokens (allowed: up to ${contextLength})`,
    );
  }
  if (whole.length <= context.length)
    throw new DatasetError(`line ${line}: "${second.trim()}" has no token of its own`);
  return { context, continuation: whole.slice(context.length) };
}

/** Σ log p(target), of which the i-th follows the i-th input. What the cache holds comes before; the inputs are added to it. */
async function logLikelihood(
  model: Decoder,
  cache: KeyValueCache,
  inputs: readonly number[],
  targets: readonly number[],
): Promise<number> {
  let sum = 0;
  for (let from = 0; from < inputs.length; from += piece) {
    const losses = await inEvaluation(model, () => {
      const { device } = model.tokens.table;
      const row = (tokens: readonly number[]) => tensor([tokens.slice(from, from + piece)], { device, dtype: 'i32' });
      const logits = model.call(row(inputs), { cache });
      return crossEntropy(logits, row(targets), { reduction: 'none' }).data();
    });
    for (const loss of losses) sum -= loss;
  }
  return sum;
}

async function fill(model: Decoder, cache: KeyValueCache, tokens: readonly number[]): Promise<void> {
  await inEvaluation(model, () => {
    const { device } = model.tokens.table;
    model.call(tensor([[...tokens]], { device, dtype: 'i32' }), { cache, lastOnly: true });
  });
}

/** A step without a graph and without dropout. */
function inEvaluation<T>(model: Decoder, body: () => T | Promise<T>): Promise<T> {
  return step(async () => {
    const wasTraining = model.training;
    model.eval();
    try {
      return await noGrad(body);
    } finally {
      if (wasTraining) model.train();
    }
  });
}
