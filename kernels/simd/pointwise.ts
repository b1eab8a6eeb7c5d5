// Formulas of src/autograd/operations/pointwise/ over `count` numbers. x, y and z are the operands in the order of the formula; one
// whose step is 0 is a single number. Part p is the elements from p · partLength on.

import { exponential, exponentialOfSmall } from './exponential';
import { multiplyAdd } from './multiply-add';
import { loadSome, storeSome } from './vectors';

/** Read from memory, as kernels/simd/exponential.ts does and says why. */
const numbers = memory.data<f32>([
  1, 2, 0.5, 88,
  // tanh: the polynomial, and where it ends.
  -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1, 0.625,
  // gelu: √(2/π), and what meets x³ and 3 x².
  0.7978845608, 0.044715, 0.134145,
]);
const one: usize = 0;
const two: usize = 4;
const half: usize = 8;
const mostOfExponent: usize = 12;
const tanhPolynomial: usize = 16;
const tanhNear: usize = 36;
const geluScale: usize = 40;
const geluCubic: usize = 44;
const geluSlope: usize = 48;

// @ts-ignore: decorator
@inline
function number(offset: usize): v128 {
  return v128.load32_splat(numbers + offset);
}

/** eˣ, and no more than e⁸⁸, beside which a 1 does not count. */
// @ts-ignore: decorator
@inline
function boundedExponential(x: v128): v128 {
  return exponentialOfSmall(f32x4.pmin(x, number(mostOfExponent)));
}

/** 1 / (1 + e⁻ˣ); 0 below -88, so that -∞ times it is no number. */
// @ts-ignore: decorator
@inline
function sigmoidOf(x: v128): v128 {
  const size = f32x4.neg(x);
  const result = f32x4.div(number(one), f32x4.add(number(one), boundedExponential(size)));
  return v128.andnot(result, f32x4.gt(size, number(mostOfExponent)));
}

/** tanh x: near 0 the polynomial of the Cephes library, since 1 - 2 / (e²ˣ + 1) loses its digits there. */
// @ts-ignore: decorator
@inline
function tanhOf(x: v128): v128 {
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = number(tanhPolynomial);
  p = multiplyAdd(p, square, number(tanhPolynomial + 4));
  p = multiplyAdd(p, square, number(tanhPolynomial + 8));
  p = multiplyAdd(p, square, number(tanhPolynomial + 12));
  p = multiplyAdd(p, square, number(tanhPolynomial + 16));
  const near = multiplyAdd(f32x4.mul(p, square), x, x);
  const rest = f32x4.div(number(two), f32x4.add(boundedExponential(f32x4.add(size, size)), number(one)));
  const sign = v128.xor(x, size);
  const far = v128.or(f32x4.sub(number(one), rest), sign);
  return v128.bitselect(near, far, f32x4.lt(size, number(tanhNear)));
}

/** tanh(√(2/π) · (x + 0.044715 x³)) */
// @ts-ignore: decorator
@inline
function geluTanh(x: v128): v128 {
  const cubic = f32x4.mul(f32x4.mul(f32x4.mul(number(geluCubic), x), x), x);
  return tanhOf(f32x4.mul(number(geluScale), f32x4.add(x, cubic)));
}

// @ts-ignore: decorator
@inline
function geluOf(x: v128): v128 {
  return f32x4.mul(f32x4.mul(number(half), x), f32x4.add(number(one), geluTanh(x)));
}

// @ts-ignore: decorator
@inline
function geluGradientOf(g: v128, x: v128): v128 {
  const t = geluTanh(x);
  const slope = f32x4.add(number(one), f32x4.mul(number(geluSlope), f32x4.mul(x, x)));
  const inner = f32x4.mul(f32x4.mul(number(geluScale), slope), f32x4.sub(number(one), f32x4.mul(t, t)));
  const halfX = f32x4.mul(number(half), x);
  return f32x4.mul(g, f32x4.add(f32x4.mul(number(half), f32x4.add(number(one), t)), f32x4.mul(halfX, inner)));
}

// @ts-ignore: decorator
@inline
function siluGradientOf(g: v128, x: v128): v128 {
  const s = sigmoidOf(x);
  return f32x4.mul(f32x4.mul(g, s), f32x4.add(number(one), f32x4.mul(x, f32x4.sub(number(one), s))));
}

// @ts-ignore: decorator
@inline
function swigluOf(x: v128, y: v128): v128 {
  return f32x4.mul(f32x4.mul(y, x), sigmoidOf(x));
}

/** For x of swiglu; the operands are the gradient of its result, its x and its y. */
// @ts-ignore: decorator
@inline
function swigluGradientOf(g: v128, x: v128, y: v128): v128 {
  return siluGradientOf(f32x4.mul(g, y), x);
}

