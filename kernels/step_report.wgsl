// Sums the partials of every row, and decides how the optimizer steps:
//   report[1 + row] = (sum of the formula, sum g², first step in which g was not finite, or 0; sum (g · SHRINK)²)
//   report[0] = (scale, skip, norm, loss), unless keepsHead is 1
//
// A row is that of a parameter's gradient, or of one sum more that somebody watches, whose squares are 0.
// norm is the global norm over all rows, scale = min(1, maxNorm / norm) (1 where maxNorm is 0). Where the squares overflow, the
// shrunk ones tell the norm. skip is 1 from the first
// non-finite gradient on: the optimizer then changes nothing any more. Steps count from 1.
// One workgroup: rows are as many as parameters and sums, with MAX_GROUPS partials each.

const WORKGROUP_SIZE = 64u;
const SHRINK = 0x1p-80;  // as in gradient_statistics.wgsl

@group(0) @binding(0) var<storage, read> partials: array<vec4f>;
@group(0) @binding(1) var<storage, read> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> report: array<vec4f>;

// Per thread: sum of squares, whether a row was ever not finite, and the sum of shrunk squares.
var<workgroup> totals: array<vec3f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) thread: u32) {
  var total = vec3f();
  for (var row = thread; row < scalars.rows; row += WORKGROUP_SIZE) {
    var found = vec4f();
    for (var group = 0u; group < MAX_GROUPS; group++) {
      found += partials[row * MAX_GROUPS + group];
    }
    let firstBad = report[1u + row].z;
    let badSince = select(firstBad, f32(scalars.step), firstBad == 0.0 && found.z > 0.0);
    report[1u + row] = vec4f(found.xy, badSince, found.w);
    total += vec3f(found.y, select(0.0, 1.0, badSince > 0.0), found.w);
  }
  totals[thread] = total;
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.rows, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      totals[thread] += totals[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u && scalars.keepsHead == 0u) {
    let overflows = (bitcast<u32>(totals[0].x) & 0x7f800000u) == 0x7f800000u;
    let unit = select(1.0, SHRINK, overflows);
    let length = sqrt(select(totals[0].x, totals[0].z, overflows));
    let clips = scalars.maxNorm > 0.0 && length > scalars.maxNorm * unit;
    let scale = select(1.0, scalars.maxNorm * unit / max(length, 1e-30), clips);
    report[0] = vec4f(scale, select(0.0, 1.0, totals[0].y > 0.0), length / unit, loss[0]);
  }
}
