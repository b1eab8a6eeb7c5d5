// Attention and its gradients, head by head: rows of q, k, v and of their gradients are `headSize` numbers long, a multiple of four, and
// `heads` rows lie between two positions of one head, or `keyHeads` where they are of keys and values, which neighbouring heads share.
// The queries stand at the last positions of the keys.
//
// A panel of positions is packed once, each in a column of its own; then rows of the other operand meet all of them in tiles. So for a
// panel of queries row j of `scratch` holds what key j is to each of them, first scores, then weights, and the sums over keys are tiles
// again: nothing of extent time × time is kept. Where a tile's positions do not see the same rows, those that only some see are added
// one by one, so that nothing hidden is multiplied, not even by zero.
//
// Part number p of the work is 32 positions of one head, those of the first head of the first row of the batch first; for the gradients of
// keys and values, of one head of keys.

import { exponentialOfSmall } from './exponential';
import { multiplyAdd } from './multiply-add';
import { panelBytes, panelColumns, storeNothing, storeTransposed, tile, tileRows } from './tile';

const partPositions: i32 = 32;

/** Stands in the logSumExp of a query that sees no key. */
const nothingSeen: f32 = 1e30;

// In `scratch`: zeros, two numbers of each position of a panel, nothing to add, a tile at the edge, a tile of half sums, the scale, two
// panels, and for each of them a row for each position that meets it.
const firstNumbers: usize = 64;
const secondNumbers: usize = 128;
const nothingOffset: usize = 192;
const edgeOffset: usize = 256;
const halfOffset: usize = 512;
const scaleOffset: usize = 768;
const panelsOffset: usize = 832;

/** @returns the scale on four lanes. It is read from memory, or the engine would not join the vectors that meet it. */
// @ts-ignore: decorator
@inline
function prepare(scratch: usize, scale: f32): v128 {
  memory.fill(scratch, 0, 64);
  storeNothing(scratch + nothingOffset);
  store<f32>(scratch + scaleOffset, scale);
  return v128.load32_splat(scratch + scaleOffset);
}

// @ts-ignore: decorator
@inline
function lengthOf(lengths: usize, b: i32, time: i32, useLengths: i32): i32 {
  return useLengths != 0 ? min(max(load<i32>(lengths + ((<usize>b) << 2)), 0), time) : time;
}

/** `count` rows as columns of a panel; columns beyond the last repeat it. Plain sums are four, of every fourth number: so they lie. */
function packPositions(panel: usize, rows: usize, stride: usize, count: i32, size: i32): void {
  const distance: usize = ASC_FEATURE_RELAXED_SIMD ? panelBytes : <usize>(size >> 2) * panelBytes;
  const step: usize = ASC_FEATURE_RELAXED_SIMD ? 4 * panelBytes : panelBytes;
  for (let column = 0; column < panelColumns; column += 4) {
    const r0 = rows + <usize>min(column, count - 1) * stride;
    const r1 = rows + <usize>min(column + 1, count - 1) * stride;
    const r2 = rows + <usize>min(column + 2, count - 1) * stride;
    const r3 = rows + <usize>min(column + 3, count - 1) * stride;
    let to = panel + ((<usize>column) << 2);
    const bytes = (<usize>size) << 2;
    for (let d: usize = 0; d < bytes; d += 16, to += step) {
      storeTransposed(to, distance, v128.load(r0 + d), v128.load(r1 + d), v128.load(r2 + d), v128.load(r3 + d));
    }
  }
}

