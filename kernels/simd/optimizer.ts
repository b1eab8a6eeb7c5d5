// What the optimizer does to every parameter in every step: the update, and the sums over its gradient before it.

import { highOf, lowOf, total } from './vectors';

// One step of AdamW on `count` numbers, four at a time (part p is those from p · partLength on); see src/nn/adamw.ts. Roots and quotients are those of f32. `report` begins with
// the factor of clipping, and with a number that is not 0 where nothing is to change any more.

export function adamw(
  gradient: usize, report: usize, value: usize, mean: usize, square: usize,
  count: i32, rate: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, correction1: f32, correction2: f32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const scale = load<f32>(report);
  if (load<f32>(report, 4) != 0) return;
  const first = firstPart * partLength;
  const end = <i32>min(<i64>endPart * partLength, <i64>count);
  const whole = end & ~3;
  const keep: f32 = 1 - rate * decay;
  const rest1: f32 = 1 - beta1;
  const rest2: f32 = 1 - beta2;
  for (let i = first; i < whole; i += 4) {
    const at = (<usize>i) << 2;
    const g = f32x4.mul(f32x4.splat(scale), v128.load(gradient + at));
    const m = f32x4.add(f32x4.mul(f32x4.splat(beta1), v128.load(mean + at)), f32x4.mul(f32x4.splat(rest1), g));
    const v = f32x4.add(
      f32x4.mul(f32x4.splat(beta2), v128.load(square + at)),
      f32x4.mul(f32x4.mul(f32x4.splat(rest2), g), g),
    );
    v128.store(mean + at, m);
    v128.store(square + at, v);
    const root = f32x4.add(f32x4.sqrt(f32x4.div(v, f32x4.splat(correction2))), f32x4.splat(epsilon));
    const direction = f32x4.div(f32x4.div(m, f32x4.splat(correction1)), root);
    const kept = f32x4.mul(v128.load(value + at), f32x4.splat(keep));
    v128.store(value + at, f32x4.sub(kept, f32x4.mul(f32x4.splat(rate), direction)));
  }
  for (let i = whole; i < end; i++) {
    const at = (<usize>i) << 2;
    const g = scale * load<f32>(gradient + at);
    const m = beta1 * load<f32>(mean + at) + rest1 * g;
    const v = beta2 * load<f32>(square + at) + rest2 * g * g;
    store<f32>(mean + at, m);
    store<f32>(square + at, v);
    const direction = m / correction1 / (sqrt<f32>(v / correction2) + epsilon);
    store<f32>(value + at, load<f32>(value + at) * keep - rate * direction);
  }
}

// What is summed beside the squares: the formulas of src/grades/signals, on two numbers of f64.
/** 2^-80, as in kernels/gradient_statistics.wgsl. */
const SHRINK: f64 = 8.271806125530277e-25;
const NOTHING = 0;
const MAGNITUDE = 1;
const PRODUCT = 2;
const DISTANCE = 3;

// @ts-ignore: decorator
@inline
function formulaOnTwo(formula: i32, x: v128, y: v128): v128 {
  if (formula == MAGNITUDE) return f64x2.abs(x);
  if (formula == PRODUCT) return f64x2.mul(x, y);
  return f64x2.abs(f64x2.sub(x, y));
}

// @ts-ignore: decorator
@inline
function formulaOnOne(formula: i32, x: f64, y: f64): f64 {
  if (formula == MAGNITUDE) return abs(x);
  if (formula == PRODUCT) return x * y;
  return abs(x - y);
}

/**
 * Σ formula(x, y), Σ g² and the number of elements that X
 */
// @ts-ignore: decorator
@inline
function statistics(
  formula: i32, gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32,
  partLength: i32, firstPart: i32, endPart: i32,
): void {
  for (let part = firstPart; part < endPart; part++) {
    const first = part * partLength;
    const end = <i32>min(<i64>first + partLength, <i64>count);
    measure(
      formula, gradient, companion, sums + ((<usize>part) << 4), count, inHalves, pairsHalves, pairsCompanion, storesCompanion,
      isSumOnly, first, end,
    );
  }
}

