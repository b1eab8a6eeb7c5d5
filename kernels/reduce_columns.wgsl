// result[i, c, j] = scale · combine over k in chunk c of source[i, k, j];
// source (outer, length, inner), result (outer, chunks, inner).
//
// A template: the host appends what a `Source` and a `Value` are, `combine` and its `start()` (sum, product, maximum or minimum), and
// `scaled`. One thread per result: neighbouring threads walk neighbouring columns, so that each step of their common loop is one
// coalesced load.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> source: array<Source>;
@group(0) @binding(1) var<storage, read_write> result: array<Value>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (index >= scalars.outer * scalars.chunks * scalars.inner) {
    return;
  }
  let column = index % scalars.inner;
  let group = index / scalars.inner;
  let row = group / scalars.chunks;
  let chunk = group % scalars.chunks;
  let chunkLength = (scalars.length + scalars.chunks - 1u) / scalars.chunks;
  let end = min(scalars.length, (chunk + 1u) * chunkLength);
  var value = start();
  for (var k = chunk * chunkLength; k < end; k++) {
    value = combine(value, Value(source[(row * scalars.length + k) * scalars.inner + column]));
  }
  result[index] = scaled(value);
}