/** to[i] = rows[i] · each position of the panel. Up to three rows of `to` beyond the last are written too. */
function dotProducts(to: usize, rows: usize, stride: usize, count: i32, panel: usize, size: i32, scratch: usize): void {
  const half = scratch + halfOffset;
  const none = scratch + nothingOffset;
  const quarter = size >> 2;
  const quarterBytes = <usize>quarter * panelBytes;
  for (let i = 0; i < count; i += tileRows) {
    const left = count - i;
    const second: usize = left > 1 ? stride : 0;
    const third: usize = left > 2 ? stride : 0;
    const fourth: usize = left > 3 ? stride : 0;
    if (ASC_FEATURE_RELAXED_SIMD) {
      tile(rows, second, third, fourth, 4, panel, panelBytes, size, scratch, 0, none, 0, to, panelBytes, false);
    } else {
      let part = panel;
      tile(rows, second, third, fourth, 16, part, panelBytes, quarter, scratch, 0, none, 0, to, panelBytes, false);
      part += quarterBytes;
      tile(rows + 4, second, third, fourth, 16, part, panelBytes, quarter, scratch, 0, none, 0, half, panelBytes, false);
      part += quarterBytes;
      tile(
        rows + 8, second, third, fourth, 16, part, panelBytes, quarter, scratch, 0, to, panelBytes, to, panelBytes, false,
      );
      part += quarterBytes;
      tile(
        rows + 12, second, third, fourth, 16, part, panelBytes, quarter, scratch, 0, half, panelBytes, half, panelBytes,
        false,
      );
      for (let at: usize = 0; at < 4 * panelBytes; at += 16) {
        v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(half + at)));
      }
    }
    rows += <usize>tileRows * stride;
    to += <usize>tileRows * panelBytes;
  }
}

/** target = (its old value, or 0) + weight · row. */
// @ts-ignore: decorator
@inline
function addRow(target: usize, weight: v128, row: usize, bytes: usize): void {
  for (let d: usize = 0; d < bytes; d += 16) {
    v128.store(target + d, multiplyAdd(weight, v128.load(row + d), v128.load(target + d)));
  }
}

/**
 * Four rows of `target`, or what is left of them: their old values, or 0, plus the sum over i of rows[i] times four numbers of weights[i],
 * one for each.
 */
function addRows(
  target: usize, targetStride: usize, weights: usize, rows: usize, stride: usize, count: i32, left: i32, size: i32,
  fresh: bool, scratch: usize,
): void {
  const edge = scratch + edgeOffset;
  const none = scratch + nothingOffset;
  for (let column = 0; column < size; column += panelColumns) {
    const columns = min(panelColumns, size - column);
    if (left >= tileRows && columns == panelColumns) {
      const initial = fresh ? scratch : target;
      tile(
        weights, 4, 4, 4, panelBytes, rows, stride, count, initial, fresh ? 0 : targetStride, none, 0, target, targetStride, false,
      );
    } else {
      const bytes = (<usize>columns) << 2;
      if (!fresh) {
        for (let r = 0; r < min(left, tileRows); r++) {
          memory.copy(edge + <usize>r * panelBytes, target + <usize>r * targetStride, bytes);
        }
      }
      tile(
        weights, 4, 4, 4, panelBytes, rows, stride, count,
        fresh ? scratch : edge, fresh ? 0 : panelBytes, none, 0, edge, panelBytes, false,
      );
      for (let r = 0; r < min(left, tileRows); r++) {
        memory.copy(target + <usize>r * targetStride, edge + <usize>r * panelBytes, bytes);
      }
    }
    target += panelBytes;
    rows += panelBytes;
  }
}

/** Ones in the lanes whose position is before its end. */
// @ts-ignore: decorator
@inline
function seen(position: i32, ends: v128): v128 {
  return i32x4.gt_s(ends, i32x4.splat(position));
}

/** Where each of four queries, from t on, has seen its last key. */
// @ts-ignore: decorator
@inline
function endsOf(t: i32, length: i32, causal: i32): v128 {
  const all = i32x4.splat(length);
  return causal != 0 ? i32x4.min_s(all, i32x4.add(i32x4.splat(t), i32x4(1, 2, 3, 4))) : all;
}

/**
 * Scores become weights, exp(scale · score - top); 0 for what a query does not see. Eight queries, of which `all` keys are seen by
 * each and `some` by one at least. Tops and totals are left in `scratch`.
 */
