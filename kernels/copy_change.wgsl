// How far an array has moved from its copy, and the copy brought up to date:
//   partials[partialsStart + group] = sum |value - copy|  over the group's share of `count` elements
//   copy = value
//
// A thread takes ELEMENTS elements, a workgroup apart; a tree combines what the threads of a group found.

struct Scalars {
  count: u32,
  partialsStart: u32,
}

var<immediate> scalars: Scalars;

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> copy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  var moved = 0.0;
  for (var element = 0u; element < ELEMENTS; element++) {
    let i = group * WORKGROUP_SIZE * ELEMENTS + thread + element * WORKGROUP_SIZE;
    if (i < scalars.count) {
      moved += abs(value[i] - copy[i]);
      copy[i] = value[i];
    }
  }
  partial[thread] = moved;
  workgroupBarrier();
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    partials[scalars.partialsStart + group] = partial[0];
  }
}
