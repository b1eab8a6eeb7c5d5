/**
 * Which of the windows stand anywhere, at any offset, in the texts. Exact: hashes only choose the places to compare.
 *
 * The few windows are put in a table and the many bytes of the texts are streamed past it with a rolling hash, so memory
 * depends on the windows alone.
 *
 * @param windows windows of `windowBytes` bytes each, end to end.
 * @returns one byte a window: 1 where it was found.
 */
export function findVerbatim(windows: Uint8Array, windowBytes: number, texts: Iterable<Uint8Array>): Uint8Array {
  const count = windows.length / windowBytes;
  const found = new Uint8Array(count);
  const table = new WindowTable(windows, windowBytes);
  const leaving = power(BASE, windowBytes);
  for (const text of texts) {
    let hash = 0;
    for (let end = 0; end < text.length; end++) {
      hash = (Math.imul(hash, BASE) + text[end]! + 1) | 0;
      const start = end - windowBytes + 1;
      if (start > 0) hash = (hash - Math.imul(leaving, text[start - 1]! + 1)) | 0;
      if (start >= 0 && table.mayHold(hash)) {
        for (const window of table.withHash(hash)) {
          if (found[window] === 0 && equalAt(text, start, windows, window * windowBytes, windowBytes))
            found[window] = 1;
        }
      }
    }
  }
  return found;
}

const BASE = 0x01000193;
const FILTER_BITS_PER_WINDOW = 64;
const NONE: readonly number[] = [];

class WindowTable {
  readonly #byHash = new Map<number, number[]>();
  // Most places match no window: one bit a hash says so without a look into the map.
  readonly #filter: Uint32Array;
  readonly #shift: number;

  constructor(windows: Uint8Array, windowBytes: number) {
    const count = windows.length / windowBytes;
    const bits = Math.min(24, Math.max(10, Math.ceil(Math.log2(count * FILTER_BITS_PER_WINDOW + 1))));
    this.#shift = 32 - bits;
    this.#filter = new Uint32Array(2 ** (bits - 5));
    for (let window = 0; window < count; window++) {
      let hash = 0;
      for (let index = 0; index < windowBytes; index++) {
        hash = (Math.imul(hash, BASE) + windows[window * windowBytes + index]! + 1) | 0;
      }
      const place = this.#place(hash);
      this.#filter[place >>> 5]! |= 1 << (place & 31);
      const same = this.#byHash.get(hash);
      if (same === undefined) this.#byHash.set(hash, [window]);
      else same.push(window);
    }
  }

  mayHold(hash: number): boolean {
    const place = this.#place(hash);
    return (this.#filter[place >>> 5]! & (1 << (place & 31))) !== 0;
  }

  withHash(hash: number): readonly number[] {
    return this.#byHash.get(hash) ?? NONE;
  }

  // The high bits of a product depend on all bits of the hash.
  #place(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) >>> this.#shift;
  }
}

function equalAt(text: Uint8Array, start: number, windows: Uint8Array, offset: number, length: number): boolean {
  for (let index = 0; index < length; index++) {
    if (text[start + index] !== windows[offset + index]) return false;
  }
  return true;
}

function power(base: number, exponent: number): number {
  let result = 1;
  for (let index = 0; index < exponent; index++) result = Math.imul(result, base);
  return result;
}
