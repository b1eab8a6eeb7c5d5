// Attention and its gradients, head by head: rows of q, k, v and of their gradients are `headSize` numbers long, a multiple of
// four, and `heads` rows lie between two positions of one head. Four keys (or queries) are met at a time: their four dot
// products make one vector of scores. Nothing of extent time × time is kept: `scratch` holds two rows of it. Part number p of the
// work is 32 positions of one head, those of the first head of the first row of the batch first.

import { exponential } from './exponential';

const partPositions: i32 = 32;

/** Stands in the logSumExp of a query that sees no key. */
const nothingSeen: f32 = 1e30;

/** x · row for four rows, from `rows` on at a distance of `stride` bytes; rows at `last` and beyond count as the last. */
// @ts-ignore: decorator
@inline
function dotFour(x: usize, rows: usize, stride: usize, left: i32, bytes: usize): v128 {
  const r0 = rows;
  const r1 = left > 1 ? r0 + stride : r0;
  const r2 = left > 2 ? r1 + stride : r1;
  const r3 = left > 3 ? r2 + stride : r2;
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  for (let d: usize = 0; d < bytes; d += 16) {
    const part = v128.load(x + d);
    s0 = f32x4.add(s0, f32x4.mul(part, v128.load(r0 + d)));
    s1 = f32x4.add(s1, f32x4.mul(part, v128.load(r1 + d)));
    s2 = f32x4.add(s2, f32x4.mul(part, v128.load(r2 + d)));
    s3 = f32x4.add(s3, f32x4.mul(part, v128.load(r3 + d)));
  }
  const s01 = f32x4.add(v128.shuffle<f32>(s0, s1, 0, 4, 1, 5), v128.shuffle<f32>(s0, s1, 2, 6, 3, 7));
  const s23 = f32x4.add(v128.shuffle<f32>(s2, s3, 0, 4, 1, 5), v128.shuffle<f32>(s2, s3, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(s01, s23, 0, 1, 4, 5), v128.shuffle<f32>(s01, s23, 2, 3, 6, 7));
}

/** Ones in the lanes below `left`. */
// @ts-ignore: decorator
@inline
function lanesBelow(left: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(left));
}

/** target = (its old value, or 0) + sum over j of weights[j] · rows[j], with `count` rows `stride` bytes apart. */
function addRows(target: usize, weights: usize, rows: usize, stride: usize, count: i32, bytes: usize, fresh: bool): void {
  let d: usize = 0;
  for (; d + 64 <= bytes; d += 64) {
    let s0 = fresh ? f32x4.splat(0) : v128.load(target + d);
    let s1 = fresh ? f32x4.splat(0) : v128.load(target + d, 16);
    let s2 = fresh ? f32x4.splat(0) : v128.load(target + d, 32);
    let s3 = fresh ? f32x4.splat(0) : v128.load(target + d, 48);
    let row = rows + d;
    for (let j = 0; j < count; j++, row += stride) {
      const weight = v128.load32_splat(weights + ((<usize>j) << 2));
      s0 = f32x4.add(s0, f32x4.mul(weight, v128.load(row)));
      s1 = f32x4.add(s1, f32x4.mul(weight, v128.load(row, 16)));
      s2 = f32x4.add(s2, f32x4.mul(weight, v128.load(row, 32)));
      s3 = f32x4.add(s3, f32x4.mul(weight, v128.load(row, 48)));
    }
    v128.store(target + d, s0);
    v128.store(target + d, s1, 16);
    v128.store(target + d, s2, 32);
    v128.store(target + d, s3, 48);
  }
  for (; d < bytes; d += 16) {
    let sum = fresh ? f32x4.splat(0) : v128.load(target + d);
    let row = rows + d;
    for (let j = 0; j < count; j++, row += stride) {
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(weights + ((<usize>j) << 2)), v128.load(row)));
    }
    v128.store(target + d, sum);
  }
}

// @ts-ignore: decorator
@inline
function lengthOf(lengths: usize, b: i32, time: i32, useLengths: i32): i32 {
  return useLengths != 0 ? min(max(load<i32>(lengths + ((<usize>b) << 2)), 0), time) : time;
}

