/**
 * Random numbers without a state: a number is a function of its key alone, so a batch can be asked for in any order, or
 * again, and is always the same. Every use has a stream of its own, so that none can shift another.
 */
export const Stream = { split: 1, selection: 2, training: 3, test: 4, leakSample: 5 } as const;

/** A uniform whole number from 0 to 2³² − 1. Of each part of the key the low 32 bits count. */
export function randomWord(...key: readonly number[]): number {
  let state = 0x243f6a88;
  for (const part of key) state = scramble((state + scramble(part ^ 0x9e3779b9)) | 0);
  return state >>> 0;
}

/** A uniform whole number from 0 to `limit` − 1, for limits up to 2³². */
export function randomBelow(limit: number, ...key: readonly number[]): number {
  return Math.floor((randomWord(...key) / 2 ** 32) * limit);
}

/** A number that stands for a text in a key. */
export function textKey(text: string): number {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return state >>> 0;
}

/** The items in a random order that depends on the seed and their names, not on the order they came in. */
export function shuffledByName<T>(items: readonly T[], nameOf: (item: T) => string, ...key: readonly number[]): T[] {
  return items
    .map((item) => ({ item, name: nameOf(item), rank: randomWord(...key, textKey(nameOf(item))) }))
    .sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1))
    .map(({ item }) => item);
}

// The finaliser of MurmurHash3: every bit of the input moves every bit of the output.
function scramble(value: number): number {
  let state = value | 0;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return state ^ (state >>> 16);
}