// @ts-ignore: decorator
@inline
function weigh(scores: usize, all: i32, some: i32, ends0: v128, ends1: v128, factor: v128, numbers: usize): void {
  const lowest = f32x4.splat(-f32.MAX_VALUE);
  const hidden = f32x4.splat(-f32.POSITIVE_INFINITY);
  const tops = numbers + firstNumbers;
  let top0 = lowest;
  let top1 = lowest;
  let at = scores;
  let j = 0;
  for (; j < all; j++, at += panelBytes) {
    const x0 = f32x4.mul(factor, v128.load(at));
    const x1 = f32x4.mul(factor, v128.load(at, 16));
    top0 = f32x4.max(top0, x0);
    top1 = f32x4.max(top1, x1);
    v128.store(at, x0);
    v128.store(at, x1, 16);
  }
  v128.store(tops, top0);
  v128.store(tops, top1, 16);
  // Through memory, for the engine joins no vectors in the loop above where these few hang on them.
  for (; j < some; j++, at += panelBytes) {
    const x0 = v128.bitselect(f32x4.mul(factor, v128.load(at)), hidden, seen(j, ends0));
    const x1 = v128.bitselect(f32x4.mul(factor, v128.load(at, 16)), hidden, seen(j, ends1));
    v128.store(at, x0);
    v128.store(at, x1, 16);
    v128.store(tops, f32x4.max(v128.load(tops), x0));
    v128.store(tops, f32x4.max(v128.load(tops, 16), x1), 16);
  }
  top0 = v128.load(tops);
  top1 = v128.load(tops, 16);
  // Four sums, of every fourth weight.
  const zero = f32x4.splat(0);
  const sums = numbers + secondNumbers;
  let total0 = zero;
  let total1 = zero;
  for (let first = 0; first < 4; first++) {
    let sum0 = zero;
    let sum1 = zero;
    at = scores + <usize>first * panelBytes;
    // What is hidden gets the weight 0.
    for (j = first; j < some; j += 4, at += 4 * panelBytes) {
      const w0 = exponentialOfSmall(f32x4.sub(v128.load(at), top0));
      const w1 = exponentialOfSmall(f32x4.sub(v128.load(at, 16), top1));
      sum0 = f32x4.add(sum0, w0);
      sum1 = f32x4.add(sum1, w1);
      v128.store(at, w0);
      v128.store(at, w1, 16);
    }
    if ((first & 1) == 0) {
      v128.store(sums, sum0);
      v128.store(sums, sum1, 16);
    } else {
      total0 = f32x4.add(total0, f32x4.add(v128.load(sums), sum0));
      total1 = f32x4.add(total1, f32x4.add(v128.load(sums, 16), sum1));
    }
  }
  v128.store(sums, total0);
  v128.store(sums, total1, 16);
}

