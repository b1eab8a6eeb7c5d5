// c[i, j] = relu( sum over l of a[i, l] · b[l, j] + bias[j] + before[i, j] ) for each matrix of the batch; everything but the sum is
// optional. `before` is what c holds (addToResult) or else a residual (useResidual).
//
// Eight columns of b are packed side by side for up to 1,024 steps of l, so that they are read in order whatever the
// strides of b were; four rows of a meet them in eight vectors of sums that stay in registers. a is read one number at a
// time, spread over a vector, so its strides do not matter. Products longer than 1,024 add up in c.
//
// Part number p of the work is a strip of 16 columns (a cache line) of one matrix: strips of the first matrix come first.

const panelColumns: i32 = 8;
const panelSteps: i32 = 1024;
const tileRows: i32 = 4;
const stripColumns: i32 = 16;

// In `scratch`: one panel of b, then the sums of one tile at the edge, then the bias of eight columns.
const edgeOffset: usize = 1024 * 8 * 4;
const biasOffset: usize = edgeOffset + 4 * 8 * 4;

export function matmul(
  a: usize, b: usize, bias: usize, residual: usize, c: usize,
  m: i32, n: i32, k: i32,
  aOffset: i32, aBatch: i32, aRow: i32, aColumn: i32,
  bOffset: i32, bBatch: i32, bRow: i32, bColumn: i32,
  useBias: i32, addToResult: i32, useResidual: i32, rectify: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const before: usize = addToResult != 0 ? c : useResidual != 0 ? residual : 0;
  const strips = (n + stripColumns - 1) / stripColumns;
  for (let part = firstPart; part < endPart; part++) {
    const batch = part / strips;
    const firstColumn = (part - batch * strips) * stripColumns;
    const endColumn = min(firstColumn + stripColumns, n);
    const aMatrix = a + ((<usize>(aOffset + batch * aBatch)) << 2);
    const bMatrix = b + ((<usize>(bOffset + batch * bBatch)) << 2);
    for (let j = firstColumn; j < endColumn; j += panelColumns) {
      const columns = min(panelColumns, n - j);
      // A product over nothing is its bias.
      for (let first = 0; first < max(k, 1); first += panelSteps) {
        const steps = min(panelSteps, k - first);
        const rectifies = rectify != 0 && first + panelSteps >= k;
        packBias(scratch + biasOffset, bias, j, columns, useBias != 0 && first == 0);
        pack(scratch, bMatrix + ((<usize>(first * bRow + j * bColumn)) << 2), steps, columns, bRow, bColumn);
        const aFirst = aMatrix + ((<usize>(first * aColumn)) << 2);
        for (let i = 0; i < m; i += tileRows) {
          const rows = min(tileRows, m - i);
          const offset = (<usize>(batch * m * n + i * n + j)) << 2;
          let from: usize = 0;
          if (first > 0) from = c + offset;
          else if (before != 0) from = before + offset;
          const aTile = aFirst + ((<usize>(i * aRow)) << 2);
          tile(scratch, aTile, from, c + offset, steps, rows, columns, aRow, aColumn, n, rectifies);
        }
      }
    }
  }
}

function packBias(to: usize, bias: usize, j: i32, columns: i32, useBias: bool): void {
  for (let column = 0; column < panelColumns; column++) {
    const value = useBias && column < columns ? load<f32>(bias + ((<usize>(j + column)) << 2)) : <f32>0;
    store<f32>(to + ((<usize>column) << 2), value);
  }
}

/** Columns beyond the last are zeros. */
function pack(panel: usize, b: usize, steps: i32, columns: i32, bRow: i32, bColumn: i32): void {
  const rowBytes = (<usize>bRow) << 2;
  const columnBytes = (<usize>bColumn) << 2;
  let to = panel;
  if (bColumn == 1 && columns == panelColumns) {
    for (let l = 0; l < steps; l++, b += rowBytes, to += 32) {
      v128.store(to, v128.load(b));
      v128.store(to, v128.load(b, 16), 16);
    }
    return;
  }
  for (let column = 0; column < panelColumns; column++) {
    let target = to + ((<usize>column) << 2);
    let source = b + <usize>column * columnBytes;
    if (column < columns) {
      for (let l = 0; l < steps; l++, source += rowBytes, target += 32) store<f32>(target, load<f32>(source));
    } else {
      for (let l = 0; l < steps; l++, target += 32) store<f32>(target, 0);
    }
  }
}

