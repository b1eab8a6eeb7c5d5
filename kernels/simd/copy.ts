// Copies between views of any strides, and constants; see src/tensor/copy.ts. A number is 32 bits here, whatever it means.

/**
 * A part is `rowsOfPart` rows (axis 2) of one plane (an index of axis 0 and one of axis 1). Where the source is dense along axis 2
 * and the target along axis 3, it is a transpose, four by four numbers at a time.
 */
export function stridedCopy(
  source: usize, destination: usize, size1: i32, size2: i32, size3: i32,
  sourceStride0: i32, sourceStride1: i32, sourceStride2: i32, sourceStride3: i32,
  targetStride0: i32, targetStride1: i32, targetStride2: i32, targetStride3: i32,
  sourceOffset: i32, targetOffset: i32, rowsOfPart: i32, partsOfPlane: i32,
  scratch: usize, firstPart: i32, endPart: i32,
): void {
  for (let part = firstPart; part < endPart; part++) {
    const plane = part / partsOfPlane;
    const i = plane / size1;
    const j = plane - i * size1;
    const first = (part - plane * partsOfPlane) * rowsOfPart;
    const end = min(first + rowsOfPart, size2);
    const from = source + ((<usize>(sourceOffset + i * sourceStride0 + j * sourceStride1)) << 2);
    const to = destination + ((<usize>(targetOffset + i * targetStride0 + j * targetStride1)) << 2);
    if (sourceStride3 == 1 && targetStride3 == 1) {
      for (let k = first; k < end; k++) {
        copyRow(to + ((<usize>(k * targetStride2)) << 2), from + ((<usize>(k * sourceStride2)) << 2), size3);
      }
    } else if (sourceStride3 != 1 && sourceStride2 == 1 && targetStride3 == 1) {
      copyCrossed(to, from, first, end, size3, sourceStride3, targetStride2);
    } else {
      for (let k = first; k < end; k++) {
        let at = from + ((<usize>(k * sourceStride2)) << 2);
        let target = to + ((<usize>(k * targetStride2)) << 2);
        for (let l = 0; l < size3; l++) {
          store<i32>(target, load<i32>(at));
          at += (<usize>sourceStride3) << 2;
          target += (<usize>targetStride3) << 2;
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function copyRow(to: usize, from: usize, count: i32): void {
  const whole = (<usize>(count & ~3)) << 2;
  const bytes = (<usize>count) << 2;
  for (let at: usize = 0; at < whole; at += 16) v128.store(to + at, v128.load(from + at));
  for (let at = whole; at < bytes; at += 4) store<i32>(to + at, load<i32>(from + at));
}

/** Rows `first` to `end` of the transpose, four by four numbers at a time, a cache line of each row before the next. */
function copyCrossed(to: usize, from: usize, first: i32, end: i32, columns: i32, sourceStride: i32, targetStride: i32): void {
  const step = (<usize>sourceStride) << 2;
  const line = (<usize>targetStride) << 2;
  const wholeRows = first + ((end - first) & ~3);
  const wholeColumns = columns & ~3;
  for (let column = 0; column < wholeColumns; column += 16) {
    const endColumn = min(column + 16, wholeColumns);
    for (let k = first; k < wholeRows; k += 4) {
      for (let l = column; l < endColumn; l += 4) {
        const at = from + ((<usize>k) << 2) + <usize>l * step;
        const target = to + <usize>k * line + ((<usize>l) << 2);
        const a = v128.load(at);
        const b = v128.load(at + step);
        const c = v128.load(at + 2 * step);
        const d = v128.load(at + 3 * step);
        const lowAB = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
        const highAB = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
        const lowCD = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
        const highCD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
        v128.store(target, v128.shuffle<f32>(lowAB, lowCD, 0, 1, 4, 5));
        v128.store(target + line, v128.shuffle<f32>(lowAB, lowCD, 2, 3, 6, 7));
        v128.store(target + 2 * line, v128.shuffle<f32>(highAB, highCD, 0, 1, 4, 5));
        v128.store(target + 3 * line, v128.shuffle<f32>(highAB, highCD, 2, 3, 6, 7));
      }
    }
  }
  copyColumns(to, from, first, wholeRows, wholeColumns, columns, step, line);
  copyColumns(to, from, wholeRows, end, 0, columns, step, line);
}

// @ts-ignore: decorator
@inline
function copyColumns(
  to: usize, from: usize, firstRow: i32, endRow: i32, firstColumn: i32, endColumn: i32, step: usize, line: usize,
): void {
  for (let k = firstRow; k < endRow; k++) {
    for (let l = firstColumn; l < endColumn; l++) {
      store<i32>(to + <usize>k * line + ((<usize>l) << 2), load<i32>(from + ((<usize>k) << 2) + <usize>l * step));
    }
  }
}

/** Part p is the elements from p · partLength on. */
export function fill(
  result: usize, count: i32, value: f32, partLength: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const end = min(<i64>endPart * partLength, <i64>count);
  let i = <i64>firstPart * partLength;
  for (; i + 4 <= end; i += 4) v128.store(result + ((<usize>i) << 2), f32x4.splat(value));
  for (; i < end; i++) store<f32>(result + ((<usize>i) << 2), value);
}