export function attentionForward(
  q: usize, k: usize, v: usize, lengths: usize, output: usize, logSumExp: usize,
  time: i32, keys: i32, heads: i32, keyHeads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const keyStride = bytes * keyHeads;
  // Of the first query, in positions of the keys.
  const offset = keys - time;
  const partsOfHead = (time + partPositions - 1) / partPositions;
  const panel = scratch + panelsOffset;
  const scores = panel + 2 * panelBytes * headSize;
  const factor = prepare(scratch, scale);
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / heads;
    const length = lengthOf(lengths, b, keys, useLengths);
    const start = <usize>(b * time * heads + (head - b * heads)) * bytes;
    const keyStart = <usize>(b * keys * keyHeads + ((head - b * heads) * keyHeads) / heads) * bytes;
    for (let t = firstPosition; t < endPosition; t += panelColumns) {
      const count = min(panelColumns, endPosition - t);
      const statistic = logSumExp + ((<usize>(head * time + t)) << 2);
      let row = start + <usize>t * stride;
      if (length == 0) {
        for (let i = 0; i < count; i++, row += stride) {
          memory.fill(output + row, 0, bytes);
          store<f32>(statistic + ((<usize>i) << 2), nothingSeen);
        }
        continue;
      }
      const some = causal != 0 ? min(length, offset + t + count) : length;
      const all = causal != 0 ? min(length, offset + t + 1) : length;
      packPositions(panel, q + row, stride, count, headSize);
      dotProducts(scores, k + keyStart, keyStride, some, panel, headSize, scratch);
      for (let i = 0; i < panelColumns; i += 8) {
        const place = (<usize>i) << 2;
        weigh(
          scores + place, all, some, endsOf(offset + t + i, length, causal),
          endsOf(offset + t + i + 4, length, causal), factor, scratch + place,
        );
      }
      for (let i = 0; i < count; i += tileRows) {
        const left = min(tileRows, count - i);
        const seenByAll = causal != 0 ? min(length, offset + t + i + 1) : length;
        const weights = scores + ((<usize>i) << 2);
        addRows(output + row, stride, weights, v + keyStart, keyStride, seenByAll, left, headSize, true, scratch);
        for (let r = 0; r < left; r++, row += stride) {
          const end = causal != 0 ? min(length, offset + t + i + r + 1) : length;
          for (let j = seenByAll; j < end; j++) {
            const weight = v128.load32_splat(weights + <usize>j * panelBytes + ((<usize>r) << 2));
            addRow(output + row, weight, v + keyStart + <usize>j * keyStride, bytes);
          }
          const place = (<usize>(i + r)) << 2;
          const total = load<f32>(scratch + secondNumbers + place);
          const inverse = f32x4.splat(1 / total);
          for (let d: usize = 0; d < bytes; d += 16) {
            v128.store(output + row + d, f32x4.mul(v128.load(output + row + d), inverse));
          }
          store<f32>(statistic + place, load<f32>(scratch + firstNumbers + place) + <f32>Math.log(<f64>total));
        }
      }
    }
  }
}

/**
 * In place: a score becomes the change of the loss with it, times `scale`, and a product of `along` the probability. Of each position of
 * the panel `logSumExp` and `delta` hold a number, or the same for all.
 */
// @ts-ignore: decorator
@inline
function changeOf(
  scores: usize, along: usize, factor: v128, logSumExp0: v128, logSumExp1: v128, delta0: v128, delta1: v128, keeps: bool,
): void {
  // At most 0, whatever rounding makes of large scores.
  const p0 = exponentialOfSmall(f32x4.min(f32x4.sub(f32x4.mul(factor, v128.load(scores)), logSumExp0), f32x4.splat(0)));
  const p1 = exponentialOfSmall(
    f32x4.min(f32x4.sub(f32x4.mul(factor, v128.load(scores, 16)), logSumExp1), f32x4.splat(0)),
  );
  const change0 = f32x4.mul(f32x4.mul(factor, p0), f32x4.sub(v128.load(along), delta0));
  const change1 = f32x4.mul(f32x4.mul(factor, p1), f32x4.sub(v128.load(along, 16), delta1));
  v128.store(scores, change0);
  v128.store(scores, change1, 16);
  if (keeps) {
    v128.store(along, p0);
    v128.store(along, p1, 16);
  }
}

/** Of each query the logSumExp, and output · gradientOfOutput. Part number p is positions 32 p to 32 p + 31 of all rows of the batch. */
export function attentionDelta(
  output: usize, gradientOfOutput: usize, logSumExp: usize, statisticsResult: usize,
  batch: i32, time: i32, heads: i32, headSize: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const end = min(endPart * partPositions, batch * time);
  for (let position = firstPart * partPositions; position < end; position++) {
    const b = position / time;
    const t = position - b * time;
    for (let head = 0; head < heads; head++) {
      const row = <usize>(position * heads + head) * bytes;
      let sum = f32x4.splat(0);
      for (let d: usize = 0; d < bytes; d += 16) {
        sum = multiplyAdd(v128.load(output + row + d), v128.load(gradientOfOutput + row + d), sum);
      }
      const query = <usize>((b * heads + head) * time + t);
      store<f32>(statisticsResult + (query << 3), load<f32>(logSumExp + (query << 2)));
      store<f32>(
        statisticsResult + (query << 3),
        f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3)),
        4,
      );
    }
  }
}

