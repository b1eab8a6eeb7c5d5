// Rotary positions, in f64 and rounded once, as the loop in src/autograd/operations/rotary.ts does it. A part is one time step of
// one sequence of the batch, all heads of it.

import { lowOf } from './vectors';

/** Positions that differ by less differ in the fine line of the table alone. */
const FINE = 64;

export function rotary(
  x: usize, turns: usize, result: usize, time: i32, heads: i32, half: i32, positionOffset: i32, sign: f32,
  xBatch: i32, xTime: i32, xHead: i32, xElement: i32, xOffset: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const signs = f64x2.splat(<f64>sign);
  const halfBytes = (<usize>half) << 2;
  const step = (<usize>xElement) << 2;
  for (let part = firstPart; part < endPart; part++) {
    const batch = part / time;
    const t = part - batch * time;
    const position = positionOffset + t;
    const fineLine = turns + ((<usize>((position % FINE) * half)) << 3);
    const coarseLine = turns + ((<usize>((FINE + position / FINE) * half)) << 3);
    // Cosines and sines of all pairs, which the heads share.
    for (let j = 0; j < half; j++) {
      const fineCosine = <f64>load<f32>(fineLine + ((<usize>j) << 3));
      const fineSine = <f64>load<f32>(fineLine + ((<usize>j) << 3), 4);
      const coarseCosine = <f64>load<f32>(coarseLine + ((<usize>j) << 3));
      const coarseSine = <f64>load<f32>(coarseLine + ((<usize>j) << 3), 4);
      store<f64>(scratch + ((<usize>j) << 3), fineCosine * coarseCosine - fineSine * coarseSine);
      store<f64>(scratch + ((<usize>(half + j)) << 3), <f64>sign * (fineCosine * coarseSine + fineSine * coarseCosine));
    }
    let to = result + ((<usize>part * heads * half) << 3);
    for (let head = 0; head < heads; head++, to += 2 * halfBytes) {
      let from = x + ((<usize>(xOffset + batch * xBatch + t * xTime + head * xHead)) << 2);
      const second = <usize>half * step;
      let j = 0;
      if (xElement == 1) {
        for (; j + 2 <= half; j += 2, from += 8) {
          const cosine = v128.load(scratch + ((<usize>j) << 3));
          const sine = v128.load(scratch + ((<usize>(half + j)) << 3));
          const a = lowOf(v128.load64_zero(from));
          const b = lowOf(v128.load64_zero(from + second));
          const turnedA = f64x2.sub(f64x2.mul(a, cosine), f64x2.mul(b, sine));
          const turnedB = f64x2.add(f64x2.mul(b, cosine), f64x2.mul(a, sine));
          const at = to + ((<usize>j) << 2);
          v128.store_lane<f64>(at, f32x4.demote_f64x2_zero(turnedA), 0);
          v128.store_lane<f64>(at + halfBytes, f32x4.demote_f64x2_zero(turnedB), 0);
        }
      }
      for (; j < half; j++, from += step) {
        const cosine = load<f64>(scratch + ((<usize>j) << 3));
        const sine = load<f64>(scratch + ((<usize>(half + j)) << 3));
        const a = <f64>load<f32>(from);
        const b = <f64>load<f32>(from + second);
        const at = to + ((<usize>j) << 2);
        store<f32>(at, <f32>(a * cosine - b * sine));
        store<f32>(at + halfBytes, <f32>(b * cosine + a * sine));
      }
    }
  }
}
