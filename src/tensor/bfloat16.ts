/**
 * bf16: the upper half of an f32. Widening is exact; rounding goes to the nearest, ties to even, and NaN stays NaN. All numbers of f32
 * keep their size, and are left with 8 significant bits.
 */

/** The same numbers in f32. */
export function widenBFloat16(values: Uint16Array): Float32Array {
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16;
  return new Float32Array(bits.buffer);
}

export function roundToBFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (each, i) => {
    if (Number.isNaN(values[i])) return (each >>> 16) | 0x40;
    return (each + 0x7fff + ((each >>> 16) & 1)) >>> 16;
  });
}

/** Whether rounding would leave all of them as they are. */
export function holdsBFloat16(values: ArrayLike<number>): boolean {
  const single = Float32Array.from(values);
  const bits = new Uint32Array(single.buffer);
  return bits.every((each, i) => (each & 0xffff) === 0 && (single[i] === values[i] || Number.isNaN(values[i])));
}
