/** f32 and i32 live on both devices; f64 on `cpu` alone, where it makes gradient checks sharp. */
export type DType = 'f32' | 'f64' | 'i32';

export type NumericArray = Float32Array | Float64Array | Int32Array;

export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, f64: 8, i32: 4 };

export function isFloat(dtype: DType): boolean {
  return dtype !== 'i32';
}

/** A typed array of `dtype` over `length` elements of `buffer`, or over fresh zeros. */
export function typedArray(dtype: DType, length: number, buffer?: ArrayBufferLike, byteOffset = 0): NumericArray {
  const source = buffer ?? new ArrayBuffer(length * bytesPerElement[dtype]);
  if (dtype === 'f32') return new Float32Array(source, byteOffset, length);
  if (dtype === 'f64') return new Float64Array(source, byteOffset, length);
  return new Int32Array(source, byteOffset, length);
}
