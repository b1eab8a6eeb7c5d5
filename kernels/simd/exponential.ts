import { multiplyAdd } from './multiply-add';

/** 1.5 · 2²³: added to a number below 2²², it leaves no digit behind the point, and the whole number in the last bits. */
const roundsToWhole: f32 = 12582912;
/** What a vector is filled with is read from memory, in one instruction: of a constant V8 makes five, in every round of a loop. */
const numbers = memory.data<f32>([
  // log₂ e; -ln 2, high and low; the polynomial.
  1.44269504, -0.693359375, 2.12194440e-4,
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5,
  1, roundsToWhole, -87.33654, -88, 89,
]);
const log2OfE: usize = 0;
const ln2High: usize = 4;
const ln2Low: usize = 8;
const polynomial: usize = 12;
const one: usize = 36;
const whole: usize = 40;
const least: usize = 44;
const lowest: usize = 48;
const highest: usize = 52;

// @ts-ignore: decorator
@inline
function number(offset: usize): v128 {
  return v128.load32_splat(numbers + offset);
}

/** e^r - 1 for |r| at most ln 2 / 2: the polynomial of the Cephes library. */
// @ts-ignore: decorator
@inline
function nearZero(r: v128): v128 {
  let p = number(polynomial);
  p = multiplyAdd(p, r, number(polynomial + 4));
  p = multiplyAdd(p, r, number(polynomial + 8));
  p = multiplyAdd(p, r, number(polynomial + 12));
  p = multiplyAdd(p, r, number(polynomial + 16));
  p = multiplyAdd(p, r, number(polynomial + 20));
  return multiplyAdd(p, f32x4.mul(r, r), r);
}

/** r of x = n ln 2 + r. */
// @ts-ignore: decorator
@inline
function remainder(x: v128, n: v128): v128 {
  return multiplyAdd(n, number(ln2Low), multiplyAdd(n, number(ln2High), x));
}

/**
 * eˣ on four lanes, to about one unit in the last place for results that are normal numbers; 0 below -87.3, infinity above
 * 88.7. x = n ln 2 + r with |r| at most ln 2 / 2.
 */
// @ts-ignore: decorator
@inline
export function exponential(x: v128): v128 {
  // Of a NaN these keep the NaN.
  const clamped = f32x4.pmin(f32x4.pmax(x, number(lowest)), number(highest));
  const shifted = multiplyAdd(clamped, number(log2OfE), number(whole));
  const n = f32x4.sub(shifted, number(whole));
  const power = f32x4.add(nearZero(remainder(clamped, n)), number(one));
  // 2ⁿ, made by adding n to the exponent bits of 1, in two factors, since 2¹²⁸ has no exponent bits of its own. A NaN in x is still in `power`.
  const exponent = i32x4.sub(shifted, number(whole));
  const halfOf = i32x4.shr_s(exponent, 1);
  const first = i32x4.add(i32x4.shl(halfOf, 23), number(one));
  const second = i32x4.add(i32x4.shl(i32x4.sub(exponent, halfOf), 23), number(one));
  const result = f32x4.mul(f32x4.mul(power, first), second);
  // Below the normal numbers the polynomial is of no use.
  return v128.andnot(result, f32x4.lt(x, number(least)));
}

/** The same bits where x is at most 88, as the exponents of a softmax are, in half the operations. */
// @ts-ignore: decorator
@inline
export function exponentialOfSmall(x: v128): v128 {
  const shifted = multiplyAdd(x, number(log2OfE), number(whole));
  const n = f32x4.sub(shifted, number(whole));
  const power = f32x4.add(nearZero(remainder(x, n)), number(one));
  const factor = i32x4.add(i32x4.shl(shifted, 23), number(one));
  return v128.andnot(f32x4.mul(power, factor), f32x4.lt(x, number(least)));
}
