/** What a task is. */

import type { Items } from '../../data/items.ts';

/** Tokens of every item. */
export const windowLength = 32;

/** What a task is fine-tuned from: a language model of the bytes of files, or of synthetic sequences. */
export type BaseName = 'files' | 'sequences';

/** Distinct tokens of each base. */
export const vocabulary: Readonly<Record<BaseName, number>> = { files: 256, sequences: 16 };

export type Part = 'training' | 'validation' | 'test';

export interface Task {
  readonly name: string;
  readonly base: BaseName;
  readonly classes: readonly string[];
  /**
   * What full training comes to: `solved` (nearly every item right), `noisy` (it stays far below, however long), `late-jump`
   * (chance for long, then a jump), or `plain`.
   */
  readonly character: 'solved' | 'noisy' | 'late-jump' | 'plain';
  readonly description: string;
  /** The batch of one step: a function of seed and step alone. */
  trainingBatch(seed: number, step: number, batch: number): Items;
  /** Its first items serve as the small validation set. */
  readonly validation: Items;
  readonly test: Items;
}

/** Items held out of every task. No validation or test item can be drawn for training, and they share none. */
export const heldOutItems = { validation: 6000, test: 2400 } as const;