// @ts-ignore: decorator
@inline
function measure(
  formula: i32, gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32, first: i32, end: i32,
): void {
  let sum = f64x2.splat(0);
  let squares = f64x2.splat(0);
  let bad = 0;
  const second = gradient + ((<usize>count) << 2);
  const whole = end & ~3;
  for (let i = first; i < whole; i += 4) {
    const at = (<usize>i) << 2;
    let g = v128.load(gradient + at);
    let x = g;
    let y = f32x4.splat(0);
    if (inHalves != 0) {
      y = v128.load(second + at);
      g = f32x4.add(g, y);
      if (isSumOnly == 0) v128.store(gradient + at, g);
    }
    if (formula != NOTHING) {
      if (pairsHalves == 0) x = g;
      if (pairsCompanion != 0) y = v128.load(companion + at);
      const low = formulaOnTwo(formula, lowOf(x), lowOf(y));
      sum = f64x2.add(sum, f64x2.add(low, formulaOnTwo(formula, highOf(x), highOf(y))));
    }
    if (storesCompanion != 0) v128.store(companion + at, g);
    const size = f32x4.abs(g);
    const finite = f32x4.le(size, f32x4.splat(f32.MAX_VALUE));
    bad += 4 - popcnt<i32>(i32x4.bitmask(finite));
    const low = lowOf(v128.and(size, finite));
    const high = highOf(v128.and(size, finite));
    squares = f64x2.add(squares, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
  }
  let lastSum: f64 = 0;
  let lastSquares: f64 = 0;
  for (let i = whole; i < end; i++) {
    const at = (<usize>i) << 2;
    let g = load<f32>(gradient + at);
    let x = g;
    let y: f32 = 0;
    if (inHalves != 0) {
      y = load<f32>(second + at);
      g += y;
      if (isSumOnly == 0) store<f32>(gradient + at, g);
    }
    if (formula != NOTHING) {
      if (pairsHalves == 0) x = g;
      if (pairsCompanion != 0) y = load<f32>(companion + at);
      lastSum += formulaOnOne(formula, <f64>x, <f64>y);
    }
    if (storesCompanion != 0) store<f32>(companion + at, g);
    const size = <f64>abs(g);
    if (size <= <f64>f32.MAX_VALUE) lastSquares += size * size;
    else bad++;
  }
  store<f32>(sums, <f32>(total(sum) + lastSum));
  if (isSumOnly != 0) return;
  lastSquares += total(squares);
  store<f32>(sums, <f32>lastSquares, 4);
  store<f32>(sums, <f32>bad, 8);
  store<f32>(sums, <f32>(lastSquares * SHRINK * SHRINK), 12);
}

export function gradientStatistics(
  gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  statistics(
    NOTHING, gradient, companion, sums, count, inHalves, pairsHalves, pairsCompanion, storesCompanion, isSumOnly,
    partLength, firstPart, endPart,
  );
}

export function magnitudeStatistics(
  gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  statistics(
    MAGNITUDE, gradient, companion, sums, count, inHalves, pairsHalves, pairsCompanion, storesCompanion, isSumOnly,
    partLength, firstPart, endPart,
  );
}

export function productStatistics(
  gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  statistics(
    PRODUCT, gradient, companion, sums, count, inHalves, pairsHalves, pairsCompanion, storesCompanion, isSumOnly,
    partLength, firstPart, endPart,
  );
}

export function distanceStatistics(
  gradient: usize, companion: usize, sums: usize, count: i32,
  inHalves: i32, pairsHalves: i32, pairsCompanion: i32, storesCompanion: i32, isSumOnly: i32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  statistics(
    DISTANCE, gradient, companion, sums, count, inHalves, pairsHalves, pairsCompanion, storesCompanion, isSumOnly,
    partLength, firstPart, endPart,
  );
}

/** One step of SGD; see src/nn/sgd.ts. Part p is the elements from p · partLength on. */
export function sgd(
  gradient: usize, report: usize, value: usize, velocity: usize, count: i32, rate: f32, momentum: f32, decay: f32,
  partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const scale = load<f32>(report);
  if (load<f32>(report, 4) != 0) return;
  const keep: f32 = 1 - rate * decay;
  const end = min((<usize>endPart * partLength) << 2, (<usize>count) << 2);
  let at = (<usize>firstPart * partLength) << 2;
  for (; at + 16 <= end; at += 16) {
    const g = f32x4.mul(f32x4.splat(scale), v128.load(gradient + at));
    const v = f32x4.add(f32x4.mul(f32x4.splat(momentum), v128.load(velocity + at)), g);
    v128.store(velocity + at, v);
    const kept = f32x4.mul(v128.load(value + at), f32x4.splat(keep));
    v128.store(value + at, f32x4.sub(kept, f32x4.mul(f32x4.splat(rate), v)));
  }
  for (; at < end; at += 4) {
    const v = momentum * load<f32>(velocity + at) + scale * load<f32>(gradient + at);
    store<f32>(velocity + at, v);
    store<f32>(value + at, load<f32>(value + at) * keep - rate * v);
  }
}
