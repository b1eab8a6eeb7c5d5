import { multiplyAdd } from './multiply-add';

const log2OfE: f32 = 1.44269504;
const ln2High: f32 = 0.693359375;
const ln2Low: f32 = -2.12194440e-4;
/** 1.5 · 2²³: added to a number below 2²², it leaves no digit behind the point, and the whole number in the last bits. */
const roundsToWhole: f32 = 12582912;

/**
 * eˣ on four lanes, to about one unit in the last place for results that are normal numbers; 0 below -87.3, infinity above
 * 88.7. x = n ln 2 + r with |r| at most ln 2 / 2; the polynomial for e^r is that of the Cephes library.
 */
// @ts-ignore: decorator
@inline
export function exponential(x: v128): v128 {
  // Of a NaN these keep the NaN.
  const clamped = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-88)), f32x4.splat(89));
  const shifted = f32x4.add(f32x4.mul(clamped, f32x4.splat(log2OfE)), f32x4.splat(roundsToWhole));
  const n = f32x4.sub(shifted, f32x4.splat(roundsToWhole));
  const r = f32x4.sub(f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(ln2High))), f32x4.mul(n, f32x4.splat(ln2Low)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  const power = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  // 2ⁿ in two factors, since 2¹²⁸ has no exponent bits of its own. A NaN in x is still in `power`.
  const whole = i32x4.sub(shifted, f32x4.splat(roundsToWhole));
  const halfOf = i32x4.shr_s(whole, 1);
  const first = i32x4.shl(i32x4.add(halfOf, i32x4.splat(127)), 23);
  const second = i32x4.shl(i32x4.add(i32x4.sub(whole, halfOf), i32x4.splat(127)), 23);
  const result = f32x4.mul(f32x4.mul(power, first), second);
  // Below the normal numbers the polynomial is of no use.
  return v128.andnot(result, f32x4.lt(x, f32x4.splat(-87.33654)));
}

/** The same where x is at most 88, as the exponents of a softmax are: half the operations. The plain form gives the same bits. */
// @ts-ignore: decorator
@inline
export function exponentialOfSmall(x: v128): v128 {
  const shifted = multiplyAdd(x, f32x4.splat(log2OfE), f32x4.splat(roundsToWhole));
  const n = f32x4.sub(shifted, f32x4.splat(roundsToWhole));
  const r = multiplyAdd(n, f32x4.splat(-ln2Low), multiplyAdd(n, f32x4.splat(-ln2High), x));
  let p = f32x4.splat(1.9875691500e-4);
  p = multiplyAdd(p, r, f32x4.splat(1.3981999507e-3));
  p = multiplyAdd(p, r, f32x4.splat(8.3334519073e-3));
  p = multiplyAdd(p, r, f32x4.splat(4.1665795894e-2));
  p = multiplyAdd(p, r, f32x4.splat(1.6666665459e-1));
  p = multiplyAdd(p, r, f32x4.splat(0.5));
  const power = f32x4.add(multiplyAdd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  const factor = i32x4.shl(i32x4.add(shifted, i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(power, factor), f32x4.lt(x, f32x4.splat(-87.33654)));
}

/** eˣ of one number. */
// @ts-ignore: decorator
@inline
export function exponentialOfOne(x: f32): f32 {
  return f32x4.extract_lane(exponential(f32x4.splat(x)), 0);
}
