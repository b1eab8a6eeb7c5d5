// result[i, c] = scale · combine over k in chunk c of source[i, k];  source (outer, length), result (outer, chunks).
//
// A template: the host appends what a `Source` and a `Value` are, `combine` and its `start()` (sum, product, maximum or minimum), and
// `scaled`. One workgroup per result: its threads walk the chunk side by side, so that loads are coalesced, and a tree in workgroup
// memory combines their partial results.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> source: array<Source>;
@group(0) @binding(1) var<storage, read_write> result: array<Value>;

var<workgroup> partial: array<Value, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group / scalars.chunks;
  let chunk = group % scalars.chunks;
  let chunkLength = (scalars.length + scalars.chunks - 1u) / scalars.chunks;
  let end = min(scalars.length, (chunk + 1u) * chunkLength);
  var value = start();
  if (row < scalars.outer) {
    for (var k = chunk * chunkLength + thread; k < end; k += WORKGROUP_SIZE) {
      value = combine(value, Value(source[row * scalars.length + k]));
    }
  }
  partial[thread] = value;
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.chunks, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      partial[thread] = combine(partial[thread], partial[thread + half]);
    }
    workgroupBarrier();
  }
  if (thread == 0u && row < scalars.outer) {
    result[group] = scaled(partial[0]);
  }
}
