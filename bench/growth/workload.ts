/** One size at a time is varied; the others stay as in the GPT of the step suite. */
export const start = { batch: 4, time: 64, width: 128, blocks: 2 } as const;
export type Size = keyof typeof start;

export const variations: Readonly<Record<Size, readonly number[]>> = {
  time: [32, 64, 128, 256],
  width: [64, 128, 256],
  blocks: [1, 2, 4, 8],
  batch: [1, 2, 4, 8, 16],
};

export function nameOf(size: Size, value: number): string {
  return `${size} ${value}`;
}
