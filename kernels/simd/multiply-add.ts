// Multiply-add on four lanes, by form. `plain` rounds the product and then the sum. The relaxed instruction rounds once where the
// machine has one for it, else twice.

/** Whether the engine joins pairs of vectors to 256 bits: then tiles may hold twice as many. scripts/build-simd.ts sets it. */
// @ts-ignore: WIDE is a constant given to the compiler.
export const isWide: bool = WIDE != 0;

/** x · y + sum. */
// @ts-ignore: decorator
@inline
export function multiplyAdd(x: v128, y: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_madd<f32>(x, y, sum);
  return f32x4.add(sum, f32x4.mul(x, y));
}
