// result[i, j, k, l] = operation(x[…], y[…]) over four axes, each operand with strides of its own.
//
// A template like pointwise_dense.wgsl, for operands that broadcast or are views: a stretched axis has stride 0. The
// host merges axes first, so four are enough for nearly everything. One thread per element of the dense result.

@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read> y: array<Element1>;
@group(0) @binding(2) var<storage, read_write> result: array<Element2>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + thread;
  if (index >= scalars.count) {
    return;
  }
  let l = i32(index % scalars.size3);
  let rows = index / scalars.size3;
  let k = i32(rows % scalars.size2);
  let planes = rows / scalars.size2;
  let j = i32(planes % scalars.size1);
  let i = i32(planes / scalars.size1);
  let xIndex = i32(scalars.xOffset) + i * scalars.xStride0 + j * scalars.xStride1 + k * scalars.xStride2 + l * scalars.xStride3;
  let yIndex = i32(scalars.yOffset) + i * scalars.yStride0 + j * scalars.yStride1 + k * scalars.yStride2 + l * scalars.yStride3;
  result[index] = Element2(operation(f32(x[xIndex]), f32(y[yIndex]), 0.0));
}
