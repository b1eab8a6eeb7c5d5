// Rows of a table by index, and the gradient of the table; see src/autograd/operations/embedding.ts.

import { widenRow } from './bfloat16';

/** Part p is the tokens from p · tokensOfPart on. */
export function gather(
  indices: usize, table: usize, result: usize, tokens: i32, width: i32, count: i32, tokensOfPart: i32, tableBytes: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>width) << 2;
  const end = min(tokens, endPart * tokensOfPart);
  for (let token = firstPart * tokensOfPart; token < end; token++) {
    const index = load<i32>(indices + ((<usize>token) << 2));
    const to = result + <usize>token * bytes;
    if (index >= 0 && index < count) {
      if (tableBytes == 2) widenRow(to, table + <usize>index * (bytes >> 1), width);
      else memory.copy(to, table + <usize>index * bytes, bytes);
    } else for (let at: usize = 0; at < bytes; at += 4) store<f32>(to + at, f32.NaN);
  }
}

/** Chains the tokens of one index, in one part. `scratch` holds a number for each row of the table. */
export function link(
  indices: usize, links: usize, tokens: i32, count: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  memory.fill(scratch, 0, (<usize>count) << 2);
  for (let token = 0; token < tokens; token++) {
    const at = (<usize>token) << 2;
    const index = load<i32>(indices + at);
    store<i32>(links + at, tokens);
    if (index < 0 || index >= count) continue;
    // One more than the newest token of this index: 0 says that there is none.
    const newest = scratch + ((<usize>index) << 2);
    const previous = load<i32>(newest) - 1;
    if (previous >= 0) {
      const before = links + ((<usize>previous) << 2);
      store<i32>(before, load<i32>(before) < 0 ? -token : token);
      store<i32>(links + at, -tokens);
    }
    store<i32>(newest, token + 1);
  }
}

/** The first token of an index walks its chain; the sums are of f64, in the order of the tokens. */
export function sumChains(
  indices: usize, savedLinks: usize, outputGradient: usize, inputGradient: usize, tokens: i32, width: i32, count: i32,
  tokensOfPart: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>width) << 2;
  const whole = (<usize>(width & ~1)) << 2;
  const end = min(tokens, endPart * tokensOfPart);
  for (let first = firstPart * tokensOfPart; first < end; first++) {
    const index = load<i32>(indices + ((<usize>first) << 2));
    const next = load<i32>(savedLinks + ((<usize>first) << 2));
    if (next < 0 || index < 0 || index >= count) continue;
    const to = inputGradient + <usize>index * bytes;
    if (next >= tokens) {
      memory.copy(to, outputGradient + <usize>first * bytes, bytes);
      continue;
    }
    memory.fill(scratch, 0, 2 * bytes);
    for (let token = first; token < tokens; token = abs(load<i32>(savedLinks + ((<usize>token) << 2)))) {
      const from = outputGradient + <usize>token * bytes;
      for (let at: usize = 0; at < whole; at += 8) {
        const sums = scratch + 2 * at;
        v128.store(sums, f64x2.add(v128.load(sums), f64x2.promote_low_f32x4(v128.load64_zero(from + at))));
      }
      if (whole < bytes) {
        const sums = scratch + 2 * whole;
        store<f64>(sums, load<f64>(sums) + <f64>load<f32>(from + whole));
      }
    }
    for (let at: usize = 0; at < bytes; at += 4) store<f32>(to + at, <f32>load<f64>(scratch + 2 * at));
  }
}