/** x, but 0 where y is at most 0; NaN is not. */
// @ts-ignore: decorator
@inline
function keepWhere(x: v128, y: v128): v128 {
  return v128.andnot(x, f32x4.le(y, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function oneWhere(mask: v128): v128 {
  return v128.and(mask, number(one));
}

// Formulas of one operand, from firstBinary on of two, from firstTernary on of three.
const NEG = 0;
const EXP = 1;
const SQRT = 2;
const TANH = 3;
const SIGMOID = 4;
const RELU = 5;
const GELU = 6;
const SILU = 7;
const ADD = 8;
const SUB = 9;
const MUL = 10;
const DIV = 11;
const TANH_GRADIENT = 12;
const SIGMOID_GRADIENT = 13;
const RELU_GRADIENT = 14;
const GELU_GRADIENT = 15;
const SILU_GRADIENT = 16;
const SWIGLU = 17;
const SWIGLU_GRADIENT_Y = 18;
const WHERE_GRADIENT_Y = 19;
const WHERE_GRADIENT_Z = 20;
const MAXIMUM = 21;
const MINIMUM = 22;
const EQUAL = 23;
const NOT_EQUAL = 24;
const LESS = 25;
const LESS_EQUAL = 26;
const GREATER = 27;
const GREATER_EQUAL = 28;
const DIV_GRADIENT = 29;
const SWIGLU_GRADIENT_X = 30;
const WHERE = 31;
const firstBinary = ADD;
const firstTernary = DIV_GRADIENT;

/** `formula` is a constant wherever this is called, so that one line of it is left. */
// @ts-ignore: decorator
@inline
function valueOf(formula: i32, x: v128, y: v128, z: v128): v128 {
  if (formula == NEG) return f32x4.neg(x);
  if (formula == EXP) return exponential(x);
  if (formula == SQRT) return f32x4.sqrt(x);
  if (formula == TANH) return tanhOf(x);
  if (formula == SIGMOID) return sigmoidOf(x);
  if (formula == RELU) return keepWhere(x, x);
  if (formula == GELU) return geluOf(x);
  if (formula == SILU) return swigluOf(x, number(one));
  if (formula == ADD) return f32x4.add(x, y);
  if (formula == SUB) return f32x4.sub(x, y);
  if (formula == MUL) return f32x4.mul(x, y);
  if (formula == DIV) return f32x4.div(x, y);
  if (formula == TANH_GRADIENT) return f32x4.mul(x, f32x4.sub(number(one), f32x4.mul(y, y)));
  if (formula == SIGMOID_GRADIENT) return f32x4.mul(f32x4.mul(x, y), f32x4.sub(number(one), y));
  if (formula == RELU_GRADIENT) return keepWhere(x, y);
  if (formula == GELU_GRADIENT) return geluGradientOf(x, y);
  if (formula == SILU_GRADIENT) return siluGradientOf(x, y);
  if (formula == SWIGLU) return swigluOf(x, y);
  if (formula == SWIGLU_GRADIENT_Y) return swigluOf(y, x);
  if (formula == WHERE_GRADIENT_Y) return v128.and(x, f32x4.ne(y, f32x4.splat(0)));
  if (formula == WHERE_GRADIENT_Z) return v128.andnot(x, f32x4.ne(y, f32x4.splat(0)));
  if (formula == MAXIMUM) return v128.bitselect(x, y, v128.or(f32x4.gt(x, y), f32x4.ne(x, x)));
  if (formula == MINIMUM) return v128.bitselect(x, y, v128.or(f32x4.lt(x, y), f32x4.ne(x, x)));
  if (formula == EQUAL) return oneWhere(f32x4.eq(x, y));
  if (formula == NOT_EQUAL) return oneWhere(f32x4.ne(x, y));
  if (formula == LESS) return oneWhere(f32x4.lt(x, y));
  if (formula == LESS_EQUAL) return oneWhere(f32x4.le(x, y));
  if (formula == GREATER) return oneWhere(f32x4.gt(x, y));
  if (formula == GREATER_EQUAL) return oneWhere(f32x4.ge(x, y));
  if (formula == DIV_GRADIENT) return f32x4.div(f32x4.mul(f32x4.neg(x), z), y);
  if (formula == SWIGLU_GRADIENT_X) return swigluGradientOf(x, y, z);
  return v128.bitselect(y, z, f32x4.ne(x, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function operand(from: usize, step: i32, at: usize): v128 {
  return step != 0 ? v128.load(from + at) : v128.load32_splat(from);
}

// @ts-ignore: decorator
@inline
function endOf(from: usize, step: i32, at: usize, left: i32): v128 {
  return step != 0 ? loadSome(from + at, left) : v128.load32_splat(from);
}

// @ts-ignore: decorator
@inline
function compute(
  formula: i32, x: usize, y: usize, z: usize, result: usize, count: i32, xStep: i32, yStep: i32, zStep: i32,
  partLength: i32, firstPart: i32, endPart: i32,
): void {
  const zero = f32x4.splat(0);
  const first = (<usize>firstPart * partLength) << 2;
  const bytes = min((<usize>endPart * partLength) << 2, (<usize>count) << 2);
  const whole = bytes & ~15;
  let at = first;
  // Pairs of vectors without a choice between them: the engine may join them.
  if (xStep != 0 && (yStep != 0 || formula < firstBinary) && (zStep != 0 || formula < firstTernary)) {
    for (const pairs = first + ((whole - first) & ~31); at < pairs; at += 32) {
      const a = v128.load(x + at);
      const nextA = v128.load(x + at, 16);
      const b = formula >= firstBinary ? v128.load(y + at) : zero;
      const nextB = formula >= firstBinary ? v128.load(y + at, 16) : zero;
      const c = formula >= firstTernary ? v128.load(z + at) : zero;
      const nextC = formula >= firstTernary ? v128.load(z + at, 16) : zero;
      const value = valueOf(formula, a, b, c);
      const next = valueOf(formula, nextA, nextB, nextC);
      v128.store(result + at, value);
      v128.store(result + at, next, 16);
    }
  }
  for (; at < whole; at += 16) {
    const a = operand(x, xStep, at);
    const b = formula >= firstBinary ? operand(y, yStep, at) : zero;
    const c = formula >= firstTernary ? operand(z, zStep, at) : zero;
    v128.store(result + at, valueOf(formula, a, b, c));
  }
  const left = <i32>((bytes - whole) >> 2);
  if (left == 0) return;
  const a = endOf(x, xStep, whole, left);
  const b = formula >= firstBinary ? endOf(y, yStep, whole, left) : zero;
  const c = formula >= firstTernary ? endOf(z, zStep, whole, left) : zero;
  storeSome(result + whole, valueOf(formula, a, b, c), left);
}

export function add(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(ADD, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function sub(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SUB, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function mul(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(MUL, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function div(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(DIV, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function divGradient(
  x: usize, y: usize, z: usize, result: usize, count: i32, xStep: i32, yStep: i32, zStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(DIV_GRADIENT, x, y, z, result, count, xStep, yStep, zStep, partLength, firstPart, endPart);
}

export function neg(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(NEG, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function exp(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(EXP, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function sqrt(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SQRT, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function tanh(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(TANH, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function tanhGradient(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(TANH_GRADIENT, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function sigmoid(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SIGMOID, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function sigmoidGradient(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SIGMOID_GRADIENT, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function relu(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(RELU, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function reluGradient(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(RELU_GRADIENT, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function gelu(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(GELU, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function geluGradient(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(GELU_GRADIENT, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function silu(
  x: usize, result: usize, count: i32, xStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SILU, x, 0, 0, result, count, xStep, 0, 0, partLength, firstPart, endPart);
}

export function siluGradient(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SILU_GRADIENT, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function swiglu(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SWIGLU, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function swigluGradientX(
  x: usize, y: usize, z: usize, result: usize, count: i32, xStep: i32, yStep: i32, zStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SWIGLU_GRADIENT_X, x, y, z, result, count, xStep, yStep, zStep, partLength, firstPart, endPart);
}

export function swigluGradientY(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(SWIGLU_GRADIENT_Y, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function where(
  x: usize, y: usize, z: usize, result: usize, count: i32, xStep: i32, yStep: i32, zStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(WHERE, x, y, z, result, count, xStep, yStep, zStep, partLength, firstPart, endPart);
}

export function whereGradientY(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(WHERE_GRADIENT_Y, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function whereGradientZ(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(WHERE_GRADIENT_Z, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function maximum(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(MAXIMUM, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function minimum(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(MINIMUM, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function equal(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(EQUAL, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function notEqual(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(NOT_EQUAL, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function less(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(LESS, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function lessEqual(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(LESS_EQUAL, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function greater(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(GREATER, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

export function greaterEqual(
  x: usize, y: usize, result: usize, count: i32, xStep: i32, yStep: i32, partLength: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(GREATER_EQUAL, x, y, 0, result, count, xStep, yStep, 0, partLength, firstPart, endPart);
}

/** total += contribution */
export function accumulate(
  contribution: usize, total: usize, count: i32, partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(ADD, contribution, total, 0, total, count, 1, 1, 0, partLength, firstPart, endPart);
}

/** total *= factor, a number that is read */
export function scaleBy(
  factor: usize, total: usize, count: i32, partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  compute(MUL, factor, total, 0, total, count, 0, 1, 0, partLength, firstPart, endPart);
}
