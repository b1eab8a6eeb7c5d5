/** What a model is fine-tuned on: train.jsonl, valid.jsonl and test.jsonl in tokens, and the batches of each step. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Random, type TextTokenizer } from '../../src/index.ts';
import { DatasetError } from '../data/files.ts';
import { type ChatItem, type ChoiceItem, forms, type Items, readItems } from './items.ts';
import { type ChoiceTokens, choiceTokens, splitTokens } from './log-likelihood.ts';
import type { TemplateName } from './templates.ts';

/** One item in tokens. */
export interface Sample {
  /** Its place among the samples of its file, whatever order they come in. */
  readonly index: number;
  readonly tokens: readonly number[];
  /** What follows each token; `ignored` where that is not learned. */
  readonly targets: readonly number[];
  /** How many targets are learned. */
  readonly learned: number;
}

/** A question whose answer is picked by likelihood. */
export type Question = Pick<ChoiceItem, 'choices' | 'answer'> & { readonly tokens: readonly ChoiceTokens[] };

export interface Split {
  readonly samples: readonly Sample[];
  /** Of multiple choice; empty in the other forms. */
  readonly questions: readonly Question[];
}

export type Splits = Readonly<Record<'train' | 'valid' | 'test', Split>> & { readonly kind: Items['kind'] };

/** Stands as the target of what is not learned. */
export const ignored = -100;

/** The files of a folder of data. */
export const splitFiles = { train: 'train.jsonl', valid: 'valid.jsonl', test: 'test.jsonl' } as const;

export interface SplitOptions {
  tokenizer: TextTokenizer;
  /** How many tokens a sample may have. A text is cut to it; what is longer in other forms is refused. */
  contextLength: number;
  template: TemplateName | null;
}

/** @throws {DatasetError} it names the file and the line. */
export function readSplits(folder: string, options: SplitOptions): Splits {
  const missing = Object.values(splitFiles).find((name) => !existsSync(join(folder, name)));
  if (missing) throw new DatasetError(`${folder} has no ${missing} (needed: ${Object.values(splitFiles).join(', ')})`);
  const read = (name: keyof typeof splitFiles) => readItems(join(folder, splitFiles[name]), options);
  const [train, valid, test] = [read('train'), read('valid'), read('test')];
  const other = [valid, test].find(({ kind }) => kind !== train.kind);
  if (other) {
    throw new DatasetError(
      `${folder}: ${splitFiles.train} has lines of the form ${forms[train.kind]}, another file ${forms[other.kind]} ` +
        '(allowed: one form)',
    );
  }
  const encoded = (items: Items, name: keyof typeof splitFiles) => {
    try {
      return encode(items, options);
    } catch (error) {
      throw error instanceof DatasetError
        ? new DatasetError(`${join(folder, splitFiles[name])}, ${error.message}`)
        : error;
    }
  };
  return {
    kind: train.kind,
    train: encoded(train, 'train'),
    valid: encoded(valid, 'valid'),
    test: encoded(test, 'test'),
  };
}

function encode({ kind, items }: Items, { tokenizer, contextLength }: SplitOptions): Split {
  const end = tokenizer.endToken === null ? [] : [tokenizer.endToken];
  const samples: Sample[] = [];
  const questions: Question[] = [];
  const add = (line: number, tokens: readonly number[], isLearned: (position: number) => boolean) => {
    if (tokens.length - 1 > contextLength) {
      throw new DatasetError(`line ${line}: has ${tokens.length - 1} tokens (allowed: up to ${contextLength})`);
    }
    const targets = tokens.slice(1).map((token, i) => (isLearned(i + 1) ? token : ignored));
    const learned = targets.filter((target) => target !== ignored).length;
    if (learned === 0) throw new DatasetError(`line ${line}: has no token to learn (allowed: one or more)`);
    samples.push({ index: samples.length, tokens: tokens.slice(0, -1), targets, learned });
  };
  if (kind === 'text') {
    for (const { text, line } of items) {
      const tokens = [...tokenizer.encode(text), ...end];
      if (tokens.length < 2) throw new DatasetError(`line ${line}: has ${tokens.length} tokens (allowed: from 2 on)`);
      // Each piece begins with the last token of the one before, so that every token but the first is learned once.
      for (let from = 0; from < tokens.length - 1; from += contextLength) {
        add(line, tokens.slice(from, from + contextLength + 1), () => true);
      }
    }
  } else if (kind === 'completion') {
    for (const { prompt, completion, line } of items) {
      const { context, continuation } = splitTokens(tokenizer, contextLength, prompt, completion, line);
      add(line, [...context, ...continuation, ...end], (position) => position >= context.length);
    }
  } else if (kind === 'choice') {
    for (const item of items) {
      const tokens = choiceTokens(tokenizer, contextLength, item);
      const { choices, answer, line } = item;
      questions.push({ choices, answer, tokens });
      const { context, continuations } = tokens.length === 1 ? tokens[0] : tokens[answer];
      const right = tokens.length === 1 ? continuations[answer] : continuations[0];
      add(line, [...context, ...right], (position) => position >= context.length);
    }
  } else {
    for (const item of items) {
      const { tokens, answers } = chatTokens(item, tokenizer);
      add(item.line, tokens, (position) => answers.some(({ from, to }) => position >= from && position < to));
    }
  }
  return { samples, questions };
}

