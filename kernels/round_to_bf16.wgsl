// result = source, rounded to bf16 (to the nearest, ties to even; NaN stays NaN), two numbers to a word. The source is walked with
// four strides, and the result is dense.
//
// One thread per word; neighbouring threads take neighbours on the last axis.

@group(0) @binding(0) var<storage, read> source: array<Stored0>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;

fn roundedAt(index: u32) -> u32 {
  if (index >= scalars.count) {
    return 0u;
  }
  let l = i32(index % scalars.size3);
  let rows = index / scalars.size3;
  let k = i32(rows % scalars.size2);
  let planes = rows / scalars.size2;
  let j = i32(planes % scalars.size1);
  let i = i32(planes / scalars.size1);
  let fromIndex = i32(scalars.sourceOffset) + i * scalars.sourceStride0 + j * scalars.sourceStride1
    + k * scalars.sourceStride2 + l * scalars.sourceStride3;
  let bits = bitcast<u32>(loadSource(u32(fromIndex)));
  let rounded = bits + 0x7fffu + ((bits >> 16u) & 1u);
  return select(rounded, bits | 0x400000u, (bits & 0x7fffffffu) > 0x7f800000u) >> 16u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let word = (workgroup.y * workgroups.x + workgroup.x) * 64u + thread;
  if (2u * word < scalars.count) {
    result[word] = roundedAt(2u * word) | (roundedAt(2u * word + 1u) << 16u);
  }
}
