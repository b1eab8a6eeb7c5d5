// Sums and maxima over axes; see src/autograd/operations/reduction/reduce-axes.ts. Sums are of f64. A part is one result of a row
// reduction, or `columnsOfPart` columns of one chunk.

import { highOf, lowOf, total } from './vectors';

/** Each row in four sums, so that one need not wait for another. */
export function sumRows(
  source: usize, result: usize, outer: i32, length: i32, chunks: i32, scale: f32, resultsOfPart: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const chunk = (length + chunks - 1) / chunks;
  const end = min(outer * chunks, endPart * resultsOfPart);
  for (let at = firstPart * resultsOfPart; at < end; at++) {
    const row = at / chunks;
    const first = (at - row * chunks) * chunk;
    const last = min(length, first + chunk);
    const start = source + ((<usize>row * length) << 2);
    let a = f64x2.splat(0);
    let b = f64x2.splat(0);
    let k = first;
    for (; k + 4 <= last; k += 4) {
      const x = v128.load(start + ((<usize>k) << 2));
      a = f64x2.add(a, lowOf(x));
      b = f64x2.add(b, highOf(x));
    }
    let sum = total(f64x2.add(a, b));
    for (; k < last; k++) sum += <f64>load<f32>(start + ((<usize>k) << 2));
    store<f32>(result + ((<usize>at) << 2), <f32>(sum * <f64>scale));
  }
}

/** The larger; NaN where one is. */
// @ts-ignore: decorator
@inline
function larger(a: f32, b: f32): f32 {
  return b > a || b != b ? b : a;
}

export function maximumRows(
  source: usize, result: usize, outer: i32, length: i32, chunks: i32, scale: f32, resultsOfPart: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const chunk = (length + chunks - 1) / chunks;
  const end = min(outer * chunks, endPart * resultsOfPart);
  for (let at = firstPart * resultsOfPart; at < end; at++) {
    const row = at / chunks;
    const first = (at - row * chunks) * chunk;
    const last = min(length, first + chunk);
    const start = source + ((<usize>row * length) << 2);
    let found = f32x4.splat(-Infinity);
    let k = first;
    for (; k + 4 <= last; k += 4) found = f32x4.max(found, v128.load(start + ((<usize>k) << 2)));
    let most = larger(
      larger(f32x4.extract_lane(found, 0), f32x4.extract_lane(found, 1)),
      larger(f32x4.extract_lane(found, 2), f32x4.extract_lane(found, 3)),
    );
    for (; k < last; k++) most = larger(most, load<f32>(start + ((<usize>k) << 2)));
    store<f32>(result + ((<usize>at) << 2), most * scale);
  }
}

/** Row by row, in the order they lie in memory, into sums of f64 in `scratch`. */
export function sumColumns(
  source: usize, result: usize, length: i32, inner: i32, chunks: i32, scale: f32, columnsOfPart: i32, partsOfChunk: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const chunk = (length + chunks - 1) / chunks;
  for (let part = firstPart; part < endPart; part++) {
    const at = part / partsOfChunk;
    const column = (part - at * partsOfChunk) * columnsOfPart;
    const columns = min(columnsOfPart, inner - column);
    const row = at / chunks;
    const first = (at - row * chunks) * chunk;
    const last = min(length, first + chunk);
    const whole = columns & ~3;
    memory.fill(scratch, 0, (<usize>columns) << 3);
    for (let k = first; k < last; k++) {
      const from = source + ((<usize>(row * length + k) * inner + column) << 2);
      for (let j = 0; j < whole; j += 4) {
        const x = v128.load(from + ((<usize>j) << 2));
        const sums = scratch + ((<usize>j) << 3);
        v128.store(sums, f64x2.add(v128.load(sums), lowOf(x)));
        v128.store(sums, f64x2.add(v128.load(sums, 16), highOf(x)), 16);
      }
      for (let j = whole; j < columns; j++) {
        const sums = scratch + ((<usize>j) << 3);
        store<f64>(sums, load<f64>(sums) + <f64>load<f32>(from + ((<usize>j) << 2)));
      }
    }
    const to = result + ((<usize>at * inner + column) << 2);
    for (let j = 0; j < columns; j++) {
      store<f32>(to + ((<usize>j) << 2), <f32>(load<f64>(scratch + ((<usize>j) << 3)) * <f64>scale));
    }
  }
}

export function maximumColumns(
  source: usize, result: usize, length: i32, inner: i32, chunks: i32, scale: f32, columnsOfPart: i32, partsOfChunk: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const chunk = (length + chunks - 1) / chunks;
  for (let part = firstPart; part < endPart; part++) {
    const at = part / partsOfChunk;
    const column = (part - at * partsOfChunk) * columnsOfPart;
    const columns = min(columnsOfPart, inner - column);
    const row = at / chunks;
    const first = (at - row * chunks) * chunk;
    const last = min(length, first + chunk);
    const to = result + ((<usize>at * inner + column) << 2);
    for (let j = 0; j < columns; j++) store<f32>(to + ((<usize>j) << 2), -Infinity);
    for (let k = first; k < last; k++) {
      const from = source + ((<usize>(row * length + k) * inner + column) << 2);
      let j = 0;
      for (; j + 4 <= columns; j += 4) {
        const at = (<usize>j) << 2;
        v128.store(to + at, f32x4.max(v128.load(to + at), v128.load(from + at)));
      }
      for (; j < columns; j++) {
        const at = (<usize>j) << 2;
        store<f32>(to + at, larger(load<f32>(to + at), load<f32>(from + at)));
      }
    }
    for (let j = 0; j < columns; j++) {
      const at = to + ((<usize>j) << 2);
      store<f32>(at, load<f32>(at) * scale);
    }
  }
}
