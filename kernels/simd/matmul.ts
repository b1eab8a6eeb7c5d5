// c[i, j] = relu( sum over l of a[i, l] · b[l, j] + bias[j] + before[i, j] ) for each matrix of the batch; everything but the sum is
// optional. `before` is what c holds (addToResult) or else a residual (useResidual).
//
// A part of the work is a block of c, `rowsOfPart` × `columnsOfPart`; those of the first rows of the first matrix come first. For up to
// `blockSteps` values of l at a time, panels of columns of b are packed side by side, once for the part, so that they are read in order
// whatever the strides of b were. Rows of a are read as they are where their numbers lie side by side, else they are packed too. Then
// tiles of four rows, in the form `wide` of six, and a panel's columns are summed in registers. Longer sums add up in c.

import { loadFour, loadOne } from './bfloat16';
import { isWide } from './multiply-add';
import { panelBytes, panelColumns, storeNothing, storeTransposed, tile, tileOfSix, tileRows } from './tile';

/** A panel fills half of a first-level cache, or all of it in the plain form, whose sums were always cut there. */
const blockSteps: i32 = ASC_FEATURE_RELAXED_SIMD ? 384 : 1024;
/** Rows of a that meet one panel after the other. They stay in the second-level cache. */
const blockRows: i32 = isWide ? 132 : ASC_FEATURE_RELAXED_SIMD ? 128 : 64;
/** So few rows are no reason to pack b. */
const fewRows: i32 = 8;

// In `scratch`: the sums of a tile at the edge, the bias of a panel, nothing to add, rows of a, panels of b.
const biasOffset: usize = 6 * 16 * 4;
const nothingOffset: usize = biasOffset + 16 * 4;
const rowsOffset: usize = nothingOffset + 16 * 4;
const panelsOffset: usize = rowsOffset + 64 * 1024 * 4;

// @ts-ignore: decorator
@inline
function at(base: usize, elements: i32): usize {
  return base + ((<usize>elements) << 2);
}

export function matmul(
  a: usize, b: usize, bias: usize, residual: usize, c: usize,
  m: i32, n: i32, k: i32,
  aOffset: i32, aBatch: i32, aRow: i32, aColumn: i32,
  bOffset: i32, bBatch: i32, bRow: i32, bColumn: i32,
  useBias: i32, addToResult: i32, useResidual: i32, rectify: i32,
  bBytes: i32, rowsOfPart: i32, columnsOfPart: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  const before: usize = addToResult != 0 ? c : useResidual != 0 ? residual : 0;
  const partsAcross = (n + columnsOfPart - 1) / columnsOfPart;
  const partsOfMatrix = partsAcross * ((m + rowsOfPart - 1) / rowsOfPart);
  // A product over nothing is its bias. Blocks are of equal length, so that none is short, but for the plain form.
  const blocks = max((k + blockSteps - 1) / blockSteps, 1);
  const stepsOfBlock = ASC_FEATURE_RELAXED_SIMD ? (k + blocks - 1) / blocks : blockSteps;
  storeNothing(scratch + nothingOffset);
  for (let part = firstPart; part < endPart; part++) {
    const batch = part / partsOfMatrix;
    const partOfMatrix = part - batch * partsOfMatrix;
    const down = partOfMatrix / partsAcross;
    const firstRow = down * rowsOfPart;
    const endRow = min(firstRow + rowsOfPart, m);
    const firstColumn = (partOfMatrix - down * partsAcross) * columnsOfPart;
    const endColumn = min(firstColumn + columnsOfPart, n);
    const aMatrix = at(a, aOffset + batch * aBatch);
    const bMatrix = b + <usize>(bOffset + batch * bBatch) * <usize>bBytes;
    const matrix = (<usize>(batch * m * n)) << 2;
    // What is stored in bf16 is widened on the way.
    const packsPanels = bBytes == 2 || bColumn != 1 || endRow - firstRow > fewRows;
    for (let block = 0; block < blocks; block++) {
      const first = block * stepsOfBlock;
      const steps = min(stepsOfBlock, k - first);
      const rectifies = rectify != 0 && block == blocks - 1;
      const from = block > 0 ? c : before;
      for (let row = firstRow; row < endRow; row += blockRows) {
        const rows = min(blockRows, endRow - row);
        let aRows = at(aMatrix, row * aRow + first * aColumn);
        if (aColumn != 1) {
          packRows(scratch + rowsOffset, aRows, rows, steps, aRow, aColumn);
          aRows = scratch + rowsOffset;
        }
        let panel = scratch + panelsOffset;
        for (let j = firstColumn; j < endColumn; j += panelColumns) {
          const columns = min(panelColumns, endColumn - j);
          const columnsOfB = bMatrix + <usize>(first * bRow + j * bColumn) * <usize>bBytes;
          const packs = packsPanels || columns < panelColumns;
          if (packs && row == firstRow) {
            if (bBytes == 2) packStoredPanel(panel, columnsOfB, steps, columns, bRow, bColumn);
            else packPanel(panel, columnsOfB, steps, columns, bRow, bColumn);
          }
          packBias(scratch + biasOffset, bias, j, columns, useBias != 0 && block == 0);
          const offset = matrix + ((<usize>(row * n + j)) << 2);
          multiplyPanel(
            aRows, packs ? panel : columnsOfB, from == 0 ? 0 : from + offset, c + offset,
            rows, columns, steps, aColumn == 1 ? aRow : 0, packs ? panelColumns : bRow, n, rectifies, scratch,
          );
          panel += <usize>steps * panelBytes;
        }
      }
    }
  }
}

