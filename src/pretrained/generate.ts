/** Text token by token. */
import { noGrad } from '../autograd/record.ts';
import type { Decoder } from '../nn/decoder.ts';
import { KeyValueCache } from '../nn/key-value-cache.ts';
import { tensor } from '../tensor/create.ts';
import type { NumericArray } from '../tensor/dtype.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { Random } from '../tensor/random.ts';
import { step } from '../tensor/scope.ts';
import { checkSampling, pickToken, type SamplingOptions } from './sampling.ts';

export interface GenerateOptions extends SamplingOptions {
  /** How many tokens at most; 256 by default. The end of the model's context ends it sooner. */
  maxTokens?: number;
  /** Tokens that end the text. They are not part of it. */
  stopTokens?: readonly number[];
  /** Of the draws. The same seed gives the same text. */
  seed?: number;
  /** Keep keys and values, so that each token costs one position. False computes all of them again, to the same end. */
  useCache?: boolean;
}

const optionNames = [
  'maxTokens',
  'temperature',
  'topK',
  'topP',
  'stopTokens',
  'seed',
  'useCache',
] as const satisfies readonly (keyof GenerateOptions)[];

/**
 * Tokens that go on from `prompt`, as they come. Each takes a step of its own, so none may be open meanwhile; the model is in
 * evaluation while it computes.
 *
 * @throws ArgumentError for an empty prompt, one that fills the context, a token outside the vocabulary, or bad options.
 */
export async function* generate(
  model: Decoder,
  prompt: readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<number, void> {
  checkOptions('generate', options, optionNames, 'maxTokens');
  const { maxTokens = 256, stopTokens = [], seed = 0, useCache = true } = options;
  const { contextLength, blocks } = model.config;
  checkSampling(options);
  if (!(Number.isInteger(maxTokens) && maxTokens > 0)) {
    throw new ArgumentError(`generate: maxTokens is ${maxTokens} (allowed: whole numbers of at least 1)`);
  }
  if (!Array.isArray(prompt) || !prompt.every(Number.isInteger)) {
    throw new ArgumentError(
      `generate: the prompt is ${typeof prompt === 'string' ? 'a text' : String(prompt)} (allowed: a list of tokens, such as tokenizer.encode gives)`,
    );
  }
  if (prompt.length === 0 || prompt.length >= contextLength) {
    throw new ArgumentError(`generate: the prompt has ${prompt.length} tokens (allowed: 1 … ${contextLength - 1})`);
  }
  const random = new Random(seed);
  const length = Math.min(prompt.length + maxTokens, contextLength);
  const cache = useCache ? new KeyValueCache(blocks, length) : null;
  const tokens = [...prompt];
  try {
    while (tokens.length < length) {
      const logits = await lastLogits(model, tokens.slice(cache?.length ?? 0), cache);
      const token = pickToken(logits, options, random);
      if (stopTokens.includes(token)) return;
      tokens.push(token);
      yield token;
    }
  } finally {
    cache?.release();
  }
}

/** The logits after the last of `tokens`, which follow those in the cache. */
function lastLogits(model: Decoder, tokens: readonly number[], cache: KeyValueCache | null): Promise<NumericArray> {
  return step(async () => {
    const wasTraining = model.training;
    model.eval();
    try {
      const { device } = model.tokens.table;
      const batch = tensor(Int32Array.from(tokens), { device, shape: [1, tokens.length] });
      return await noGrad(() => model.call(batch, { cache, lastOnly: true })).data();
    } finally {
      if (wasTraining) model.train();
    }
  });
}
