/** Every suite by the name of its folder. A module is loaded only where it is used, so that a child process holds nothing else. */

import type { Suite } from './suite.ts';

/** What each measures, in a line. */
export const suiteTitles = {
  matmul: 'matrix products in f32, forward and with gradients',
  attention: 'causal attention, forward and backward, at 64 to 1024 positions',
  step: 'one training step of a small GPT: the first one cold, with nothing frozen, and with parts frozen',
  freeze: 'what freezing parts of the small GPT saves in time and memory',
  watch: 'what GradES adds to the GPT step while nothing freezes',
  memory: 'bytes of all buffers on webgpu during the GPT step, and over 2,000 steps',
  overhead: 'what the GPT step costs in JavaScript on webgpu, phase by phase',
  growth: 'time and memory of the GPT step as positions, width, depth and batch grow',
  precision: 'the GPT step with the values between layers stored in f32 and in f16, on webgpu',
  model:
    "the training step of SmolLM2-135M's shape, all weights and LoRA, at two batch shapes, and its products; takes minutes",
  prefix:
    "the step of SmolLM2-135M's shape against the frozen share of its blocks, with and without what leaves them kept",
  large: 'products, attention and a GPT that fill a graphics card; takes minutes without one',
  lesson: 'the versions of the matrix product in docs/kernels.md',
  tune: 'tile sizes of the matrix product on your adapter: the one in use, and others',
} as const;

export type SuiteName = keyof typeof suiteTitles;

export function isSuiteName(name: string): name is SuiteName {
  return Object.hasOwn(suiteTitles, name);
}

export async function loadSuite(name: SuiteName): Promise<Suite> {
  const { suite }: { suite: Suite } = await import(`./${name}/suite.ts`);
  return suite;
}
