// drawn[r, d] = a category of row r, drawn with the probability weight / sum of the weights by the number randoms[r, d] in [0, 1];
// weights are (rows, categories), randoms and drawn (rows, count).
//
// Without `replacement` no category is drawn twice. -1 where a weight of the row is negative or not finite, and where none above 0 is left.
// One thread for each row.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> weights: array<Element0>;
@group(0) @binding(1) var<storage, read> randoms: array<f32>;
@group(0) @binding(2) var<storage, read_write> drawn: array<i32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let row = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (row >= scalars.rows) {
    return;
  }
  let start = row * scalars.categories;
  for (var draw = 0u; draw < scalars.count; draw++) {
    let taken = select(draw, 0u, scalars.replacement == 1u);
    var total = 0.0;
    var isValid = true;
    for (var category = 0u; category < scalars.categories; category++) {
      let bits = bitcast<u32>(f32(weights[start + category]));
      isValid = isValid && (bits < 0x7f800000u || bits == 0x80000000u);
      if (!wasDrawn(row, taken, category)) {
        total += f32(weights[start + category]);
      }
    }
    let goal = randoms[row * scalars.count + draw] * total;
    var found = -1;
    var sum = 0.0;
    for (var category = 0u; isValid && category < scalars.categories; category++) {
      let weight = f32(weights[start + category]);
      if (weight == 0.0 || wasDrawn(row, taken, category)) {
        continue;
      }
      found = i32(category);
      sum += weight;
      if (goal < sum) {
        break;
      }
    }
    drawn[row * scalars.count + draw] = found;
  }
}

fn wasDrawn(row: u32, draws: u32, category: u32) -> bool {
  for (var draw = 0u; draw < draws; draw++) {
    if (drawn[row * scalars.count + draw] == i32(category)) {
      return true;
    }
  }
  return false;
}
