/** A model of blocks whose forward pass can begin above the lowest of them. */
import type { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

/** Knows what leaves the lowest blocks without running them: see `FrozenPrefix`. */
export interface Prefix {
  /**
   * What enters a block for these tokens, of shape (batch, time, width). Null: the pass begins at the tokens.
   *
   * @param lengths i32 (batch): how many tokens of each row count. What stands at the others has no meaning.
   */
  enter(tokens: Tensor, lengths: Tensor | null): { block: number; hidden: Tensor } | null;
  /** The parameters are others now. */
  forget(): void;
}

/** Embeddings, blocks one after the other, and what makes an output of the last one's. */
export interface BlockModel extends Module<[Tensor]> {
  readonly blocks: readonly Module<never>[];
  /** Where set, each forward pass asks it where to begin. */
  prefix: Prefix | null;
  /** i32 tokens (batch, time) → (batch, time, width), what enters block 0. */
  embed(tokens: Tensor): Tensor;
  /** What enters block `from` → what enters block `to`; by default from the first to the end. */
  through(hidden: Tensor, lengths: Tensor | null, from?: number, to?: number): Tensor;
}
