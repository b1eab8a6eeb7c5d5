/**
 * How elements are stored. f32, i32 and bf16 live on both devices; f64 on `cpu` alone, where it makes gradient checks sharp; f16 on
 * `webgpu` alone, where the adapter has `shader-f16`.
 *
 * f16 and bf16 are ways to store, not to compute: kernels widen what they read, compute and sum in f32, and round once when they
 * store. f16, for values between layers, has 11 significant bits and ends at 65,504; a larger value becomes infinite. bf16, for
 * weights that are frozen, has 8 bits and the range of f32. Only products (as the right operand), embeddings and casts read it.
 */
export type DType = 'bf16' | 'f16' | 'f32' | 'f64' | 'i32';

export const dtypes = ['bf16', 'f16', 'f32', 'f64', 'i32'] as const satisfies readonly DType[];

/** What plain arrays on the host can hold: 16 bits come and go as f32. */
export type HostDType = Exclude<DType, 'bf16' | 'f16'>;

export type NumericArray = Float32Array | Float64Array | Int32Array;

export const bytesPerElement: Readonly<Record<DType, number>> = { bf16: 2, f16: 2, f32: 4, f64: 8, i32: 4 };

export function isFloat(dtype: DType): boolean {
  return dtype !== 'i32';
}

/** The dtype in which elements of `dtype` are computed and summed, and that of their gradients: f32 for 16 bits. */
export function computeDType(dtype: DType): HostDType {
  return dtype === 'f16' || dtype === 'bf16' ? 'f32' : dtype;
}

/** How a result is stored that follows an operand of `dtype`: values between layers are never bf16. */
export function resultDType(dtype: DType): DType {
  return dtype === 'bf16' ? 'f32' : dtype;
}

/** A typed array of `dtype` over `length` elements of `buffer`, or over fresh zeros. */
export function typedArray(dtype: HostDType, length: number, buffer?: ArrayBufferLike, byteOffset = 0): NumericArray {
  const source = buffer ?? new ArrayBuffer(length * bytesPerElement[dtype]);
  if (dtype === 'f32') return new Float32Array(source, byteOffset, length);
  if (dtype === 'f64') return new Float64Array(source, byteOffset, length);
  return new Int32Array(source, byteOffset, length);
}
