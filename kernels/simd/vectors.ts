// What several families do with vectors.

/** The first two lanes in f64. */
// @ts-ignore: decorator
@inline
export function lowOf(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

/** The last two lanes in f64. */
// @ts-ignore: decorator
@inline
export function highOf(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 2, 3));
}

/** Two vectors of f64 in one of f32, rounded. */
// @ts-ignore: decorator
@inline
export function narrow(low: v128, high: v128): v128 {
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}

/** The sum of two lanes of f64. */
// @ts-ignore: decorator
@inline
export function total(x: v128): f64 {
  return f64x2.extract_lane(x, 0) + f64x2.extract_lane(x, 1);
}

/** The largest of four lanes of f32. */
// @ts-ignore: decorator
@inline
export function largest(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

/** The first `left` numbers, at most three, of a vector that may end early; the others are 0. */
// @ts-ignore: decorator
@inline
export function loadSome(from: usize, left: i32): v128 {
  let x = v128.load32_zero(from);
  if (left > 1) x = v128.load_lane<f32>(from, x, 1, 4);
  if (left > 2) x = v128.load_lane<f32>(from, x, 2, 8);
  return x;
}

// @ts-ignore: decorator
@inline
export function storeSome(to: usize, x: v128, left: i32): void {
  v128.store_lane<f32>(to, x, 0);
  if (left > 1) v128.store_lane<f32>(to, x, 1, 4);
  if (left > 2) v128.store_lane<f32>(to, x, 2, 8);
}
