import { type AttentionCase, caseOf } from '../attention/workload.ts';
import type { GptSize } from '../gpt.ts';
import { casesOf } from '../matmul/workload.ts';

/** What is measured, each part in a process of its own: one that does not fit the adapter leaves the others. */
export const parts = ['operations', 'GPT in f32', 'GPT in f16'] as const;

/** Sizes that keep a graphics card busy. On a software adapter they take minutes. */
export const products = casesOf([1024, 2048, 4096].map((side) => [side, side, side] as const));
export const attentions = [1024, 4096].map(caseOf);
export const attentionName = ({ name }: AttentionCase) => `attention, ${name}`;

/** The case whose speed is the share of every other's. */
export const peakName = 'multiply-adds in registers';

const smallestGpt2 = { batch: 8, time: 1024, width: 768, blocks: 12, vocabulary: 50_257, headSize: 64 };

/**
 * The sizes of the smallest GPT-2, whose 124 million parameters share the embeddings with the head; here it has its own.
 * A software adapter binds 128 MiB at a time, which neither the embeddings nor the logits may exceed, and has minutes.
 */
export function gptSize(software: boolean): typeof smallestGpt2 {
  return software ? { ...smallestGpt2, batch: 1, time: 512, vocabulary: 32_768 } : smallestGpt2;
}

export const gptSteps = (software: boolean) => (software ? 3 : 10);

export function gptName({ batch, time, width, blocks, vocabulary = 0 }: GptSize, precision = 'f32'): string {
  // Four matrices of attention and eight such of a feed-forward part of four times the width, and norms that have a gain.
  const parameters = blocks * (12 * width * width + 2 * width) + width + (2 * vocabulary + time) * width;
  return `GPT step, ${(parameters / 1e6).toFixed(0)} M parameters, batch ${batch}, ${time} positions, ${precision}`;
}