/** A chat in tokens, and where in it the assistant speaks, ends of turns included. */
function chatTokens({ messages, line }: ChatItem, tokenizer: TextTokenizer) {
  const written = (count: number, addGenerationPrompt: boolean) =>
    tokenizer.encode(tokenizer.chat(messages.slice(0, count), { addGenerationPrompt }), { addSpecialTokens: false });
  const tokens = written(messages.length, false);
  const answers = messages.flatMap(({ role }, i) => {
    if (role !== 'assistant') return [];
    const [before, after] = [written(i, true), written(i + 1, false)];
    if ([before, after].every((part) => part.every((token, k) => token === tokens[k]))) {
      return [{ from: before.length, to: after.length }];
    }
    throw new DatasetError(
      `line ${line}: the chat template writes what stands before message ${i + 1} otherwise once more follows, so that it ` +
        'cannot be told what the assistant said (allowed: {"prompt", "completion"} instead)',
    );
  });
  return { tokens, answers };
}

/** Samples side by side, filled up to the longest. */
export interface Batch {
  readonly rows: readonly Sample[];
  readonly time: number;
  /** (rows, time); behind the end of a row stand 0 and `ignored`. */
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
  readonly lengths: Int32Array;
  readonly learned: number;
}

export function batchOf(rows: readonly Sample[]): Batch {
  const time = Math.max(...rows.map(({ tokens }) => tokens.length));
  const tokens = new Int32Array(rows.length * time);
  const targets = new Int32Array(rows.length * time).fill(ignored);
  rows.forEach((row, i) => {
    tokens.set(row.tokens, i * time);
    targets.set(row.targets, i * time);
  });
  const lengths = Int32Array.from(rows, (row) => row.tokens.length);
  return { rows, time, tokens, targets, lengths, learned: rows.reduce((sum, row) => sum + row.learned, 0) };
}

/** Samples of like length in batches, the longest first; none is a batch alone, where there are others. */
export function byLength(samples: readonly Sample[], size: number): Sample[][] {
  const sorted = samples.toSorted((a, b) => b.tokens.length - a.tokens.length || a.index - b.index);
  const batches: Sample[][] = [];
  for (let from = 0; from < sorted.length; from += size) batches.push(sorted.slice(from, from + size));
  const last = batches.at(-1);
  // One sample alone has no halves, which GradES compares.
  if (batches.length > 1 && size > 1 && last?.length === 1) batches.splice(-2, 2, [...(batches.at(-2) ?? []), ...last]);
  return batches;
}

/** Samples that are sorted by length together: in so many batches. */
const batchesSortedTogether = 32;
/** Of the random order; the weights of adapters and dropout have their own. */
const orderStream = 21;

/**
 * Which samples come when: a function of the seed and the number of the batch, so that nothing has to be kept to go on. In each
 * epoch every sample comes once, with others of like length, in another order.
 */
export class BatchOrder {
  readonly #samples: readonly Sample[];
  readonly #size: number;
  readonly #seed: number;
  #kept: { epoch: number; batches: Sample[][] };

  constructor(samples: readonly Sample[], size: number, seed: number) {
    this.#samples = samples;
    this.#size = size;
    this.#seed = seed;
    this.#kept = { epoch: 0, batches: this.#made(0) };
  }

  get batchesPerEpoch(): number {
    return this.#kept.batches.length;
  }

  /** @param number from 0, through all epochs. */
  batch(number: number): readonly Sample[] {
    const epoch = Math.floor(number / this.batchesPerEpoch);
    if (epoch !== this.#kept.epoch) this.#kept = { epoch, batches: this.#made(epoch) };
    return this.#kept.batches[number % this.batchesPerEpoch];
  }

  #made(epoch: number): Sample[][] {
    const random = new Random(this.#seed, orderStream + epoch * 64);
    const samples = shuffled(this.#samples, random);
    const together = this.#size * batchesSortedTogether;
    const batches: Sample[][] = [];
    // What is left over at the end is sorted with the last that are whole, so that every epoch has as many batches.
    const groups = Math.max(1, Math.floor(samples.length / together));
    for (let i = 0; i < groups; i++) {
      const end = i + 1 === groups ? samples.length : (i + 1) * together;
      batches.push(...byLength(samples.slice(i * together, end), this.#size));
    }
    return shuffled(batches, random);
  }
}

function shuffled<T>(values: readonly T[], random: Random): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const other = random.integer(i + 1);
    [result[i], result[other]] = [result[other], result[i]];
  }
  return result;
}
