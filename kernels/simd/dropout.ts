// Random numbers from a counter (Philox4x32-10; see src/tensor/random.ts), and dropout, whose mask they are.

import { loadSome, storeSome } from './vectors';

/** Products of the even lanes and of the odd ones, as two vectors of 64 bits. */
// @ts-ignore: decorator
@inline
function highHalf(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 1, 3, 5, 7);
}

// @ts-ignore: decorator
@inline
function lowHalf(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 0, 2, 4, 6);
}

/**
 * Four blocks of four numbers, those of the counters (block, block + 1, …; counter2; 0), at `to` in the order of the counters.
 */
// @ts-ignore: decorator
@inline
function fourBlocks(to: usize, block: u64, stream: u32, seed: u32): void {
  let c0 = i32x4(<i32>block, <i32>(block + 1), <i32>(block + 2), <i32>(block + 3));
  let c1 = i32x4(<i32>(block >> 32), <i32>((block + 1) >> 32), <i32>((block + 2) >> 32), <i32>((block + 3) >> 32));
  let c2 = i32x4.splat(<i32>stream);
  let c3 = i32x4.splat(0);
  let k0: u32 = seed;
  let k1: u32 = 0;
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  for (let round = 0; round < 10; round++) {
    const low0 = i64x2.extmul_low_i32x4_u(m0, c0);
    const high0 = i64x2.extmul_high_i32x4_u(m0, c0);
    const low1 = i64x2.extmul_low_i32x4_u(m1, c2);
    const high1 = i64x2.extmul_high_i32x4_u(m1, c2);
    c0 = v128.xor(v128.xor(highHalf(low1, high1), c1), i32x4.splat(k0));
    c1 = lowHalf(low1, high1);
    c2 = v128.xor(v128.xor(highHalf(low0, high0), c3), i32x4.splat(k1));
    c3 = lowHalf(low0, high0);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  // From four numbers of each place to four numbers of each counter.
  const a = v128.shuffle<i32>(c0, c1, 0, 4, 1, 5);
  const b = v128.shuffle<i32>(c0, c1, 2, 6, 3, 7);
  const c = v128.shuffle<i32>(c2, c3, 0, 4, 1, 5);
  const d = v128.shuffle<i32>(c2, c3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i32>(a, c, 0, 1, 4, 5));
  v128.store(to, v128.shuffle<i32>(a, c, 2, 3, 6, 7), 16);
  v128.store(to, v128.shuffle<i32>(b, d, 0, 1, 4, 5), 32);
  v128.store(to, v128.shuffle<i32>(b, d, 2, 3, 6, 7), 48);
}

/** `blocks` blocks, a multiple of four, from `firstBlock` on. */
export function philox(words: usize, firstBlockLow: u32, firstBlockHigh: u32, blocks: i32, stream: u32, seed: u32): void {
  const first = ((<u64>firstBlockHigh) << 32) | firstBlockLow;
  for (let block = 0; block < blocks; block += 4) {
    fourBlocks(words + ((<usize>block) << 4), first + block, stream, seed);
  }
}

/** Part p is the elements from p · partLength on, a multiple of 16. */
export function dropout(
  x: usize, result: usize, count: i32, seed: u32, lowest: u32, scale: f32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const end = min(count, endPart * partLength);
  for (let first = firstPart * partLength; first < end; first += 16) {
    fourBlocks(scratch, first >> 2, 0, seed);
    for (let i = 0; i < 16; i += 4) {
      const left = end - first - i;
      const at = (<usize>(first + i)) << 2;
      const kept = i32x4.ge_u(v128.load(scratch + ((<usize>i) << 2)), i32x4.splat(lowest));
      if (left >= 4) {
        v128.store(result + at, v128.and(kept, f32x4.mul(v128.load(x + at), f32x4.splat(scale))));
      } else if (left > 0) {
        storeSome(result + at, v128.and(kept, f32x4.mul(loadSome(x + at, left), f32x4.splat(scale))), left);
      }
    }
  }
}
