// Four or six rows of sums in registers, the heart of products and of attention: c[r, j] = before[r, j] + (initial[r, j] + sum over l of
// a[r, l] · b[l, j]), in this order, for as many columns j as there are registers for. A panel is that many columns side by side.

import { isWide, multiplyAdd } from './multiply-add';

export const panelColumns: i32 = isWide ? 16 : 8;
export const panelBytes: usize = panelColumns * 4;
export const tileRows: i32 = 4;

/** To add to what must stay as it is, also where it is -0. */
// @ts-ignore: decorator
@inline
export function storeNothing(to: usize): void {
  for (let offset: usize = 0; offset < panelBytes; offset += 16) v128.store(to + offset, f32x4.splat(-0.0));
}

/** Four numbers of four vectors change places: row r of the result holds number r of each. */
// @ts-ignore: decorator
@inline
export function storeTransposed(to: usize, distance: usize, x0: v128, x1: v128, x2: v128, x3: v128): void {
  const low01 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
  const low23 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
  const high23 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(to + distance, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(to + 2 * distance, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(to + 3 * distance, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}

/** x > 0 ? x : 0, but NaN where x is. */
// @ts-ignore: decorator
@inline
function rectified(x: v128): v128 {
  // NaN stays: it is not at most 0.
  return v128.andnot(x, f32x4.le(x, f32x4.splat(0)));
}

/**
 * One number of each row of a, spread over a vector, meets a row of b: rows of a are `second`, `third` and `fourth` bytes apart, and
 * their numbers `aStep`. The loop is short on purpose: unrolled, it was slower in every engine. For the engine to join pairs of vectors
 * the two must be loaded one right after the other, on one way through the function (so `before` is not optional), and stored last. That is
 * why the sums of every row are written out: with the end of a row in a function of its own, no pair was joined.
 */
// @ts-ignore: decorator
@inline
export function tile(
  a0: usize, second: usize, third: usize, fourth: usize, aStep: usize, b: usize, bStep: usize, steps: i32,
  initial: usize, initialBytes: usize, before: usize, beforeBytes: usize,
  c: usize, cBytes: usize, rectifies: bool,
): void {
  if (isWide) {
    tile16(
      a0, second, third, fourth, aStep, b, bStep, steps, initial, initialBytes, before, beforeBytes, c, cBytes, rectifies,
    );
  } else {
    tile8(
      a0, second, third, fourth, aStep, b, bStep, steps, initial, initialBytes, before, beforeBytes, c, cBytes, rectifies,
    );
  }
}

function tile8(
  a0: usize, second: usize, third: usize, fourth: usize, aStep: usize, b: usize, bStep: usize, steps: i32,
  initial: usize, initialBytes: usize, before: usize, beforeBytes: usize,
  c: usize, cBytes: usize, rectifies: bool,
): void {
  let a1 = a0 + second;
  let a2 = a1 + third;
  let a3 = a2 + fourth;
  let s00 = v128.load(initial);
  let s01 = v128.load(initial, 16);
  initial += initialBytes;
  let s10 = v128.load(initial);
  let s11 = v128.load(initial, 16);
  initial += initialBytes;
  let s20 = v128.load(initial);
  let s21 = v128.load(initial, 16);
  initial += initialBytes;
  let s30 = v128.load(initial);
  let s31 = v128.load(initial, 16);
  for (let l = 0; l < steps; l++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    s00 = multiplyAdd(x, b0, s00);
    s01 = multiplyAdd(x, b1, s01);
    x = v128.load32_splat(a1);
    s10 = multiplyAdd(x, b0, s10);
    s11 = multiplyAdd(x, b1, s11);
    x = v128.load32_splat(a2);
    s20 = multiplyAdd(x, b0, s20);
    s21 = multiplyAdd(x, b1, s21);
    x = v128.load32_splat(a3);
    s30 = multiplyAdd(x, b0, s30);
    s31 = multiplyAdd(x, b1, s31);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    b += bStep;
  }
  s00 = f32x4.add(v128.load(before), s00);
  s01 = f32x4.add(v128.load(before, 16), s01);
  before += beforeBytes;
  s10 = f32x4.add(v128.load(before), s10);
  s11 = f32x4.add(v128.load(before, 16), s11);
  before += beforeBytes;
  s20 = f32x4.add(v128.load(before), s20);
  s21 = f32x4.add(v128.load(before, 16), s21);
  before += beforeBytes;
  s30 = f32x4.add(v128.load(before), s30);
  s31 = f32x4.add(v128.load(before, 16), s31);
  if (rectifies) {
    s00 = rectified(s00);
    s01 = rectified(s01);
    s10 = rectified(s10);
    s11 = rectified(s11);
    s20 = rectified(s20);
    s21 = rectified(s21);
    s30 = rectified(s30);
    s31 = rectified(s31);
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  c += cBytes;
  v128.store(c, s10);
  v128.store(c, s11, 16);
  c += cBytes;
  v128.store(c, s20);
  v128.store(c, s21, 16);
  c += cBytes;
  v128.store(c, s30);
  v128.store(c, s31, 16);
}

/** The same for a panel of sixteen columns. */
function tile16(
  a0: usize, second: usize, third: usize, fourth: usize, aStep: usize, b: usize, bStep: usize, steps: i32,
  initial: usize, initialBytes: usize, before: usize, beforeBytes: usize,
  c: usize, cBytes: usize, rectifies: bool,
): void {
  let a1 = a0 + second;
  let a2 = a1 + third;
  let a3 = a2 + fourth;
  let s00 = v128.load(initial);
  let s01 = v128.load(initial, 16);
  let s02 = v128.load(initial, 32);
  let s03 = v128.load(initial, 48);
  initial += initialBytes;
  let s10 = v128.load(initial);
  let s11 = v128.load(initial, 16);
  let s12 = v128.load(initial, 32);
  let s13 = v128.load(initial, 48);
  initial += initialBytes;
  let s20 = v128.load(initial);
  let s21 = v128.load(initial, 16);
  let s22 = v128.load(initial, 32);
  let s23 = v128.load(initial, 48);
  initial += initialBytes;
  let s30 = v128.load(initial);
  let s31 = v128.load(initial, 16);
  let s32 = v128.load(initial, 32);
  let s33 = v128.load(initial, 48);
  for (let l = 0; l < steps; l++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    let x = v128.load32_splat(a0);
    s00 = multiplyAdd(x, b0, s00);
    s01 = multiplyAdd(x, b1, s01);
    s02 = multiplyAdd(x, b2, s02);
    s03 = multiplyAdd(x, b3, s03);
    x = v128.load32_splat(a1);
    s10 = multiplyAdd(x, b0, s10);
    s11 = multiplyAdd(x, b1, s11);
    s12 = multiplyAdd(x, b2, s12);
    s13 = multiplyAdd(x, b3, s13);
    x = v128.load32_splat(a2);
    s20 = multiplyAdd(x, b0, s20);
    s21 = multiplyAdd(x, b1, s21);
    s22 = multiplyAdd(x, b2, s22);
    s23 = multiplyAdd(x, b3, s23);
    x = v128.load32_splat(a3);
    s30 = multiplyAdd(x, b0, s30);
    s31 = multiplyAdd(x, b1, s31);
    s32 = multiplyAdd(x, b2, s32);
    s33 = multiplyAdd(x, b3, s33);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    b += bStep;
  }
  s00 = f32x4.add(v128.load(before), s00);
  s01 = f32x4.add(v128.load(before, 16), s01);
  s02 = f32x4.add(v128.load(before, 32), s02);
  s03 = f32x4.add(v128.load(before, 48), s03);
  before += beforeBytes;
  s10 = f32x4.add(v128.load(before), s10);
  s11 = f32x4.add(v128.load(before, 16), s11);
  s12 = f32x4.add(v128.load(before, 32), s12);
  s13 = f32x4.add(v128.load(before, 48), s13);
  before += beforeBytes;
  s20 = f32x4.add(v128.load(before), s20);
  s21 = f32x4.add(v128.load(before, 16), s21);
  s22 = f32x4.add(v128.load(before, 32), s22);
  s23 = f32x4.add(v128.load(before, 48), s23);
  before += beforeBytes;
  s30 = f32x4.add(v128.load(before), s30);
  s31 = f32x4.add(v128.load(before, 16), s31);
  s32 = f32x4.add(v128.load(before, 32), s32);
  s33 = f32x4.add(v128.load(before, 48), s33);
  if (rectifies) {
    s00 = rectified(s00);
    s01 = rectified(s01);
    s02 = rectified(s02);
    s03 = rectified(s03);
    s10 = rectified(s10);
    s11 = rectified(s11);
    s12 = rectified(s12);
    s13 = rectified(s13);
    s20 = rectified(s20);
    s21 = rectified(s21);
    s22 = rectified(s22);
    s23 = rectified(s23);
    s30 = rectified(s30);
    s31 = rectified(s31);
    s32 = rectified(s32);
    s33 = rectified(s33);
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c, s02, 32);
  v128.store(c, s03, 48);
  c += cBytes;
  v128.store(c, s10);
  v128.store(c, s11, 16);
  v128.store(c, s12, 32);
  v128.store(c, s13, 48);
  c += cBytes;
  v128.store(c, s20);
  v128.store(c, s21, 16);
  v128.store(c, s22, 32);
  v128.store(c, s23, 48);
  c += cBytes;
  v128.store(c, s30);
  v128.store(c, s31, 16);
  v128.store(c, s32, 32);
  v128.store(c, s33, 48);
}

/**
 * Six rows and a panel of sixteen columns: a core that has two units with a latency of four multiplies and adds needs eight sums of 256
 * bits at the least, and these are twelve. The rows are `rowBytes` apart.
 */
export function tileOfSix(
  a0: usize, rowBytes: usize, aStep: usize, b: usize, bStep: usize, steps: i32,
  initial: usize, before: usize, beforeBytes: usize, c: usize, cBytes: usize, rectifies: bool,
): void {
  let a1 = a0 + rowBytes;
  let a2 = a1 + rowBytes;
  let a3 = a2 + rowBytes;
  let a4 = a3 + rowBytes;
  let a5 = a4 + rowBytes;
  let s00 = v128.load(initial);
  let s01 = v128.load(initial, 16);
  let s02 = v128.load(initial, 32);
  let s03 = v128.load(initial, 48);
  let s10 = v128.load(initial);
  let s11 = v128.load(initial, 16);
  let s12 = v128.load(initial, 32);
  let s13 = v128.load(initial, 48);
  let s20 = v128.load(initial);
  let s21 = v128.load(initial, 16);
  let s22 = v128.load(initial, 32);
  let s23 = v128.load(initial, 48);
  let s30 = v128.load(initial);
  let s31 = v128.load(initial, 16);
  let s32 = v128.load(initial, 32);
  let s33 = v128.load(initial, 48);
  let s40 = v128.load(initial);
  let s41 = v128.load(initial, 16);
  let s42 = v128.load(initial, 32);
  let s43 = v128.load(initial, 48);
  let s50 = v128.load(initial);
  let s51 = v128.load(initial, 16);
  let s52 = v128.load(initial, 32);
  let s53 = v128.load(initial, 48);
  for (let l = 0; l < steps; l++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    let x = v128.load32_splat(a0);
    s00 = multiplyAdd(x, b0, s00);
    s01 = multiplyAdd(x, b1, s01);
    s02 = multiplyAdd(x, b2, s02);
    s03 = multiplyAdd(x, b3, s03);
    x = v128.load32_splat(a1);
    s10 = multiplyAdd(x, b0, s10);
    s11 = multiplyAdd(x, b1, s11);
    s12 = multiplyAdd(x, b2, s12);
    s13 = multiplyAdd(x, b3, s13);
    x = v128.load32_splat(a2);
    s20 = multiplyAdd(x, b0, s20);
    s21 = multiplyAdd(x, b1, s21);
    s22 = multiplyAdd(x, b2, s22);
    s23 = multiplyAdd(x, b3, s23);
    x = v128.load32_splat(a3);
    s30 = multiplyAdd(x, b0, s30);
    s31 = multiplyAdd(x, b1, s31);
    s32 = multiplyAdd(x, b2, s32);
    s33 = multiplyAdd(x, b3, s33);
    x = v128.load32_splat(a4);
    s40 = multiplyAdd(x, b0, s40);
    s41 = multiplyAdd(x, b1, s41);
    s42 = multiplyAdd(x, b2, s42);
    s43 = multiplyAdd(x, b3, s43);
    x = v128.load32_splat(a5);
    s50 = multiplyAdd(x, b0, s50);
    s51 = multiplyAdd(x, b1, s51);
    s52 = multiplyAdd(x, b2, s52);
    s53 = multiplyAdd(x, b3, s53);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    a4 += aStep;
    a5 += aStep;
    b += bStep;
  }
  s00 = f32x4.add(v128.load(before), s00);
  s01 = f32x4.add(v128.load(before, 16), s01);
  s02 = f32x4.add(v128.load(before, 32), s02);
  s03 = f32x4.add(v128.load(before, 48), s03);
  before += beforeBytes;
  s10 = f32x4.add(v128.load(before), s10);
  s11 = f32x4.add(v128.load(before, 16), s11);
  s12 = f32x4.add(v128.load(before, 32), s12);
  s13 = f32x4.add(v128.load(before, 48), s13);
  before += beforeBytes;
  s20 = f32x4.add(v128.load(before), s20);
  s21 = f32x4.add(v128.load(before, 16), s21);
  s22 = f32x4.add(v128.load(before, 32), s22);
  s23 = f32x4.add(v128.load(before, 48), s23);
  before += beforeBytes;
  s30 = f32x4.add(v128.load(before), s30);
  s31 = f32x4.add(v128.load(before, 16), s31);
  s32 = f32x4.add(v128.load(before, 32), s32);
  s33 = f32x4.add(v128.load(before, 48), s33);
  before += beforeBytes;
  s40 = f32x4.add(v128.load(before), s40);
  s41 = f32x4.add(v128.load(before, 16), s41);
  s42 = f32x4.add(v128.load(before, 32), s42);
  s43 = f32x4.add(v128.load(before, 48), s43);
  before += beforeBytes;
  s50 = f32x4.add(v128.load(before), s50);
  s51 = f32x4.add(v128.load(before, 16), s51);
  s52 = f32x4.add(v128.load(before, 32), s52);
  s53 = f32x4.add(v128.load(before, 48), s53);
  if (rectifies) {
    s00 = rectified(s00);
    s01 = rectified(s01);
    s02 = rectified(s02);
    s03 = rectified(s03);
    s10 = rectified(s10);
    s11 = rectified(s11);
    s12 = rectified(s12);
    s13 = rectified(s13);
    s20 = rectified(s20);
    s21 = rectified(s21);
    s22 = rectified(s22);
    s23 = rectified(s23);
    s30 = rectified(s30);
    s31 = rectified(s31);
    s32 = rectified(s32);
    s33 = rectified(s33);
    s40 = rectified(s40);
    s41 = rectified(s41);
    s42 = rectified(s42);
    s43 = rectified(s43);
    s50 = rectified(s50);
    s51 = rectified(s51);
    s52 = rectified(s52);
    s53 = rectified(s53);
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c, s02, 32);
  v128.store(c, s03, 48);
  c += cBytes;
  v128.store(c, s10);
  v128.store(c, s11, 16);
  v128.store(c, s12, 32);
  v128.store(c, s13, 48);
  c += cBytes;
  v128.store(c, s20);
  v128.store(c, s21, 16);
  v128.store(c, s22, 32);
  v128.store(c, s23, 48);
  c += cBytes;
  v128.store(c, s30);
  v128.store(c, s31, 16);
  v128.store(c, s32, 32);
  v128.store(c, s33, 48);
  c += cBytes;
  v128.store(c, s40);
  v128.store(c, s41, 16);
  v128.store(c, s42, 32);
  v128.store(c, s43, 48);
  c += cBytes;
  v128.store(c, s50);
  v128.store(c, s51, 16);
  v128.store(c, s52, 32);
  v128.store(c, s53, 48);
}
