// The order of elements along one axis. x is dense, (outer, length, inner); a row runs along the length, and there are outer * inner rows.
//
//   extremeIndex   index[row] = the first position of the smallest element of a row, of the largest where `descending`; NaN wins
//   sort           order[row] = the positions of a row in ascending order of x, or descending. Equal elements keep their order, and NaN is
//                  larger than every number. A merge sort from the bottom up.
//
// A template: the host appends what a `Value` is, and `orderOf`, which makes unsigned numbers in the order of the values; NaN is `nan`.
//
// How the work is split: one thread for each row; neighbouring threads take neighbouring inner positions.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> x: array<Value>;

// extremeIndex
@group(0) @binding(1) var<storage, read_write> index: array<i32>;

// sort
@group(0) @binding(1) var<storage, read_write> order: array<i32>;
@group(0) @binding(2) var<storage, read_write> scratch: array<i32>;

fn positionOf(workgroup: vec3u, workgroups: vec3u, thread: u32) -> u32 {
  return (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn extremeIndex(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
                @builtin(local_invocation_index) thread: u32) {
  let row = positionOf(workgroup, workgroups, thread);
  if (row >= scalars.outer * scalars.inner) {
    return;
  }
  let start = row / scalars.inner * scalars.length * scalars.inner + row % scalars.inner;
  let flipped = select(0u, 0xffffffffu, scalars.descending == 1u);
  var best = orderOf(x[start], flipped) ^ flipped;
  var found = 0u;
  for (var k = 1u; k < scalars.length; k++) {
    let other = orderOf(x[start + k * scalars.inner], flipped) ^ flipped;
    if (other < best) {
      best = other;
      found = k;
    }
  }
  index[row] = i32(found);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sort(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let row = positionOf(workgroup, workgroups, thread);
  if (row >= scalars.outer * scalars.inner) {
    return;
  }
  let inner = scalars.inner;
  let start = row / inner * scalars.length * inner + row % inner;
  let flipped = select(0u, 0xffffffffu, scalars.descending == 1u);
  for (var k = 0u; k < scalars.length; k++) {
    order[start + k * inner] = i32(k);
  }
  for (var width = 1u; width < scalars.length; width *= 2u) {
    for (var first = 0u; first < scalars.length; first += 2u * width) {
      let middle = min(first + width, scalars.length);
      let end = min(first + 2u * width, scalars.length);
      var left = first;
      var right = middle;
      for (var k = first; k < end; k++) {
        var takesRight = left >= middle;
        if (left < middle && right < end) {
          let leftValue = orderOf(x[start + u32(order[start + left * inner]) * inner], 0xffffffffu) ^ flipped;
          let rightValue = orderOf(x[start + u32(order[start + right * inner]) * inner], 0xffffffffu) ^ flipped;
          takesRight = rightValue < leftValue;
        }
        scratch[start + k * inner] = order[start + select(left, right, takesRight) * inner];
        left += select(1u, 0u, takesRight);
        right += select(0u, 1u, takesRight);
      }
    }
    for (var k = 0u; k < scalars.length; k++) {
      order[start + k * inner] = scratch[start + k * inner];
    }
  }
}
