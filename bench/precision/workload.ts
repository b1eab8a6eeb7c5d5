import type { GptSize } from '../sized-gpt.ts';

/** How the values between the layers are stored. */
export const precisions = ['f32', 'f16'] as const;

export const sizes: readonly GptSize[] = [
  { batch: 4, time: 64, width: 128, blocks: 2 },
  { batch: 16, time: 64, width: 128, blocks: 2 },
  { batch: 4, time: 256, width: 128, blocks: 2 },
];

export function nameOf({ batch, time }: GptSize): string {
  return `batch ${batch}, ${time} positions`;
}
