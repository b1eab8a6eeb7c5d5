// target[i] = value for every i < count.
//
// One thread per element.

struct Scalars {
  count: u32,
  value: f32,
}

var<immediate> scalars: Scalars;

@group(0) @binding(0) var<storage, read_write> fill_target: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (i < scalars.count) {
    fill_target[i] = scalars.value;
  }
}
