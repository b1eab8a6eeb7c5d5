// Elements by their position along one axis. A tensor is dense, (outer, length, inner), and
// a row runs along the length.
//
//   gather       result[o, k, i] = source[o, indices[o, k, i], i];  NaN, of integers -1, for an index outside the length;
//                source is (outer, length, inner), indices and result are (outer, count, inner)
//   scatterAdd   result[o, indices[o, k, i], i] += source[o, k, i], for one k after the other; an index outside the length is left out;
//                indices and source are (outer, count, inner), result is (outer, length, inner)
//   oneHot       hot[k, c] = 1 where c = indices[k], else 0;  NaN for an index outside the length;  (count), (count, length)
//
// A template: the host appends what a `Source` and a `Result` are, the `Number` in which they are computed, and `nothingUnless`.
//
// How the work is split: gather and oneHot have a thread for each result, scatterAdd one for each row of its result, so that it needs no
// atomics and gives the same bits every time. Neighbouring threads take neighbouring inner positions.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> indices: array<i32>;

// gather, scatterAdd
@group(0) @binding(1) var<storage, read> source: array<Source>;
@group(0) @binding(2) var<storage, read_write> result: array<Result>;

// oneHot
@group(0) @binding(1) var<storage, read_write> hot: array<Element1>;

fn positionOf(workgroup: vec3u, workgroups: vec3u, thread: u32) -> u32 {
  return (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gather(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
          @builtin(local_invocation_index) thread: u32) {
  let i = positionOf(workgroup, workgroups, thread);
  if (i >= scalars.outer * scalars.count * scalars.inner) {
    return;
  }
  let column = i % scalars.inner;
  let block = i / (scalars.inner * scalars.count);
  let found = u32(indices[i]);  // a negative index becomes a huge one
  let isInside = found < scalars.length;
  let element = Number(source[(block * scalars.length + select(0u, found, isInside)) * scalars.inner + column]);
  result[i] = Result(select(nothingUnless(isInside), element, isInside));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn oneHot(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
          @builtin(local_invocation_index) thread: u32) {
  let i = positionOf(workgroup, workgroups, thread);
  if (i >= scalars.count * scalars.length) {
    return;
  }
  let found = u32(indices[i / scalars.length]);
  let isInside = found < scalars.length;
  hot[i] = Element1(select(nothingUnless(isInside), select(Number(0), Number(1), found == i % scalars.length), isInside));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn scatterAdd(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
              @builtin(local_invocation_index) thread: u32) {
  let row = positionOf(workgroup, workgroups, thread);
  if (row >= scalars.outer * scalars.inner) {
    return;
  }
  let column = row % scalars.inner;
  let block = row / scalars.inner;
  for (var k = 0u; k < scalars.count; k++) {
    let at = (block * scalars.count + k) * scalars.inner + column;
    let found = u32(indices[at]);
    if (found < scalars.length) {
      let to = (block * scalars.length + found) * scalars.inner + column;
      result[to] = Result(Number(result[to]) + Number(source[at]));
    }
  }
}
