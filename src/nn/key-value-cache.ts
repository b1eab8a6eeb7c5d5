/** Keys and values of the tokens so far, so that a decoder computes only what is new. */
import { copyInto } from '../tensor/copy.ts';
import { ArgumentError, ShapeError } from '../tensor/errors.ts';
import { rowMajorStrides } from '../tensor/shape.ts';
import { allocate, type Tensor } from '../tensor/tensor.ts';

/** Of one block: tensors of shape (batch, capacity, keyHeads, headSize), of which the first `length` positions are filled. */
export class BlockCache {
  readonly #capacity: number;
  #keys: Tensor | null = null;
  #values: Tensor | null = null;
  #length = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Positions that are filled. */
  get length(): number {
    return this.#length;
  }

  /** Adds keys and values of shape (batch, time, keyHeads, headSize). Returns all so far, as views of the cache. */
  append(keys: Tensor, values: Tensor): [Tensor, Tensor] {
    this.#keys ??= this.#room(keys);
    this.#values ??= this.#room(values);
    const start = this.#length;
    this.#length += keys.shape[1];
    return [put(keys, this.#keys, start), put(values, this.#values, start)];
  }

  /** Forgets all positions but the first `length`, which KeyValueCache has checked. */
  rewind(length: number): void {
    this.#length = length;
  }

  release(): void {
    this.#keys?.release('the cache was released');
    this.#values?.release('the cache was released');
    this.#keys = null;
    this.#values = null;
    this.#length = 0;
  }

  #room({ device, dtype, shape: [batch, , heads, size] }: Tensor): Tensor {
    const room = allocate(device, dtype, [batch, this.#capacity, heads, size], 'cache', null);
    room.storage.outlivesSteps = true;
    return room;
  }
}

/** Writes `part` into `whole` from position `start` on; a view of all positions up to its end. */
function put(part: Tensor, whole: Tensor, start: number): Tensor {
  const strides = rowMajorStrides(whole.shape);
  copyInto(part, whole, strides, start * strides[1]);
  const [batch, , heads, size] = whole.shape;
  return whole.view({ shape: [batch, start + part.shape[1], heads, size], strides }, 'cache');
}

/**
 * The cache of a decoder, for one batch of sequences of equal length. It takes 2 · blocks · batch · capacity · keyHeads · headSize
 * values. Use it without a graph (`noGrad`); release it when done.
 */
export class KeyValueCache {
  readonly blocks: readonly BlockCache[];
  readonly capacity: number;

  /**
   * @param blocks of the decoder.
   * @param capacity how many positions it can hold.
   * @throws ArgumentError unless both are whole numbers of at least 1.
   */
  constructor(blocks: number, capacity: number) {
    for (const [name, value] of Object.entries({ blocks, capacity })) {
      if (Number.isSafeInteger(value) && value > 0) continue;
      throw new ArgumentError(`KeyValueCache: ${name} is ${value} (allowed: whole numbers of at least 1)`);
    }
    this.capacity = capacity;
    this.blocks = Array.from({ length: blocks }, () => new BlockCache(capacity));
  }

  /** Positions that are filled. */
  get length(): number {
    return this.blocks[0].length;
  }

  /** @throws ShapeError where `time` positions more do not fit. */
  makeRoom(time: number): void {
    if (this.length + time <= this.capacity) return;
    throw new ShapeError(`cache: ${this.length} and ${time} more positions exceed its capacity of ${this.capacity}`);
  }

  /**
   * Forgets all positions but the first `length`: what follows them can then be another text.
   *
   * @throws ArgumentError where `length` is not a whole number from 0 to the positions that are filled.
   */
  rewind(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.length) {
      throw new ArgumentError(
        `cache: rewind to ${length} (allowed: a whole number from 0 to ${this.length}, the positions filled)`,
      );
    }
    for (const block of this.blocks) block.rewind(length);
  }

  release(): void {
    for (const block of this.blocks) block.release();
  }
}