export function attentionQueryGradient(
  q: usize, k: usize, v: usize, lengths: usize, outputGradient: usize, statistics: usize, queryGradient: usize,
  time: i32, heads: i32, keyHeads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const keyStride = bytes * keyHeads;
  const partsOfHead = (time + partPositions - 1) / partPositions;
  const queries = scratch + panelsOffset;
  const gradients = queries + panelBytes * headSize;
  const scores = gradients + panelBytes * headSize;
  const along = scores + panelBytes * (time + tileRows);
  const factor = prepare(scratch, scale);
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / heads;
    const length = lengthOf(lengths, b, time, useLengths);
    const start = <usize>(b * time * heads + (head - b * heads)) * bytes;
    const keyStart = <usize>(b * time * keyHeads + ((head - b * heads) * keyHeads) / heads) * bytes;
    for (let t = firstPosition; t < endPosition; t += panelColumns) {
      const count = min(panelColumns, endPosition - t);
      let row = start + <usize>t * stride;
      const some = causal != 0 ? min(length, t + count) : length;
      packPositions(queries, q + row, stride, count, headSize);
      packPositions(gradients, outputGradient + row, stride, count, headSize);
      dotProducts(scores, k + keyStart, keyStride, some, queries, headSize, scratch);
      dotProducts(along, v + keyStart, keyStride, some, gradients, headSize, scratch);
      const pairs = statistics + ((<usize>(head * time + t)) << 3);
      for (let i = 0; i < panelColumns; i++) {
        const pair = pairs + ((<usize>min(i, count - 1)) << 3);
        store<f32>(scratch + firstNumbers + ((<usize>i) << 2), load<f32>(pair));
        store<f32>(scratch + secondNumbers + ((<usize>i) << 2), load<f32>(pair, 4));
      }
      for (let offset: usize = 0; offset < panelBytes; offset += 32) {
        const numbers = scratch + offset;
        const logSumExp0 = v128.load(numbers + firstNumbers);
        const logSumExp1 = v128.load(numbers + firstNumbers, 16);
        const delta0 = v128.load(numbers + secondNumbers);
        const delta1 = v128.load(numbers + secondNumbers, 16);
        for (let at = offset; at < <usize>some * panelBytes; at += panelBytes) {
          changeOf(scores + at, along + at, factor, logSumExp0, logSumExp1, delta0, delta1, false);
        }
      }
      for (let i = 0; i < count; i += tileRows) {
        const left = min(tileRows, count - i);
        const seenByAll = causal != 0 ? min(length, t + i + 1) : length;
        const changes = scores + ((<usize>i) << 2);
        addRows(queryGradient + row, stride, changes, k + keyStart, keyStride, seenByAll, left, headSize, true, scratch);
        for (let r = 0; r < left; r++, row += stride) {
          const end = causal != 0 ? min(length, t + i + r + 1) : length;
          for (let j = seenByAll; j < end; j++) {
            const change = v128.load32_splat(changes + <usize>j * panelBytes + ((<usize>r) << 2));
            addRow(queryGradient + row, change, k + keyStart + <usize>j * keyStride, bytes);
          }
        }
      }
    }
  }
}

