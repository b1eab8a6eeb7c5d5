// Formulas of src/autograd/operations/pointwise/pointwise.ts over `count` numbers: those whose time is that of an exponential or of a
// branch that cannot be foreseen, and the sums of which a backward pass is full. x, y and z are the operands in the order of the formula.

import { exponential } from './exponential';

/** 1 / (1 + e⁻ˣ) */
// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exponential(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
function swigluOf(x: v128, y: v128): v128 {
  return f32x4.mul(f32x4.mul(y, x), sigmoid(x));
}

// @ts-ignore: decorator
@inline
function gradientXOf(g: v128, x: v128, y: v128): v128 {
  const one = f32x4.splat(1);
  const s = sigmoid(x);
  return f32x4.mul(f32x4.mul(f32x4.mul(g, y), s), f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))));
}

/** The first `left` numbers of a vector that may end early; the others are 0. */
// @ts-ignore: decorator
@inline
function loadSome(from: usize, left: i32): v128 {
  let x = v128.load32_zero(from);
  if (left > 1) x = v128.load_lane<f32>(from, x, 1, 4);
  if (left > 2) x = v128.load_lane<f32>(from, x, 2, 8);
  return x;
}

// @ts-ignore: decorator
@inline
function storeSome(to: usize, x: v128, left: i32): void {
  v128.store_lane<f32>(to, x, 0);
  if (left > 1) v128.store_lane<f32>(to, x, 1, 4);
  if (left > 2) v128.store_lane<f32>(to, x, 2, 8);
}

export function swiglu(x: usize, y: usize, result: usize, count: i32): void {
  const whole = count & ~3;
  const end = (<usize>whole) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(result + at, swigluOf(v128.load(x + at), v128.load(y + at)));
  }
  const left = count - whole;
  if (left > 0) storeSome(result + end, swigluOf(loadSome(x + end, left), loadSome(y + end, left)), left);
}

/** For x of swiglu; the operands are the gradient of its result, its x and its y. */
export function swigluGradientX(x: usize, y: usize, z: usize, result: usize, count: i32): void {
  const whole = count & ~3;
  const end = (<usize>whole) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(result + at, gradientXOf(v128.load(x + at), v128.load(y + at), v128.load(z + at)));
  }
  const left = count - whole;
  if (left == 0) return;
  const last = gradientXOf(loadSome(x + end, left), loadSome(y + end, left), loadSome(z + end, left));
  storeSome(result + end, last, left);
}

/** For y of swiglu; the operands are the gradient of its result and its x. */
export function swigluGradientY(x: usize, y: usize, result: usize, count: i32): void {
  swiglu(y, x, result, count);
}

/** `kept`, but 0 where `sign` is at most 0; NaN is not. */
// @ts-ignore: decorator
@inline
function keepWhere(kept: v128, sign: v128): v128 {
  return v128.andnot(kept, f32x4.le(sign, f32x4.splat(0)));
}

export function relu(x: usize, result: usize, count: i32): void {
  reluGradient(x, x, result, count);
}

/** The gradient x where the result y was above 0, or NaN. */
export function reluGradient(x: usize, y: usize, result: usize, count: i32): void {
  const whole = count & ~3;
  const end = (<usize>whole) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(result + at, keepWhere(v128.load(x + at), v128.load(y + at)));
  }
  const left = count - whole;
  if (left > 0) storeSome(result + end, keepWhere(loadSome(x + end, left), loadSome(y + end, left)), left);
}

export function add(x: usize, y: usize, result: usize, count: i32): void {
  const whole = count & ~3;
  const end = (<usize>whole) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(result + at, f32x4.add(v128.load(x + at), v128.load(y + at)));
  }
  const left = count - whole;
  if (left > 0) storeSome(result + end, f32x4.add(loadSome(x + end, left), loadSome(y + end, left)), left);
}

/** total += contribution */
export function accumulate(contribution: usize, total: usize, count: i32): void {
  add(contribution, total, total, count);
}
