// Cross-entropy of rows, and its gradient; see src/autograd/operations/cross-entropy.ts. Exponentials are of f32, sums of f64. A part is
// one row.

import { exponentialOfSmall } from './exponential';
import { exponentialOfDifference, maximumOf, sumOfExponentials } from './log-sum-exp';
import { highOf, lowOf, total } from './vectors';

export function crossEntropy(
  targets: usize, divisor: usize, logits: usize, losses: usize, logSumExp: usize, classes: i32, ignoreIndex: i32,
  labelSmoothing: f32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  for (let row = firstPart; row < endPart; row++) {
    const start = logits + ((<usize>row * classes) << 2);
    const most = maximumOf(start, classes);
    const logarithm = Math.log(sumOfExponentials(start, 0, classes, most, scratch));
    const at = (<usize>row) << 2;
    store<f32>(logSumExp + at, <f32>(<f64>most + logarithm));
    const target = load<i32>(targets + at);
    let loss: f64 = 0;
    if (target != ignoreIndex) {
      loss = f64.NaN;
      if (target >= 0 && target < classes) {
        loss = <f64>most - <f64>load<f32>(start + ((<usize>target) << 2)) + logarithm;
      }
      if (labelSmoothing > 0) {
        const spread = sumBelow(start, classes, f64x2.splat(<f64>most)) / <f64>classes + logarithm;
        loss = (1 - <f64>labelSmoothing) * loss + <f64>labelSmoothing * spread;
      }
      loss /= <f64>load<f32>(divisor);
    }
    store<f32>(losses + at, <f32>loss);
  }
}

/** How far all logits of a row lie below the largest, together. */
function sumBelow(start: usize, classes: i32, maximum: v128): f64 {
  const whole = classes & ~3;
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  for (let i = 0; i < whole; i += 4) {
    const x = v128.load(start + ((<usize>i) << 2));
    a = f64x2.add(a, f64x2.sub(maximum, lowOf(x)));
    b = f64x2.add(b, f64x2.sub(maximum, highOf(x)));
  }
  let sum = total(f64x2.add(a, b));
  for (let i = whole; i < classes; i++) {
    sum += f64x2.extract_lane(maximum, 0) - <f64>load<f32>(start + ((<usize>i) << 2));
  }
  return sum;
}

export function crossEntropyGradient(
  targets: usize, divisor: usize, logits: usize, savedLogSumExp: usize, outputGradient: usize, inputGradient: usize,
  classes: i32, ignoreIndex: i32, gradientStep: i32, labelSmoothing: f32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  // What is wanted of every class, and more of the target.
  const everywhere = labelSmoothing / <f32>classes;
  for (let row = firstPart; row < endPart; row++) {
    const start = (<usize>row * classes) << 2;
    const from = logits + start;
    const to = inputGradient + start;
    const target = load<i32>(targets + ((<usize>row) << 2));
    if (target == ignoreIndex) {
      memory.fill(to, 0, (<usize>classes) << 2);
      continue;
    }
    const isClass = target >= 0 && target < classes;
    const gradient = load<f32>(outputGradient + ((<usize>row * gradientStep) << 2));
    const factor = isClass ? <f64>gradient / <f64>load<f32>(divisor) : f64.NaN;
    const shift = load<f32>(savedLogSumExp + ((<usize>row) << 2));
    // Of f64, because it comes near what is wanted of it.
    const ofTarget = isClass ? Math.exp(<f64>load<f32>(from + ((<usize>target) << 2)) - <f64>shift) : 0;
    store<f32>(scratch, shift);
    store<f32>(scratch, everywhere, 4);
    store<f32>(scratch, <f32>factor, 8);
    gradientOfClasses(from, to, classes, scratch);
    if (!isClass) continue;
    const wanted = 1 - <f64>labelSmoothing + <f64>everywhere;
    store<f32>(to + ((<usize>target) << 2), <f32>((ofTarget - wanted) * factor));
  }
}

/** (e^(x - shift) - wanted) · factor; the three are read from memory, so that the engine may join pairs of vectors. */
function gradientOfClasses(from: usize, to: usize, classes: i32, numbers: usize): void {
  const shift = v128.load32_splat(numbers);
  const wanted = v128.load32_splat(numbers, 4);
  const factor = v128.load32_splat(numbers, 8);
  const end = (<usize>classes) << 2;
  const pairs = end & ~31;
  let at: usize = 0;
  for (; at < pairs; at += 32) {
    const x = v128.load(from + at);
    const next = v128.load(from + at, 16);
    const value = f32x4.mul(f32x4.sub(exponentialOfSmall(f32x4.sub(x, shift)), wanted), factor);
    const nextValue = f32x4.mul(f32x4.sub(exponentialOfSmall(f32x4.sub(next, shift)), wanted), factor);
    v128.store(to + at, value);
    v128.store(to + at, nextValue, 16);
  }
  for (; at < end; at += 4) {
    const power = exponentialOfDifference(load<f32>(from + at), load<f32>(numbers));
    store<f32>(to + at, (power - load<f32>(numbers, 4)) * load<f32>(numbers, 8));
  }
}
