// What softmax and cross-entropy do with a row: its largest number, and the sum of the exponentials of what the others lie below it.
// Exponentials are of f32, their sum of f64.

import { exponentialOfSmall } from './exponential';
import { highOf, largest, lowOf, total } from './vectors';

/** Numbers whose exponentials are computed and then added: they stay in the first-level cache. */
const blockLength: i32 = 1024;
const blockOffset: usize = 64;

// @ts-ignore: decorator
@inline
export function maximumOf(row: usize, columns: i32): f32 {
  let found = f32x4.splat(-Infinity);
  const whole = columns & ~3;
  for (let i = 0; i < whole; i += 4) found = f32x4.pmax(found, v128.load(row + ((<usize>i) << 2)));
  let most = largest(found);
  for (let i = whole; i < columns; i++) {
    const x = load<f32>(row + ((<usize>i) << 2));
    if (x > most) most = x;
  }
  return most;
}

/** Σ exp(x - most); the exponentials are kept at `to` where it is not 0. */
export function sumOfExponentials(row: usize, to: usize, columns: i32, most: f32, scratch: usize): f64 {
  const whole = columns & ~3;
  let sums = f64x2.splat(0);
  store<f32>(scratch, most);
  for (let first = 0; first < whole; first += blockLength) {
    const offset = (<usize>first) << 2;
    const bytes = (<usize>min(blockLength, whole - first)) << 2;
    const block = to != 0 ? to + offset : scratch + blockOffset;
    exponentialsBelow(row + offset, block, bytes, scratch);
    for (let at = block; at < block + bytes; at += 16) {
      const power = v128.load(at);
      sums = f64x2.add(sums, f64x2.add(lowOf(power), highOf(power)));
    }
  }
  let sum = total(sums);
  for (let i = whole; i < columns; i++) {
    const at = (<usize>i) << 2;
    const power = exponentialOfDifference(load<f32>(row + at), most);
    if (to != 0) store<f32>(to + at, power);
    sum += <f64>power;
  }
  return sum;
}

/** Whole vectors, in pairs that the engine may join: for that `most` is read from memory, and what comes out is stored. */
function exponentialsBelow(from: usize, to: usize, bytes: usize, most: usize): void {
  const maximum = v128.load32_splat(most);
  const pairs = bytes & ~31;
  let at: usize = 0;
  for (; at < pairs; at += 32) {
    const x = v128.load(from + at);
    const next = v128.load(from + at, 16);
    const power = exponentialOfSmall(f32x4.sub(x, maximum));
    const nextPower = exponentialOfSmall(f32x4.sub(next, maximum));
    v128.store(to + at, power);
    v128.store(to + at, nextPower, 16);
  }
  if (at < bytes) v128.store(to + at, exponentialOfSmall(f32x4.sub(v128.load(from + at), maximum)));
}

/** e^(x - y), the same bits as in a vector. */
// @ts-ignore: decorator
@inline
export function exponentialOfDifference(x: f32, y: f32): f32 {
  return f32x4.extract_lane(exponentialOfSmall(f32x4.sub(f32x4.splat(x), f32x4.splat(y))), 0);
}
