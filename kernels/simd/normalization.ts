// Rows normalized by their mean square, or by their mean and variance, and the gradient of that; see
// src/autograd/operations/normalization.ts. Rows are `columns` long, a multiple of four. A part
// is one row; of the gradient of the gain, one chunk of rows.

// @ts-ignore: decorator
@inline
function total(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

export function normalize(
  x: usize, gain: usize, bias: usize, statistics: usize, result: usize,
  rows: i32, columns: i32, centered: i32, useBias: i32, epsilon: f32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>columns) << 2;
  for (let row = firstPart; row < endPart; row++) {
    const from = x + <usize>row * bytes;
    const to = result + <usize>row * bytes;
    let mean: f32 = 0;
    if (centered != 0) {
      let sums = f32x4.splat(0);
      for (let at: usize = 0; at < bytes; at += 16) sums = f32x4.add(sums, v128.load(from + at));
      mean = total(sums) / <f32>columns;
    }
    let squares = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const deviation = f32x4.sub(v128.load(from + at), f32x4.splat(mean));
      squares = f32x4.add(squares, f32x4.mul(deviation, deviation));
    }
    const inverse = <f32>1 / sqrt<f32>(total(squares) / <f32>columns + epsilon);
    for (let at: usize = 0; at < bytes; at += 16) {
      const deviation = f32x4.sub(v128.load(from + at), f32x4.splat(mean));
      const scaled = f32x4.mul(f32x4.mul(deviation, f32x4.splat(inverse)), v128.load(gain + at));
      v128.store(to + at, useBias != 0 ? f32x4.add(scaled, v128.load(bias + at)) : scaled);
    }
    store<f32>(statistics + ((<usize>row) << 2), inverse);
    if (centered != 0) store<f32>(statistics + ((<usize>(rows + row)) << 2), mean);
  }
}

export function normalizeGradient(
  x: usize, gain: usize, savedStatistics: usize, outputGradient: usize, result: usize,
  rows: i32, columns: i32, centered: i32, addToResult: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>columns) << 2;
  for (let row = firstPart; row < endPart; row++) {
    const start = <usize>row * bytes;
    const inverse = load<f32>(savedStatistics + ((<usize>row) << 2));
    const mean: f32 = centered != 0 ? load<f32>(savedStatistics + ((<usize>(rows + row)) << 2)) : 0;
    let sums = f32x4.splat(0);
    let products = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const scaled = f32x4.mul(v128.load(outputGradient + start + at), v128.load(gain + at));
      const normal = f32x4.mul(f32x4.sub(v128.load(x + start + at), f32x4.splat(mean)), f32x4.splat(inverse));
      sums = f32x4.add(sums, scaled);
      products = f32x4.add(products, f32x4.mul(scaled, normal));
    }
    const meanGradient = f32x4.splat(centered != 0 ? total(sums) / <f32>columns : 0);
    const along = f32x4.splat(total(products) / <f32>columns);
    for (let at: usize = 0; at < bytes; at += 16) {
      const scaled = f32x4.mul(v128.load(outputGradient + start + at), v128.load(gain + at));
      const normal = f32x4.mul(f32x4.sub(v128.load(x + start + at), f32x4.splat(mean)), f32x4.splat(inverse));
      const rest = f32x4.sub(f32x4.sub(scaled, meanGradient), f32x4.mul(normal, along));
      const gradient = f32x4.mul(f32x4.splat(inverse), rest);
      const to = result + start + at;
      v128.store(to, addToResult != 0 ? f32x4.add(v128.load(to), gradient) : gradient);
    }
  }
}

/** Sums of outputGradient · normalized x over chunks of rows, a row of sums a chunk. */
export function normalizeGainGradient(
  outputGradient: usize, x: usize, statistics: usize, partialSums: usize,
  rows: i32, columns: i32, chunkRows: i32, centered: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = (<usize>columns) << 2;
  for (let part = firstPart; part < endPart; part++) {
    const sums = partialSums + <usize>part * bytes;
    const first = part * chunkRows;
    const end = min(rows, first + chunkRows);
    memory.fill(sums, 0, bytes);
    for (let row = first; row < end; row++) {
      const start = <usize>row * bytes;
      const inverse = f32x4.splat(load<f32>(statistics + ((<usize>row) << 2)));
      const mean = f32x4.splat(centered != 0 ? load<f32>(statistics + ((<usize>(rows + row)) << 2)) : 0);
      for (let at: usize = 0; at < bytes; at += 16) {
        const normal = f32x4.mul(f32x4.sub(v128.load(x + start + at), mean), inverse);
        const part = f32x4.mul(v128.load(outputGradient + start + at), normal);
        v128.store(sums + at, f32x4.add(v128.load(sums + at), part));
      }
    }
  }
}
