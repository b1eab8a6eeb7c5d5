// result[i] = value for every i < count.
//
// A thread takes ELEMENTS elements, a workgroup apart, so that neighbouring threads touch neighbouring addresses.

@group(0) @binding(0) var<storage, read_write> result: array<Element0>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let start = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    result[i] = Element0(scalars.value);
  }
}