export function attentionForward(
  q: usize, k: usize, v: usize, lengths: usize, output: usize, logSumExp: usize,
  time: i32, heads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const partsOfHead = (time + partPositions - 1) / partPositions;
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / heads;
    const length = lengthOf(lengths, b, time, useLengths);
    const start = <usize>(b * time * heads + (head - b * heads)) * bytes;
    for (let t = firstPosition; t < endPosition; t++) {
      const row = start + <usize>t * stride;
      const end = causal != 0 ? min(length, t + 1) : length;
      const statistic = logSumExp + ((<usize>(head * time + t)) << 2);
      if (end == 0) {
        memory.fill(output + row, 0, bytes);
        store<f32>(statistic, nothingSeen);
        continue;
      }
      let highest = f32x4.splat(-f32.MAX_VALUE);
      for (let j = 0; j < end; j += 4) {
        const scores = f32x4.mul(
          f32x4.splat(scale),
          dotFour(q + row, k + start + <usize>j * stride, stride, end - j, bytes),
        );
        v128.store(scratch + ((<usize>j) << 2), scores);
        highest = f32x4.max(highest, scores);
      }
      const top = max(
        max(f32x4.extract_lane(highest, 0), f32x4.extract_lane(highest, 1)),
        max(f32x4.extract_lane(highest, 2), f32x4.extract_lane(highest, 3)),
      );
      let totals = f32x4.splat(0);
      for (let j = 0; j < end; j += 4) {
        const at = scratch + ((<usize>j) << 2);
        const weights = v128.and(
          exponential(f32x4.sub(v128.load(at), f32x4.splat(top))),
          lanesBelow(end - j),
        );
        v128.store(at, weights);
        totals = f32x4.add(totals, weights);
      }
      const total = sumOfLanes(totals);
      addRows(output + row, scratch, v + start, stride, end, bytes, true);
      const inverse = f32x4.splat(1 / total);
      for (let d: usize = 0; d < bytes; d += 16) {
        v128.store(output + row + d, f32x4.mul(v128.load(output + row + d), inverse));
      }
      store<f32>(statistic, top + <f32>Math.log(<f64>total));
    }
  }
}

// @ts-ignore: decorator
@inline
function sumOfLanes(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

export function attentionQueryGradient(
  q: usize, k: usize, v: usize, lengths: usize, outputGradient: usize, statistics: usize, queryGradient: usize,
  time: i32, heads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const partsOfHead = (time + partPositions - 1) / partPositions;
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / heads;
    const length = lengthOf(lengths, b, time, useLengths);
    const start = <usize>(b * time * heads + (head - b * heads)) * bytes;
    for (let t = firstPosition; t < endPosition; t++) {
      const row = start + <usize>t * stride;
      const end = causal != 0 ? min(length, t + 1) : length;
      const statistic = statistics + ((<usize>(head * time + t)) << 3);
      const logSumExp = v128.load32_splat(statistic);
      const delta = v128.load32_splat(statistic, 4);
      for (let j = 0; j < end; j += 4) {
        const keys = start + <usize>j * stride;
        const scores = f32x4.mul(f32x4.splat(scale), dotFour(q + row, k + keys, stride, end - j, bytes));
        const p = exponential(f32x4.min(f32x4.sub(scores, logSumExp), f32x4.splat(0)));
        const along = dotFour(outputGradient + row, v + keys, stride, end - j, bytes);
        const change = f32x4.mul(f32x4.mul(f32x4.splat(scale), p), f32x4.sub(along, delta));
        v128.store(scratch + ((<usize>j) << 2), change);
      }
      addRows(queryGradient + row, scratch, k + start, stride, end, bytes, true);
    }
  }
}

export function attentionKeyValueGradient(
  q: usize, k: usize, v: usize, lengths: usize, outputGradient: usize, statistics: usize,
  keyGradient: usize, valueGradient: usize,
  time: i32, heads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const probabilities = scratch + ((<usize>(time + 4)) << 2);
  const partsOfHead = (time + partPositions - 1) / partPositions;
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / heads;
    const length = lengthOf(lengths, b, time, useLengths);
    const start = <usize>(b * time * heads + (head - b * heads)) * bytes;
    const pairs = statistics + ((<usize>(head * time)) << 3);
    for (let j = firstPosition; j < endPosition; j++) {
      const row = start + <usize>j * stride;
      // The queries that see the key: those at its position and after, or all.
      const first = j < length ? (causal != 0 ? j : 0) : time;
      const count = time - first;
      for (let i = 0; i < count; i += 4) {
        const t = first + i;
        const queries = start + <usize>t * stride;
        const at = pairs + ((<usize>t) << 3);
        // Beyond the last query the pairs of other heads are read, or of the memory after them: their lanes are not used.
        const low = v128.load(at);
        const high = v128.load(at, 16);
        const logSumExp = v128.shuffle<f32>(low, high, 0, 2, 4, 6);
        const delta = v128.shuffle<f32>(low, high, 1, 3, 5, 7);
        const scores = f32x4.mul(f32x4.splat(scale), dotFour(k + row, q + queries, stride, count - i, bytes));
        const p = exponential(f32x4.min(f32x4.sub(scores, logSumExp), f32x4.splat(0)));
        const along = dotFour(v + row, outputGradient + queries, stride, count - i, bytes);
        const change = f32x4.mul(f32x4.mul(f32x4.splat(scale), p), f32x4.sub(along, delta));
        v128.store(scratch + ((<usize>i) << 2), change);
        v128.store(probabilities + ((<usize>i) << 2), p);
      }
      const queries = start + <usize>first * stride;
      addRows(keyGradient + row, scratch, q + queries, stride, count, bytes, true);
      addRows(valueGradient + row, probabilities, outputGradient + queries, stride, count, bytes, true);
    }
  }
}
