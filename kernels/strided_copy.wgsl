// target[t(i, j, k, l)] = source[s(i, j, k, l)] for four axes with strides of their own on either side.
//
// Views are made dense with it, slices are put back where they were cut, and floats change their precision. The host says
// what a `Source` and a `Target` are, and how one is read: words of 32 bits where nothing is converted, so that one pipeline serves floats and
// integers. One thread per element; neighbouring threads take neighbours on the last axis.

@group(0) @binding(0) var<storage, read> source: array<Source>;
@group(0) @binding(1) var<storage, read_write> destination: array<Target>;

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
  let fromIndex = i32(scalars.sourceOffset) + i * scalars.sourceStride0 + j * scalars.sourceStride1
    + k * scalars.sourceStride2 + l * scalars.sourceStride3;
  let toIndex = i32(scalars.targetOffset) + i * scalars.targetStride0 + j * scalars.targetStride1
    + k * scalars.targetStride2 + l * scalars.targetStride3;
  destination[toIndex] = Target(valueAt(u32(fromIndex)));
}
