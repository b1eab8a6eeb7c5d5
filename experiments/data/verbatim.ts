/** Search for windows of bytes, word for word, in the texts to train on. */

const base = 0x01000193;
const filterBits = 18;

/**
 * Which of the windows stand anywhere, at any offset, in the texts. Exact: hashes only choose the places to compare.
 *
 * The few windows are put in a table and the many bytes of the texts are streamed past it with a rolling hash, so memory
 * depends on the windows alone.
 *
 * @param windows all of one length.
 */
export function findVerbatim(windows: readonly Uint8Array[], texts: Iterable<Uint8Array>): boolean[] {
  const found = windows.map(() => false);
  if (windows.length === 0) return found;
  const byHash = new Map<number, number[]>();
  // Most places match no window: one look says so without one into the map.
  const mayMatch = new Uint8Array(2 ** filterBits);
  for (const [i, window] of windows.entries()) {
    const hash = window.reduce(extended, 0);
    mayMatch[placeOf(hash)] = 1;
    const same = byHash.get(hash);
    if (same) same.push(i);
    else byHash.set(hash, [i]);
  }
  const { length } = windows[0];
  const leaving = windows[0].reduce((power) => Math.imul(power, base), 1);
  for (const text of texts) {
    let hash = 0;
    for (let end = 0; end < text.length; end++) {
      hash = extended(hash, text[end]);
      const start = end - length + 1;
      if (start > 0) hash = (hash - Math.imul(leaving, text[start - 1] + 1)) | 0;
      if (start < 0 || mayMatch[placeOf(hash)] === 0) continue;
      for (const i of byHash.get(hash) ?? []) {
        found[i] ||= windows[i].every((byte, k) => byte === text[start + k]);
      }
    }
  }
  return found;
}

function extended(hash: number, byte: number): number {
  return (Math.imul(hash, base) + byte + 1) | 0;
}

// The high bits of a product depend on all bits of the hash.
function placeOf(hash: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> (32 - filterBits);
}
