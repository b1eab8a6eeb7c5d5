// total[i] += contribution[i] for every i < count: sums the gradients that reach one tensor along several paths.
//
// One thread per element.

struct Scalars {
  count: u32,
}

var<immediate> scalars: Scalars;

@group(0) @binding(0) var<storage, read> contribution: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * 64u + thread;
  if (i < scalars.count) {
    total[i] += contribution[i];
  }
}