/** Four rows and eight columns of sums, added to what stands at `from`; rows beyond the last repeat it and are not written. */
function tile(
  panel: usize, a: usize, from: usize, c: usize, steps: i32, rows: i32, columns: i32, aRow: i32, aColumn: i32, n: i32,
  rectifies: bool,
): void {
  const rowBytes = (<usize>aRow) << 2;
  const stepBytes = (<usize>aColumn) << 2;
  let a0 = a;
  let a1 = a0 + (rows > 1 ? rowBytes : 0);
  let a2 = a1 + (rows > 2 ? rowBytes : 0);
  let a3 = a2 + (rows > 3 ? rowBytes : 0);
  const edge = panel + edgeOffset;
  const bias0 = v128.load(panel + biasOffset);
  const bias1 = v128.load(panel + biasOffset, 16);
  let s00 = bias0;
  let s01 = bias1;
  let s10 = bias0;
  let s11 = bias1;
  let s20 = bias0;
  let s21 = bias1;
  let s30 = bias0;
  let s31 = bias1;
  let b = panel;
  const end = panel + ((<usize>steps) << 5);
  const pairs = panel + ((<usize>(steps & ~1)) << 5);
  while (b < pairs) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    s00 = f32x4.add(s00, f32x4.mul(x, b0));
    s01 = f32x4.add(s01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    s10 = f32x4.add(s10, f32x4.mul(x, b0));
    s11 = f32x4.add(s11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2);
    s20 = f32x4.add(s20, f32x4.mul(x, b0));
    s21 = f32x4.add(s21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3);
    s30 = f32x4.add(s30, f32x4.mul(x, b0));
    s31 = f32x4.add(s31, f32x4.mul(x, b1));
    a0 += stepBytes;
    a1 += stepBytes;
    a2 += stepBytes;
    a3 += stepBytes;
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a0);
    s00 = f32x4.add(s00, f32x4.mul(x, b0));
    s01 = f32x4.add(s01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    s10 = f32x4.add(s10, f32x4.mul(x, b0));
    s11 = f32x4.add(s11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2);
    s20 = f32x4.add(s20, f32x4.mul(x, b0));
    s21 = f32x4.add(s21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3);
    s30 = f32x4.add(s30, f32x4.mul(x, b0));
    s31 = f32x4.add(s31, f32x4.mul(x, b1));
    a0 += stepBytes;
    a1 += stepBytes;
    a2 += stepBytes;
    a3 += stepBytes;
    b += 64;
  }
  if (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    s00 = f32x4.add(s00, f32x4.mul(v128.load32_splat(a0), b0));
    s01 = f32x4.add(s01, f32x4.mul(v128.load32_splat(a0), b1));
    s10 = f32x4.add(s10, f32x4.mul(v128.load32_splat(a1), b0));
    s11 = f32x4.add(s11, f32x4.mul(v128.load32_splat(a1), b1));
    s20 = f32x4.add(s20, f32x4.mul(v128.load32_splat(a2), b0));
    s21 = f32x4.add(s21, f32x4.mul(v128.load32_splat(a2), b1));
    s30 = f32x4.add(s30, f32x4.mul(v128.load32_splat(a3), b0));
    s31 = f32x4.add(s31, f32x4.mul(v128.load32_splat(a3), b1));
  }
  const width = (<usize>n) << 2;
  if (columns == panelColumns) {
    const next: usize = from == 0 ? 0 : width;
    writeWhole(c, from, s00, s01, rectifies);
    if (rows > 1) writeWhole(c + width, from + next, s10, s11, rectifies);
    if (rows > 2) writeWhole(c + 2 * width, from + 2 * next, s20, s21, rectifies);
    if (rows > 3) writeWhole(c + 3 * width, from + 3 * next, s30, s31, rectifies);
    return;
  }
  v128.store(edge, s00);
  v128.store(edge, s01, 16);
  v128.store(edge, s10, 32);
  v128.store(edge, s11, 48);
  v128.store(edge, s20, 64);
  v128.store(edge, s21, 80);
  v128.store(edge, s30, 96);
  v128.store(edge, s31, 112);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const offset = <usize>row * width + ((<usize>column) << 2);
      let sum = load<f32>(edge + ((<usize>(row * panelColumns + column)) << 2));
      if (from != 0) sum += load<f32>(from + offset);
      store<f32>(c + offset, rectifies && sum <= 0 ? 0 : sum);
    }
  }
}

// @ts-ignore: decorator
@inline
function writeWhole(to: usize, from: usize, first: v128, second: v128, rectifies: bool): void {
  if (from != 0) {
    first = f32x4.add(v128.load(from), first);
    second = f32x4.add(v128.load(from, 16), second);
  }
  if (rectifies) {
    // max, and not pmax: NaN stays.
    first = f32x4.max(f32x4.splat(0), first);
    second = f32x4.max(f32x4.splat(0), second);
  }
  v128.store(to, first);
  v128.store(to, second, 16);
}
