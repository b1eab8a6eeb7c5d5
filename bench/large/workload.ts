import { caseOf } from '../attention/workload.ts';
import { casesOf } from '../matmul/workload.ts';
import type { GptSize } from '../sized-gpt.ts';

/** Sizes that keep a graphics card busy. On a software adapter they take minutes. */
export const products = casesOf([1024, 2048, 4096].map((side) => [side, side, side] as const));
export const attentions = [1024, 4096].map(caseOf);

/** The sizes of the smallest GPT-2, whose 124 million parameters share the embeddings with the head; here it has its own. */
export function gptSize(software: boolean): GptSize {
  return { batch: software ? 1 : 8, time: 1024, width: 768, blocks: 12, vocabulary: 50_257, headSize: 64 };
}
