// result[o, k, i] = sum of x[o, j, i] over j <= k, or over j >= k where `backwards`;  both are dense, (outer, length, inner).
//
// A template: the host appends what a `Source` and a `Result` are, and the `Number` in which is summed.
//
// One thread for each row along the length; neighbouring threads take neighbouring inner positions.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> x: array<Source>;
@group(0) @binding(1) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let row = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (row >= scalars.outer * scalars.inner) {
    return;
  }
  let start = row / scalars.inner * scalars.length * scalars.inner + row % scalars.inner;
  var sum = Number(0);
  for (var k = 0u; k < scalars.length; k++) {
    let position = select(k, scalars.length - 1u - k, scalars.backwards == 1u);
    sum += Number(x[start + position * scalars.inner]);
    result[start + position * scalars.inner] = Result(sum);
  }
}