function packBias(to: usize, bias: usize, j: i32, columns: i32, useBias: bool): void {
  for (let column = 0; column < panelColumns; column++) {
    store<f32>(at(to, column), useBias && column < columns ? load<f32>(at(bias, j + column)) : <f32>0);
  }
}

/** Columns of b side by side; columns beyond the last are zeros. */
function packPanel(panel: usize, b: usize, steps: i32, columns: i32, bRow: i32, bColumn: i32): void {
  const rowBytes = (<usize>bRow) << 2;
  const end = panel + <usize>steps * panelBytes;
  if (bColumn == 1 && columns == panelColumns) {
    for (let to = panel; to < end; to += panelBytes, b += rowBytes) {
      v128.store(to, v128.load(b));
      v128.store(to, v128.load(b, 16), 16);
      if (isWide) {
        v128.store(to, v128.load(b, 32), 32);
        v128.store(to, v128.load(b, 48), 48);
      }
    }
    return;
  }
  const columnBytes = (<usize>bColumn) << 2;
  let column = 0;
  if (bRow == 1) {
    const fours = panel + <usize>(steps & ~3) * panelBytes;
    for (; column + 4 <= columns; column += 4) {
      let to = at(panel, column);
      let from = at(b, column * bColumn);
      for (; to < fours; to += 4 * panelBytes, from += 16) {
        const x2 = from + 2 * columnBytes;
        storeTransposed(
          to, panelBytes,
          v128.load(from), v128.load(from + columnBytes), v128.load(x2), v128.load(x2 + columnBytes),
        );
      }
      for (; to < end; to += panelBytes, from += 4) {
        for (let each: usize = 0; each < 4; each++) store<f32>(to + 4 * each, load<f32>(from + each * columnBytes));
      }
    }
  }
  for (; column < panelColumns; column++) {
    let to = at(panel, column);
    let from = at(b, column * bColumn);
    if (column < columns) {
      for (; to < end; to += panelBytes, from += rowBytes) store<f32>(to, load<f32>(from));
    } else {
      for (; to < end; to += panelBytes) store<f32>(to, 0);
    }
  }
}

/** The same from bf16. */
function packStoredPanel(panel: usize, b: usize, steps: i32, columns: i32, bRow: i32, bColumn: i32): void {
  const rowBytes = (<usize>bRow) << 1;
  const columnBytes = (<usize>bColumn) << 1;
  const end = panel + <usize>steps * panelBytes;
  let column = 0;
  if (bColumn == 1 && columns == panelColumns) {
    for (let to = panel; to < end; to += panelBytes, b += rowBytes) {
      v128.store(to, loadFour(b));
      v128.store(to, loadFour(b + 8), 16);
      if (isWide) {
        v128.store(to, loadFour(b + 16), 32);
        v128.store(to, loadFour(b + 24), 48);
      }
    }
    return;
  }
  if (bRow == 1) {
    const fours = panel + <usize>(steps & ~3) * panelBytes;
    for (; column + 4 <= columns; column += 4) {
      let to = at(panel, column);
      let from = b + <usize>column * columnBytes;
      for (; to < fours; to += 4 * panelBytes, from += 8) {
        const x2 = from + 2 * columnBytes;
        storeTransposed(
          to, panelBytes, loadFour(from), loadFour(from + columnBytes), loadFour(x2), loadFour(x2 + columnBytes),
        );
      }
      for (; to < end; to += panelBytes, from += 2) {
        for (let each: usize = 0; each < 4; each++) store<f32>(to + 4 * each, loadOne(from + each * columnBytes));
      }
    }
  }
  for (; column < panelColumns; column++) {
    let to = at(panel, column);
    let from = b + <usize>column * columnBytes;
    if (column < columns) for (; to < end; to += panelBytes, from += rowBytes) store<f32>(to, loadOne(from));
    else for (; to < end; to += panelBytes) store<f32>(to, 0);
  }
}

