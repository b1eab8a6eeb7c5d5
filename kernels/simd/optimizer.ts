// What the optimizer does to every parameter in every step: the update, and the sums over its gradient before it.

// One step of AdamW on `count` numbers, four at a time; see src/nn/adamw.ts. Roots and quotients are those of f32. Where
// `changes` is not 0, the sum of |value - value before| is written there.

export function adamw(
  gradient: usize, value: usize, mean: usize, square: usize, changes: usize, count: i32,
  scale: f32, rate: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, correction1: f32, correction2: f32,
): void {
  const whole = count & ~3;
  const keep: f32 = 1 - rate * decay;
  const rest1: f32 = 1 - beta1;
  const rest2: f32 = 1 - beta2;
  let moved = f64x2.splat(0);
  for (let i = 0; i < whole; i += 4) {
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
    const before = v128.load(value + at);
    const after = f32x4.sub(f32x4.mul(before, f32x4.splat(keep)), f32x4.mul(f32x4.splat(rate), direction));
    v128.store(value + at, after);
    if (changes != 0) {
      const distance = f32x4.abs(f32x4.sub(after, before));
      moved = f64x2.add(moved, f64x2.promote_low_f32x4(distance));
      moved = f64x2.add(moved, f64x2.promote_low_f32x4(v128.shuffle<f32>(distance, distance, 2, 3, 2, 3)));
    }
  }
  let rest: f64 = 0;
  for (let i = whole; i < count; i++) {
    const at = (<usize>i) << 2;
    const g = scale * load<f32>(gradient + at);
    const m = beta1 * load<f32>(mean + at) + rest1 * g;
    const v = beta2 * load<f32>(square + at) + rest2 * g * g;
    store<f32>(mean + at, m);
    store<f32>(square + at, v);
    const direction = m / correction1 / (sqrt<f32>(v / correction2) + epsilon);
    const before = load<f32>(value + at);
    const after = before * keep - rate * direction;
    store<f32>(value + at, after);
    rest += <f64>abs(after - before);
  }
  if (changes != 0) {
    store<f32>(changes, <f32>(f64x2.extract_lane(moved, 0) + f64x2.extract_lane(moved, 1) + rest));
  }
}

// @ts-ignore: decorator
@inline
function lowOf(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

// @ts-ignore: decorator
@inline
function highOf(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 2, 3));
}

// @ts-ignore: decorator
@inline
function total(x: v128): f64 {
  return f64x2.extract_lane(x, 0) + f64x2.extract_lane(x, 1);
}

/**
 * Σ |g|, Σ g², Σ gA · gB, the number of elements that are not finite (they count in no sum), and Σ |g - previous|, at `sums`
 * in this order; see src/nn/step-report.ts. Sums are of f64. With `useHalves` gA and gB come in place of g, which is written
 * over gA. `usePrevious`: 0 nothing, 1 g is stored there, 2 it is compared first.
 */
export function gradientStatistics(
  gradient: usize, previous: usize, sums: usize, count: i32, useHalves: i32, usePrevious: i32,
): void {
  let absolute = f64x2.splat(0);
  let squares = f64x2.splat(0);
  let product = f64x2.splat(0);
  let change = f64x2.splat(0);
  let bad = 0;
  const second = gradient + ((<usize>count) << 2);
  const whole = count & ~3;
  for (let i = 0; i < whole; i += 4) {
    const at = (<usize>i) << 2;
    let g = v128.load(gradient + at);
    if (useHalves != 0) {
      const b = v128.load(second + at);
      const both = f64x2.add(f64x2.mul(lowOf(g), lowOf(b)), f64x2.mul(highOf(g), highOf(b)));
      product = f64x2.add(product, both);
      g = f32x4.add(g, b);
      v128.store(gradient + at, g);
    }
    const size = f32x4.abs(g);
    const finite = f32x4.le(size, f32x4.splat(f32.MAX_VALUE));
    bad += 4 - popcnt<i32>(i32x4.bitmask(finite));
    const low = lowOf(v128.and(size, finite));
    const high = highOf(v128.and(size, finite));
    absolute = f64x2.add(absolute, f64x2.add(low, high));
    squares = f64x2.add(squares, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    if (usePrevious == 2) {
      const before = v128.load(previous + at);
      const lowDistance = f64x2.abs(f64x2.sub(lowOf(g), lowOf(before)));
      change = f64x2.add(change, f64x2.add(lowDistance, f64x2.abs(f64x2.sub(highOf(g), highOf(before)))));
    }
    if (usePrevious != 0) v128.store(previous + at, g);
  }
  let lastAbsolute: f64 = 0;
  let lastSquares: f64 = 0;
  let lastProduct: f64 = 0;
  let lastChange: f64 = 0;
  for (let i = whole; i < count; i++) {
    const at = (<usize>i) << 2;
    let g = load<f32>(gradient + at);
    if (useHalves != 0) {
      const b = load<f32>(second + at);
      lastProduct += <f64>g * <f64>b;
      g += b;
      store<f32>(gradient + at, g);
    }
    const size = <f64>abs(g);
    if (size <= <f64>f32.MAX_VALUE) {
      lastAbsolute += size;
      lastSquares += size * size;
    } else bad++;
    if (usePrevious == 2) lastChange += abs(<f64>g - <f64>load<f32>(previous + at));
    if (usePrevious != 0) store<f32>(previous + at, g);
  }
  store<f32>(sums, <f32>(total(absolute) + lastAbsolute));
  store<f32>(sums, <f32>(total(squares) + lastSquares), 4);
  store<f32>(sums, <f32>(total(product) + lastProduct), 8);
  store<f32>(sums, <f32>bad, 12);
  store<f32>(sums, <f32>(total(change) + lastChange), 16);
}
