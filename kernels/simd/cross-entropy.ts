// Cross-entropy of rows, and its gradient; see src/autograd/operations/cross-entropy.ts. Exponentials and sums are of f64, so that a
// loss does not depend on how a row is divided. A part is one row.

import { exponential64 } from './exponential-f64';
import { highOf, largest, lowOf, narrow, total } from './vectors';

export function crossEntropy(
  targets: usize, divisor: usize, logits: usize, losses: usize, logSumExp: usize, classes: i32, ignoreIndex: i32,
  labelSmoothing: f32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const whole = classes & ~3;
  for (let row = firstPart; row < endPart; row++) {
    const start = logits + ((<usize>row * classes) << 2);
    let found = f32x4.splat(-Infinity);
    for (let i = 0; i < whole; i += 4) found = f32x4.pmax(found, v128.load(start + ((<usize>i) << 2)));
    let most = largest(found);
    for (let i = whole; i < classes; i++) {
      const logit = load<f32>(start + ((<usize>i) << 2));
      if (logit > most) most = logit;
    }
    const maximum = f64x2.splat(<f64>most);
    let a = f64x2.splat(0);
    let b = f64x2.splat(0);
    for (let i = 0; i < whole; i += 4) {
      const x = v128.load(start + ((<usize>i) << 2));
      a = f64x2.add(a, exponential64(f64x2.sub(lowOf(x), maximum)));
      b = f64x2.add(b, exponential64(f64x2.sub(highOf(x), maximum)));
    }
    let sum = total(f64x2.add(a, b));
    for (let i = whole; i < classes; i++) {
      const x = f64x2.splat(<f64>load<f32>(start + ((<usize>i) << 2)));
      sum += f64x2.extract_lane(exponential64(f64x2.sub(x, maximum)), 0);
    }
    const logarithm = Math.log(sum);
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
        const spread = sumBelow(start, classes, maximum) / <f64>classes + logarithm;
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
  const whole = classes & ~3;
  // What is wanted of every class, and more of the target.
  const everywhere = <f64>labelSmoothing / <f64>classes;
  const wanted = f64x2.splat(everywhere);
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
    const scale = f64x2.splat(factor);
    const shift = f64x2.splat(<f64>load<f32>(savedLogSumExp + ((<usize>row) << 2)));
    for (let i = 0; i < whole; i += 4) {
      const x = v128.load(from + ((<usize>i) << 2));
      const low = f64x2.mul(f64x2.sub(exponential64(f64x2.sub(lowOf(x), shift)), wanted), scale);
      const high = f64x2.mul(f64x2.sub(exponential64(f64x2.sub(highOf(x), shift)), wanted), scale);
      v128.store(to + ((<usize>i) << 2), narrow(low, high));
    }
    for (let i = whole; i < classes; i++) {
      store<f32>(to + ((<usize>i) << 2), <f32>((probability(from + ((<usize>i) << 2), shift) - everywhere) * factor));
    }
    if (!isClass) continue;
    const at = (<usize>target) << 2;
    const ofTarget = 1 - <f64>labelSmoothing + everywhere;
    store<f32>(to + at, <f32>((probability(from + at, shift) - ofTarget) * factor));
  }
}

// @ts-ignore: decorator
@inline
function probability(logit: usize, shift: v128): f64 {
  return f64x2.extract_lane(exponential64(f64x2.sub(f64x2.splat(<f64>load<f32>(logit)), shift)), 0);
}
