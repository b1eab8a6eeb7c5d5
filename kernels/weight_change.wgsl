// Sums what the workgroups of the updates changed, for each row of the report:
//   report[1 + rows + row].y = sum of partials[first … first + count),  (first, count) = ranges[row]
//
// One workgroup a row; its threads walk the partials side by side and a tree combines what they found.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read> ranges: array<vec2i>;
@group(0) @binding(2) var<storage, read_write> report: array<vec4f>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = workgroup.x;
  let range = vec2u(ranges[row]);
  var found = 0.0;
  for (var i = thread; i < range.y; i += WORKGROUP_SIZE) {
    found += partials[range.x + i];
  }
  partial[thread] = found;
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.rows, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    report[1u + scalars.rows + row].y = partial[0];
  }
}
