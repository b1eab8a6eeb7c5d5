// Numbers stored in bf16, the upper half of an f32; see src/tensor/bfloat16.ts. And copies from and into them; see src/tensor/copy.ts.

/** Four of them in f32. */
// @ts-ignore: decorator
@inline
export function loadFour(from: usize): v128 {
  return i32x4.shl(v128.load_ext<u16>(from), 16);
}

// @ts-ignore: decorator
@inline
export function loadOne(from: usize): f32 {
  return reinterpret<f32>((<i32>load<u16>(from)) << 16);
}

/** So many that lie side by side. */
// @ts-ignore: decorator
@inline
export function widenRow(to: usize, from: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4, to += 16, from += 8) v128.store(to, loadFour(from));
  for (; i < count; i++, to += 4, from += 2) store<f32>(to, loadOne(from));
}

/** From bf16 to f32. The parts are those of `stridedCopy`. */
export function wideningCopy(
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
    for (let k = first; k < end; k++) {
      let from = source + ((<usize>(sourceOffset + i * sourceStride0 + j * sourceStride1 + k * sourceStride2)) << 1);
      let to = destination + ((<usize>(targetOffset + i * targetStride0 + j * targetStride1 + k * targetStride2)) << 2);
      if (sourceStride3 == 1 && targetStride3 == 1) {
        widenRow(to, from, size3);
        continue;
      }
      for (let l = 0; l < size3; l++) {
        store<f32>(to, loadOne(from));
        from += (<usize>sourceStride3) << 1;
        to += (<usize>targetStride3) << 2;
      }
    }
  }
}

/** From f32, or as it is from bf16, into a dense tensor of bf16. */
export function roundingCopy(
  source: usize, result: usize, size1: i32, size2: i32, size3: i32,
  sourceStride0: i32, sourceStride1: i32, sourceStride2: i32, sourceStride3: i32, sourceOffset: i32, sourceBytes: i32,
  rowsOfPart: i32, partsOfPlane: i32, scratch: usize, firstPart: i32, endPart: i32,
): void {
  const bytes = <usize>sourceBytes;
  const step = <usize>sourceStride3 * bytes;
  for (let part = firstPart; part < endPart; part++) {
    const plane = part / partsOfPlane;
    const i = plane / size1;
    const j = plane - i * size1;
    const first = (part - plane * partsOfPlane) * rowsOfPart;
    const end = min(first + rowsOfPart, size2);
    for (let k = first; k < end; k++) {
      let from = source + <usize>(sourceOffset + i * sourceStride0 + j * sourceStride1 + k * sourceStride2) * bytes;
      let to = result + ((<usize>((plane * size2 + k) * size3)) << 1);
      const endOfRow = to + ((<usize>size3) << 1);
      if (sourceBytes == 2) for (; to < endOfRow; to += 2, from += step) store<u16>(to, load<u16>(from));
      else for (; to < endOfRow; to += 2, from += step) store<u16>(to, rounded(load<u32>(from)));
    }
  }
}

// @ts-ignore: decorator
@inline
function rounded(bits: u32): u16 {
  if ((bits & 0x7fffffff) > 0x7f800000) return <u16>((bits | 0x400000) >> 16);
  return <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