/** How many rows the next tile has, of those that are left. Eight are two tiles of four: two rows would take as long as four. */
// @ts-ignore: decorator
@inline
function rowsOfTile(left: i32): i32 {
  return isWide && left >= 6 && left != 8 ? 6 : tileRows;
}

/** The rows of a tile side by side, and those of the next one behind them; rows beyond the last are zeros. */
function packRows(to: usize, a: usize, rows: i32, steps: i32, aRow: i32, aColumn: i32): void {
  const stepBytes = (<usize>aColumn) << 2;
  let row = 0;
  if (aRow == 1 && !isWide) {
    const tileBytes = (<usize>steps) << 4;
    // A line of the cache at a time.
    for (; row + 16 <= rows; row += 16, to += 4 * tileBytes) {
      let from = at(a, row);
      for (let l = to; l < to + tileBytes; l += 16, from += stepBytes) {
        v128.store(l, v128.load(from));
        v128.store(l + tileBytes, v128.load(from, 16));
        v128.store(l + 2 * tileBytes, v128.load(from, 32));
        v128.store(l + 3 * tileBytes, v128.load(from, 48));
      }
    }
  }
  while (row < rows) {
    const tall = rowsOfTile(rows - row);
    const tallBytes = (<usize>tall) << 2;
    const end = to + <usize>steps * tallBytes;
    if (aRow == 1 && rows - row >= tall) {
      let from = at(a, row);
      for (let l = to; l < end; l += tallBytes, from += stepBytes) {
        v128.store(l, v128.load(from));
        if (tall == 6) store<u64>(l, load<u64>(from, 16), 16);
      }
    } else {
      for (let each = 0; each < tall; each++) {
        let from = at(a, (row + each) * aRow);
        if (row + each < rows) {
          for (let l = at(to, each); l < end; l += tallBytes, from += stepBytes) store<f32>(l, load<f32>(from));
        } else {
          for (let l = at(to, each); l < end; l += tallBytes) store<f32>(l, 0);
        }
      }
    }
    row += tall;
    to = end;
  }
}

/** All tiles of a panel. `aRow` is 0 where the rows are packed. */
function multiplyPanel(
  a: usize, b: usize, before: usize, c: usize,
  rows: i32, columns: i32, steps: i32, aRow: i32, bRow: i32, n: i32, rectifies: bool, scratch: usize,
): void {
  const bias = scratch + biasOffset;
  const nothing = scratch + nothingOffset;
  const isPacked = aRow == 0;
  const rowBytes: usize = isPacked ? 4 : (<usize>aRow) << 2;
  const bBytes = (<usize>bRow) << 2;
  const cBytes = (<usize>n) << 2;
  const beforeBytes: usize = before == 0 ? 0 : cBytes;
  let i = 0;
  while (i < rows) {
    const left = rows - i;
    const tall = rowsOfTile(left);
    const stepBytes: usize = isPacked ? (<usize>tall) << 2 : 4;
    const isWhole = left >= tall && columns == panelColumns;
    const to = isWhole ? c : scratch;
    const toBytes = isWhole ? cBytes : panelBytes;
    const added = isWhole && before != 0 ? before : nothing;
    const addedBytes: usize = isWhole ? beforeBytes : 0;
    const rectifiesHere = isWhole && rectifies;
    if (tall == 6) {
      tileOfSix(
        a, rowBytes, stepBytes, b, bBytes, steps, bias, added, addedBytes, to, toBytes, rectifiesHere,
      );
    } else {
      // Rows beyond the last repeat it and are not written.
      const second: usize = left > 1 || isPacked ? rowBytes : 0;
      const third: usize = left > 2 || isPacked ? rowBytes : 0;
      const fourth: usize = left > 3 || isPacked ? rowBytes : 0;
      tile(
        a, second, third, fourth, stepBytes, b, bBytes, steps, bias, 0, added, addedBytes, to, toBytes, rectifiesHere,
      );
    }
    if (!isWhole) writeEdge(scratch, before, c, min(left, tall), columns, cBytes, rectifies);
    a += isPacked ? <usize>steps * stepBytes : <usize>tall * rowBytes;
    c += <usize>tall * cBytes;
    before += <usize>tall * beforeBytes;
    i += tall;
  }
}

function writeEdge(tile: usize, before: usize, c: usize, rows: i32, columns: i32, cBytes: usize, rectifies: bool): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const offset = at(<usize>row * cBytes, column);
      let sum = load<f32>(at(tile, row * panelColumns + column));
      if (before != 0) sum += load<f32>(before + offset);
      store<f32>(c + offset, rectifies && sum <= 0 ? 0 : sum);
    }
  }
}
