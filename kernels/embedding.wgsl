// Rows of a table by index. table is (count, width), indices are i32 (tokens).
//
//   result[token, column] = table[indices[token], column];  NaN for an index outside the table
//
// One thread per token and column; neighbouring threads take neighbouring columns.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> indices: array<i32>;
@group(0) @binding(1) var<storage, read> table: array<Stored1>;
@group(0) @binding(2) var<storage, read_write> result: array<Element2>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (i >= scalars.tokens * scalars.width) {
    return;
  }
  let index = u32(indices[i / scalars.width]);  // a negative index becomes a huge one
  let isInside = index < scalars.count;
  let notANumber = bitcast<f32>(select(0x7fc00000u, 0u, isInside));
  let element = loadTable(select(0u, index * scalars.width, isInside) + i % scalars.width);
  result[i] = Element2(select(notANumber, element, isInside));
}
