// How far an array has moved from its copy, and the copy brought up to date:
//   partials[partialsStart + group] = sum |value - copy|  over the group's share of `count` elements
//   copy = value
//
// A thread takes ELEMENTS elements, a workgroup apart; a tree combines what the threads of a group found.

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> copy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  var moved = 0.0;
  let start = group * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    moved += abs(value[i] - copy[i]);
    copy[i] = value[i];
  }
  partial[thread] = moved;
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.count, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    partials[scalars.partialsStart + group] = partial[0];
  }
}
