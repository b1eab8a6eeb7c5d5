// Softmax and log-softmax of rows, and their gradients; see src/autograd/operations/softmax.ts. Sums are of f64. A part is one row.

import { exponentialOfSmall } from './exponential';
import { exponentialOfDifference, maximumOf, sumOfExponentials } from './log-sum-exp';
import { highOf, lowOf, narrow, total } from './vectors';

export function softmax(x: usize, result: usize, columns: i32, scratch: usize, firstPart: i32, endPart: i32): void {
  const whole = columns & ~3;
  for (let row = firstPart; row < endPart; row++) {
    const start = (<usize>row * columns) << 2;
    const to = result + start;
    const sum = sumOfExponentials(x + start, to, columns, maximumOf(x + start, columns), scratch);
    const share = <f32>(1 / sum);
    for (let i = 0; i < whole; i += 4) {
      const at = to + ((<usize>i) << 2);
      v128.store(at, f32x4.mul(v128.load(at), f32x4.splat(share)));
    }
    for (let i = whole; i < columns; i++) {
      const at = to + ((<usize>i) << 2);
      store<f32>(at, load<f32>(at) * share);
    }
  }
}

export function softmaxGradient(
  outputGradient: usize, saved: usize, inputGradient: usize, columns: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const whole = columns & ~3;
  for (let row = firstPart; row < endPart; row++) {
    const start = (<usize>row * columns) << 2;
    const g = outputGradient + start;
    const y = saved + start;
    let sums = f64x2.splat(0);
    for (let i = 0; i < whole; i += 4) {
      const at = (<usize>i) << 2;
      const gradient = v128.load(g + at);
      const share = v128.load(y + at);
      const low = f64x2.mul(lowOf(gradient), lowOf(share));
      sums = f64x2.add(sums, f64x2.add(low, f64x2.mul(highOf(gradient), highOf(share))));
    }
    let sum = total(sums);
    for (let i = whole; i < columns; i++) {
      const at = (<usize>i) << 2;
      sum += <f64>load<f32>(g + at) * <f64>load<f32>(y + at);
    }
    for (let i = 0; i < whole; i += 4) {
      const at = (<usize>i) << 2;
      const rest = f32x4.sub(v128.load(g + at), f32x4.splat(<f32>sum));
      v128.store(inputGradient + start + at, f32x4.mul(v128.load(y + at), rest));
    }
    for (let i = whole; i < columns; i++) {
      const at = (<usize>i) << 2;
      store<f32>(inputGradient + start + at, load<f32>(y + at) * (load<f32>(g + at) - <f32>sum));
    }
  }
}

export function logSoftmax(x: usize, result: usize, columns: i32, scratch: usize, firstPart: i32, endPart: i32): void {
  const whole = columns & ~3;
  for (let row = firstPart; row < endPart; row++) {
    const start = (<usize>row * columns) << 2;
    const most = maximumOf(x + start, columns);
    const logarithm = Math.log(sumOfExponentials(x + start, 0, columns, most, scratch));
    const maximum = f64x2.splat(<f64>most);
    for (let i = 0; i < whole; i += 4) {
      const at = start + ((<usize>i) << 2);
      const logit = v128.load(x + at);
      const low = f64x2.sub(f64x2.sub(lowOf(logit), maximum), f64x2.splat(logarithm));
      const high = f64x2.sub(f64x2.sub(highOf(logit), maximum), f64x2.splat(logarithm));
      v128.store(result + at, narrow(low, high));
    }
    for (let i = whole; i < columns; i++) {
      const at = start + ((<usize>i) << 2);
      store<f32>(result + at, <f32>(<f64>load<f32>(x + at) - <f64>most - logarithm));
    }
  }
}

export function logSoftmaxGradient(
  outputGradient: usize, saved: usize, inputGradient: usize, columns: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const whole = columns & ~3;
  for (let row = firstPart; row < endPart; row++) {
    const start = (<usize>row * columns) << 2;
    let sums = f64x2.splat(0);
    for (let i = 0; i < whole; i += 4) {
      const gradient = v128.load(outputGradient + start + ((<usize>i) << 2));
      sums = f64x2.add(sums, f64x2.add(lowOf(gradient), highOf(gradient)));
    }
    let sum = total(sums);
    for (let i = whole; i < columns; i++) sum += <f64>load<f32>(outputGradient + start + ((<usize>i) << 2));
    for (let i = 0; i < whole; i += 4) {
      const at = start + ((<usize>i) << 2);
      const part = f32x4.mul(exponentialOfSmall(v128.load(saved + at)), f32x4.splat(<f32>sum));
      v128.store(inputGradient + at, f32x4.sub(v128.load(outputGradient + at), part));
    }
    for (let i = whole; i < columns; i++) {
      const at = start + ((<usize>i) << 2);
      store<f32>(
        inputGradient + at, load<f32>(outputGradient + at) - exponentialOfDifference(load<f32>(saved + at), 0) * <f32>sum,
      );
    }
  }
}
