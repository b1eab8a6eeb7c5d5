// The gradient of layer or RMS normalization for the gain, in parts:
//   partialSums[chunk, column] = sum over the rows of a chunk of outputGradient[row, column] * normal[row, column],
// where normal = (x - mean) * inverse; see normalization.wgsl. outputGradient and x are (rows, columns), partialSums is
// (ceil(rows / chunkRows), columns). The host sums the chunks.
//
// One thread per result. Neighbouring threads walk neighbouring columns, so that each step of their common loop is one
// coalesced load.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> outputGradient: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<Element1>;
@group(0) @binding(2) var<storage, read> statistics: array<f32>;
@group(0) @binding(3) var<storage, read_write> partialSums: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  let column = index % scalars.columns;
  let firstRow = index / scalars.columns * scalars.chunkRows;
  if (firstRow >= scalars.rows) {
    return;
  }
  let endRow = min(scalars.rows, firstRow + scalars.chunkRows);
  var sum = 0.0;
  for (var row = firstRow; row < endRow; row++) {
    var mean = 0.0;
    if (scalars.centered != 0u) {
      mean = statistics[scalars.rows + row];
    }
    let i = row * scalars.columns + column;
    sum += outputGradient[i] * (f32(x[i]) - mean) * statistics[row];
  }
  partialSums[index] = sum;
}
