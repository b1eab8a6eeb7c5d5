// The loops of the cpu device on 128-bit vectors, in AssemblyScript: TypeScript's syntax, compiled to WebAssembly by
// scripts/build-simd.ts. Each does what the reference loop beside its operation in src/ does, in f32. Parameters are
// called as the operands and scalars of the kernel are, and filled by these names: an operand comes as its address (usize) in the one
// memory that holds all tensors. Sizes and strides are in elements.

export * from './matmul';
export * from './normalization';
export * from './attention';
export * from './optimizer';
export * from './pointwise';
export * from './dropout';
export * from './bfloat16';
export * from './copy';
export * from './cross-entropy';
export * from './embedding';
export * from './reduction';
export * from './rotary';
export * from './softmax';
