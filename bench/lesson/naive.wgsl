// Matrix product, the first version:  c[row, column] = sum over k of a[row, k] * b[k, column]
//
// One thread computes one element of c and reads all it needs from global memory: 2 · k reads for k multiply-adds. Every value
// of a is read n times, every value of b m times.
//
// Dispatch: (ceil(n / 8), ceil(m / 8), batch). Scalars and bindings are those of kernels/matmul.wgsl.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;  // not used here
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let column = id.x;
  if (row >= scalars.m || column >= scalars.n) { return; }
  let baseA = scalars.aOffset + id.z * scalars.aBatch + row * scalars.aRow;
  let baseB = scalars.bOffset + id.z * scalars.bBatch + column * scalars.bColumn;
  var sum = 0.0;
  if (scalars.useBias != 0u) { sum = bias[column]; }
  for (var k = 0u; k < scalars.k; k++) {
    sum += a[baseA + k * scalars.aColumn] * b[baseB + k * scalars.bRow];
  }
  c[(id.z * scalars.m + row) * scalars.n + column] = sum;
}