export function attentionKeyValueGradient(
  q: usize, k: usize, v: usize, lengths: usize, outputGradient: usize, statistics: usize,
  keyGradient: usize, valueGradient: usize,
  time: i32, heads: i32, keyHeads: i32, headSize: i32, scale: f32, causal: i32, useLengths: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>headSize) << 2;
  const stride = bytes * heads;
  const keyStride = bytes * keyHeads;
  const sharing = heads / keyHeads;
  const partsOfHead = (time + partPositions - 1) / partPositions;
  const keys = scratch + panelsOffset;
  const values = keys + panelBytes * headSize;
  const scores = values + panelBytes * headSize;
  const along = scores + panelBytes * (time + tileRows);
  const factor = prepare(scratch, scale);
  for (let part = firstPart; part < endPart; part++) {
    const head = part / partsOfHead;
    const firstPosition = (part - head * partsOfHead) * partPositions;
    const endPosition = min(firstPosition + partPositions, time);
    const b = head / keyHeads;
    const length = lengthOf(lengths, b, time, useLengths);
    const keyStart = <usize>(b * time * keyHeads + (head - b * keyHeads)) * bytes;
    for (let j = firstPosition; j < endPosition; j += panelColumns) {
      const keyRow = keyStart + <usize>j * keyStride;
      const end = min(j + panelColumns, endPosition);
      // Keys that no query sees.
      for (let each = max(j, length); each < end; each++) {
        memory.fill(keyGradient + keyStart + <usize>each * keyStride, 0, bytes);
        memory.fill(valueGradient + keyStart + <usize>each * keyStride, 0, bytes);
      }
      const count = min(end, length) - j;
      if (count <= 0) continue;
      // The queries that see a key: those at its position and after, or all.
      const first = causal != 0 ? j : 0;
      const some = time - first;
      packPositions(keys, k + keyRow, keyStride, count, headSize);
      packPositions(values, v + keyRow, keyStride, count, headSize);
      for (let shared = 0; shared < sharing; shared++) {
        const headOfQueries = (head - b * keyHeads) * sharing + shared;
        const queries = <usize>((b * time + first) * heads + headOfQueries) * bytes;
        dotProducts(scores, q + queries, stride, some, keys, headSize, scratch);
        dotProducts(along, outputGradient + queries, stride, some, values, headSize, scratch);
        let pair = statistics + ((<usize>((b * heads + headOfQueries) * time + first)) << 3);
        for (let i = 0; i < some; i++, pair += 8) {
          const logSumExp = v128.load32_splat(pair);
          const delta = v128.load32_splat(pair, 4);
          const at = <usize>i * panelBytes;
          for (let offset: usize = 0; offset < panelBytes; offset += 32) {
            changeOf(scores + at + offset, along + at + offset, factor, logSumExp, logSumExp, delta, delta, true);
          }
        }
        let row = keyRow;
        for (let i = 0; i < count; i += tileRows) {
          const left = min(tileRows, count - i);
          // All of the tile's keys are seen from its last on.
          const seenFrom = causal != 0 ? i + left - 1 : 0;
          for (let r = 0; r < left; r++) {
            const target = row + <usize>r * keyStride;
            if (seenFrom > 0 && shared == 0) {
              memory.fill(keyGradient + target, 0, bytes);
              memory.fill(valueGradient + target, 0, bytes);
            }
            for (let t = i + r; t < seenFrom; t++) {
              const at = <usize>t * panelBytes + ((<usize>(i + r)) << 2);
              const from = queries + <usize>t * stride;
              addRow(keyGradient + target, v128.load32_splat(scores + at), q + from, bytes);
              addRow(valueGradient + target, v128.load32_splat(along + at), outputGradient + from, bytes);
            }
          }
          const at = <usize>seenFrom * panelBytes + ((<usize>i) << 2);
          const from = queries + <usize>seenFrom * stride;
          const fresh = seenFrom == 0 && shared == 0;
          const rest = some - seenFrom;
          addRows(keyGradient + row, keyStride, scores + at, q + from, stride, rest, left, headSize, fresh, scratch);
          addRows(
            valueGradient + row, keyStride, along + at, outputGradient + from, stride, rest, left, headSize, fresh, scratch,
          );
          row += <usize>tileRows * keyStride;
        }
      }
    }
  }
}
