const log2OfE: f64 = 1.4426950408889634;
const ln2High: f64 = 6.93147180369123816490e-1;
const ln2Low: f64 = 1.90821492927058770002e-10;
/** 1.5 · 2⁵²: added to a number below 2⁵¹, it leaves no digit behind the point, and the whole number in the last bits. */
const roundsToWhole: f64 = 6755399441055744;

/** eˣ on two lanes of f64, to about one unit in the last place; 0 below -708, which f32 cannot hold either. For x up to 709. */
// @ts-ignore: decorator
@inline
export function exponential64(x: v128): v128 {
  const clamped = f64x2.pmin(f64x2.pmax(x, f64x2.splat(-708)), f64x2.splat(709));
  const shifted = f64x2.add(f64x2.mul(clamped, f64x2.splat(log2OfE)), f64x2.splat(roundsToWhole));
  const n = f64x2.sub(shifted, f64x2.splat(roundsToWhole));
  const r = f64x2.sub(f64x2.sub(clamped, f64x2.mul(n, f64x2.splat(ln2High))), f64x2.mul(n, f64x2.splat(ln2Low)));
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
