/** Seeded random numbers. */
import { linearMemory } from './cpu/open-memory.ts';
import { ArgumentError } from './errors.ts';

/** How far a stream is drawn: plain numbers, for a checkpoint. */
export type RandomState = {
  readonly seed: number;
  readonly stream: number;
  /** Blocks of four numbers made so far, and how many numbers of the last are drawn. */
  readonly block: number;
  readonly position: number;
  readonly spareNormal: number | null;
};

/** The streams drawn from while `watchDraws` runs, and how far each was before. */
export type Draws = ReadonlyMap<Random, RandomState>;
/** Of the innermost `watchDraws`: one for all streams, as the call stack is. */
let watched: Map<Random, RandomState> | null = null;

/** Runs `body` and tells from which streams it drew, so that `replayDraws` can give the same numbers again. */
export function watchDraws<T>(body: () => T): { result: T; draws: Draws } {
  const outer = watched;
  const draws = new Map<Random, RandomState>();
  watched = draws;
  try {
    return { result: body(), draws };
  } finally {
    watched = outer;
    for (const [random, state] of draws) if (outer && !outer.has(random)) outer.set(random, state);
  }
}

/** Runs `body` with the streams as far as they were then; afterwards they are as far as they are now. */
export function replayDraws<T>(draws: Draws, body: () => T): T {
  const now = [...draws.keys()].map((random) => [random, random.state()] as const);
  for (const [random, state] of draws) random.restore(state);
  try {
    return body();
  } finally {
    for (const [random, state] of now) random.restore(state);
  }
}

/**
 * Seeded random numbers from a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). Number n of a stream is a function of seed, stream and n alone, so results do not depend on what else was
 * drawn, and streams of different purposes never meet.
 */
export class Random {
  readonly #seed: number;
  readonly #stream: number;
  /** Numbers of 32 bits drawn so far. */
  #drawn = 0;
  /** Numbers made ahead, of which `#position` are drawn. */
  #words = new Uint32Array(0);
  #position = 0;
  #spareNormal: number | null = null;

  /** @param seed and stream: whole numbers of at least 0 and below 2^32. */
  constructor(seed: number, stream = 0) {
    for (const [name, value] of Object.entries({ seed, stream })) {
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
        throw new ArgumentError(`Random: ${name} ${value} must be a whole number from 0 to ${2 ** 32 - 1}`);
      }
    }
    this.#seed = seed;
    this.#stream = stream;
  }

  /** How far it is drawn. */
  state(): RandomState {
    const block = Math.ceil(this.#drawn / 4);
    const position = block > 0 ? this.#drawn - 4 * (block - 1) : 0;
    return { seed: this.#seed, stream: this.#stream, block, position, spareNormal: this.#spareNormal };
  }

  /**
   * Goes on from a state.
   *
   * @throws ArgumentError where the state is that of another seed or stream.
   */
  restore({ seed, stream, block, position, spareNormal }: RandomState): void {
    if (seed !== this.#seed || stream !== this.#stream) {
      throw new ArgumentError(
        `Random: the state is of seed ${seed}, stream ${stream} (allowed: seed ${this.#seed}, stream ${this.#stream})`,
      );
    }
    this.#drawn = block > 0 ? 4 * (block - 1) + position : 0;
    this.#words = new Uint32Array(0);
    this.#position = 0;
    this.#spareNormal = spareNormal;
  }

  #note(): void {
    if (watched && !watched.has(this)) watched.set(this, this.state());
  }

  /** 32 random bits. */
  uint32(): number {
    this.#note();
    if (this.#position === this.#words.length) this.#makeWords();
    this.#drawn++;
    return this.#words[this.#position++];
  }

  /** Makes twice as many as the last time: whoever draws many will draw more. */
  #makeWords(): void {
    const block = Math.floor(this.#drawn / 4);
    const blocks = Math.min(mostBlocks, Math.max(1, this.#words.length / 2));
    this.#words = philoxBlocks(block, blocks, this.#stream, this.#seed);
    this.#position = this.#drawn % 4;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** Uniform whole number in [0, bound). */
  integer(bound: number, ...others: readonly never[]): number {
    if (!(Number.isInteger(bound) && bound >= 1) || others.length > 0) {
      const given = [bound, ...others].join(', ');
      throw new ArgumentError(
        `Random.integer: got ${given} (allowed: one whole number of at least 1, which the result is below)`,
      );
    }
    return Math.floor(this.uniform() * bound);
  }

  /** Normal with mean 0 and variance 1, by the Box–Muller transform. */
  normal(): number {
    this.#note();
    if (this.#spareNormal !== null) {
      const value = this.#spareNormal;
      this.#spareNormal = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** What as many calls of `normal` give, scaled and shifted: several times as fast for a weight. */
  fillNormal(values: Float32Array | Float64Array, mean: number, deviation: number): void {
    this.#note();
    let i = 0;
    while (i < values.length) {
      const words = this.#words;
      const pairs = Math.min((words.length - this.#position) >> 1, (values.length - i) >> 1);
      if (this.#spareNormal !== null || pairs === 0) {
        values[i++] = mean + deviation * this.normal();
        continue;
      }
      const end = this.#position + 2 * pairs;
      for (let at = this.#position; at < end; at += 2) {
        const radius = Math.sqrt(-2 * Math.log(1 - words[at] / 2 ** 32));
        const angle = 2 * Math.PI * (words[at + 1] / 2 ** 32);
        values[i++] = mean + deviation * (radius * Math.cos(angle));
        values[i++] = mean + deviation * (radius * Math.sin(angle));
      }
      this.#position = end;
      this.#drawn += 2 * pairs;
    }
  }
}

const mostBlocks = 4096;
/** Fewer are not worth a call of WebAssembly. */
const blocksWorthVectors = 64;

/** The numbers of `count` blocks from `first` on; the same by vectors and by the plain loop. */
export function philoxBlocks(first: number, count: number, stream: number, seed: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(4 * count);
  const memory = count >= blocksWorthVectors && count % 4 === 0 ? linearMemory() : null;
  const address = memory?.scratch(words.byteLength) ?? null;
  if (memory && address !== null) {
    const values = [address, first >>> 0, Math.floor(first / 2 ** 32), count, stream, seed];
    memory.call(memory.find('philox'), values, { parts: 1, scratchBytes: 0 }, 0, 1);
    words.set(new Uint32Array(memory.buffer, address, words.length));
    return words;
  }
  for (let i = 0; i < count; i++) {
    const block = first + i;
    words.set(philox4x32([block >>> 0, Math.floor(block / 2 ** 32), stream, 0], [seed, 0]), 4 * i);
  }
  return words;
}

/** Ten rounds over a counter of four words under a key of two. */
export function philox4x32(counter: readonly number[], key: readonly number[]): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0;
}
