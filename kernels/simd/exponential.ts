const log2OfE: f32 = 1.44269504;
const ln2High: f32 = 0.693359375;
const ln2Low: f32 = -2.12194440e-4;

/**
 * eˣ on four lanes, to about one unit in the last place for results that are normal numbers; 0 below -87.3, infinity above
 * 88.7. x = n ln 2 + r with |r| at most ln 2 / 2; the polynomial for e^r is that of the Cephes library.
 */
// @ts-ignore: decorator
@inline
export function exponential(x: v128): v128 {
  const clamped = f32x4.min(f32x4.max(x, f32x4.splat(-88)), f32x4.splat(89));
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(log2OfE)));
  const r = f32x4.sub(f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(ln2High))), f32x4.mul(n, f32x4.splat(ln2Low)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  const power = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  // 2ⁿ in two factors, since 2¹²⁸ has no exponent bits of its own. A NaN in x is still in `power`.
  const whole = i32x4.trunc_sat_f32x4_s(n);
  const halfOf = i32x4.shr_s(whole, 1);
  const first = i32x4.shl(i32x4.add(halfOf, i32x4.splat(127)), 23);
  const second = i32x4.shl(i32x4.add(i32x4.sub(whole, halfOf), i32x4.splat(127)), 23);
  const result = f32x4.mul(f32x4.mul(power, first), second);
  // Below the normal numbers the polynomial is of no use.
  return v128.andnot(result, f32x4.lt(x, f32x4.splat(-87.33654)));
}

/** eˣ of one number. */
// @ts-ignore: decorator
@inline
export function exponentialOfOne(x: f32): f32 {
  return f32x4.extract_lane(exponential(f32x4.splat(x)), 0);
}

const log2OfE64: f64 = 1.4426950408889634;
const ln2High64: f64 = 6.93147180369123816490e-1;
const ln2Low64: f64 = 1.90821492927058770002e-10;
const wholeNumbers: f64 = 6755399441055744;

/** eˣ on two lanes of f64, to about one unit in the last place; 0 below -708, which f32 cannot hold either. For x up to 709. */
// @ts-ignore: decorator
@inline
export function exponential64(x: v128): v128 {
  // Of a NaN these keep the NaN.
  const clamped = f64x2.pmin(f64x2.pmax(x, f64x2.splat(-708)), f64x2.splat(709));
  // So large that nothing is left behind the point: n stands in its lowest bits.
  const shifted = f64x2.add(f64x2.mul(clamped, f64x2.splat(log2OfE64)), f64x2.splat(wholeNumbers));
  const n = f64x2.sub(shifted, f64x2.splat(wholeNumbers));
  const r = f64x2.sub(f64x2.sub(clamped, f64x2.mul(n, f64x2.splat(ln2High64))), f64x2.mul(n, f64x2.splat(ln2Low64)));
  // The series of eʳ up to r¹³, from its end.
  let p = f64x2.splat(1 / 6227020800.0);
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 479001600.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 39916800.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 3628800.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 362880.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 40320.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 5040.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 720.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 120.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 24.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1 / 6.0));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.5));
  const power = f64x2.add(f64x2.add(f64x2.mul(p, f64x2.mul(r, r)), r), f64x2.splat(1));
  const result = f64x2.mul(power, i64x2.shl(i64x2.add(shifted, i64x2.splat(1023)), 52));
  return v128.andnot(result, f64x2.lt(x, f64x2.splat(-708)));
}
