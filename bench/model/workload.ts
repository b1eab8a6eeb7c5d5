/** The training step of a model of the size people fine-tune: SmolLM2-135M's shape with random weights. */

import type { DecoderConfig } from '../../src/index.ts';
import { casesOf } from '../matmul/workload.ts';

/** As its config.json has it. */
export const size = {
  vocabulary: 49152,
  width: 576,
  blocks: 30,
  heads: 9,
  keyHeads: 3,
  headSize: 64,
  hidden: 1536,
  epsilon: 1e-5,
  base: 100_000,
} as const;

export const decoderConfig: DecoderConfig = {
  ...size,
  ...{ contextLength: 2048, positions: { base: size.base, size: size.headSize, scaling: null } },
  ...{ normalization: 'rms', headNorms: false, feedForward: 'swiglu', tiedHead: true },
  biases: { queryKeyValue: false, output: false, feedForward: false },
  windows: Array.from({ length: size.blocks }, () => null),
};

export const rank = 8;
export const learningRate = 1e-4;

export const shapes = [
  { batch: 8, time: 32 },
  { batch: 4, time: 256 },
] as const;

/**
 * What trains, and how its base is stored. In bf16, as checkpoints have it, it is widened on the way, and all else is as in f32; PyTorch
 * would compute in bf16 too, so this is compared with its f32.
 */
const trained = {
  'all weights': { trains: 'all weights', stored: 'f32' },
  LoRA: { trains: 'LoRA', stored: 'f32' },
  'LoRA on a base in bf16': { trains: 'LoRA', stored: 'bf16' },
} as const;

const nameOf = (what: string, { batch, time }: (typeof shapes)[number]) => `${what}, ${batch} × ${time}`;

export const cases = Object.entries(trained).flatMap(([what, how]) =>
  shapes.map((shape) => ({ name: nameOf(what, shape), peer: nameOf(how.trains, shape), ...how, ...shape })),
);
export type ModelCase = (typeof cases)[number];

/** Those of 256 tokens: into the hidden width and back, and the head; and two squares. */
export const products = casesOf([
  [512, 512, 512],
  [1024, 1024, 1024],
  [256, size.width, size.hidden],
  [256, size.hidden, size.width],
  [256, size.width, size.vocabulary],
]);
export const productsPart = 'products';

export const warmSteps = 2;
export const steps = 5;
