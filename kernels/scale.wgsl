// total[i] *= factor[0] for every i < count: a gradient that was computed for a loss of weight 1, once that weight is known.
//
// A thread takes ELEMENTS elements, WIDTH at a time and a workgroup apart, so that neighbouring threads touch neighbouring
// addresses. Value is a vec4f where count is a multiple of four, else an f32.

@group(0) @binding(0) var<storage, read> factor: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<Value>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let share = WORKGROUP_SIZE * (ELEMENTS / WIDTH);
  let start = (workgroup.y * workgroups.x + workgroup.x) * share + thread;
  for (var i = start; i < min(scalars.count / WIDTH, start + share); i += WORKGROUP_SIZE) {
    total[i] *= factor[0];
  }
}
