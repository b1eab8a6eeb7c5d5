/**
 * How elements are stored. f32 and i32 live on both devices; f64 on `cpu` alone, where it makes gradient checks sharp; f16 on
 * `webgpu` alone, where the adapter has `shader-f16`.
 *
 * f16 is a way to store, not to compute: kernels widen what they read, compute and sum in f32, and round once when they
 * store. It has 11 significant bits and ends at 65,504; a larger value becomes infinite.
 */
export type DType = 'f16' | 'f32' | 'f64' | 'i32';

export const dtypes = ['f16', 'f32', 'f64', 'i32'] as const satisfies readonly DType[];

/** What plain arrays on the host can hold: f16 comes and goes as f32. */
export type HostDType = Exclude<DType, 'f16'>;

export type NumericArray = Float32Array | Float64Array | Int32Array;

export const bytesPerElement: Readonly<Record<DType, number>> = { f16: 2, f32: 4, f64: 8, i32: 4 };

export function isFloat(dtype: DType): boolean {
  return dtype !== 'i32';
}

/** The dtype in which elements of `dtype` are computed and summed, and that of their gradients: f32 for f16. */
export function computeDType(dtype: DType): HostDType {
  return dtype === 'f16' ? 'f32' : dtype;
}

/** A typed array of `dtype` over `length` elements of `buffer`, or over fresh zeros. */
export function typedArray(dtype: HostDType, length: number, buffer?: ArrayBufferLike, byteOffset = 0): NumericArray {
  const source = buffer ?? new ArrayBuffer(length * bytesPerElement[dtype]);
  if (dtype === 'f32') return new Float32Array(source, byteOffset, length);
  if (dtype === 'f64') return new Float64Array(source, byteOffset, length);
  return new Int32Array(source, byteOffset, length);
}
