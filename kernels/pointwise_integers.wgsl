// result[i] = operation(x[i * xStep], y[i * yStep], z[i * zStep]) for every i < count, on integers.
//
// A template like pointwise_dense.wgsl: the host appends `fn operation(…)`, the integer form of a row of the table in
// src/autograd/operations/pointwise/pointwise.ts. What overflows wraps. One thread computes ELEMENTS elements, a workgroup apart.

@group(0) @binding(0) var<storage, read> x: array<i32>;
@group(0) @binding(1) var<storage, read> y: array<i32>;
@group(0) @binding(2) var<storage, read> z: array<i32>;
@group(0) @binding(3) var<storage, read_write> result: array<i32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let start = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    result[i] = operation(x[i * scalars.xStep], y[i * scalars.yStep], z[i * scalars.zStep]);
  }
}
