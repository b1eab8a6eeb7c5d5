// What one gradient contributes to the report of a step, over each group's share of it:
//   partials[row, group] = (sum formula(x, y), sum g², how many g are NaN or infinite, sum (g · SHRINK)²)
// The last stands in where finite g have squares that f32 cannot hold.
//
// g has `count` elements. Where inHalves is 1 its halves by sample come instead, gA before gB: g = gA + gB is then written
// over gA, so that the sum costs no pass of its own. x and y of the formula are gA and gB where pairsHalves is 1; else x is g,
// and y is companion[i] where pairsCompanion is 1. Where storesCompanion is 1, g is written there afterwards.
// isSumOnly: only the formula's sum is wanted. Nothing is written over gA, and the other numbers are 0. A parameter can
// take the place of g then.
// Each of `groups` workgroups takes one stretch of g; the first also clears the partials up to MAX_GROUPS, so that
// entries nobody writes count as 0. Threads walk the stretch side by side and a tree combines what they found. They read WIDTH
// elements at a time: Value is a vec4f where count is a multiple of four, else an f32.
// Non-finite values are told by their exponent bits: comparisons with NaN are not reliable on every adapter.
//
// From the host: MAX_GROUPS (u32), WIDTH (u32), and fn formula(x: Value, y: Value) -> Value.

const WORKGROUP_SIZE = 64u;
const SHRINK = 0x1p-80;

@group(0) @binding(0) var<storage, read_write> gradient: array<Value>;
@group(0) @binding(1) var<storage, read_write> companion: array<Value>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

var<workgroup> partial: array<vec4f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let values = scalars.count / WIDTH;
  let stretch = (values + scalars.groups - 1u) / scalars.groups;
  let end = min(values, (workgroup.x + 1u) * stretch);
  var sum = Value();
  var squares = Value();
  var shrunk = Value();
  var broken = Value();
  for (var i = workgroup.x * stretch + thread; i < end; i += WORKGROUP_SIZE) {
    var g = gradient[i];
    var x = g;
    var y = Value();
    if (scalars.inHalves == 1u) {
      y = gradient[i + values];
      g += y;
      if (scalars.isSumOnly == 0u) {
        gradient[i] = g;
      }
    }
    if (scalars.pairsHalves == 0u) {
      x = g;
      y = Value();
    }
    if (scalars.pairsCompanion == 1u) {
      y = companion[i];
    }
    sum += formula(x, y);
    if (scalars.storesCompanion == 1u) {
      companion[i] = g;
    }
    let isFinite = (bitcast<Bits>(g) & Bits(0x7f800000u)) != Bits(0x7f800000u);
    let finite = select(Value(), g, isFinite);
    squares += finite * finite;
    shrunk += (finite * SHRINK) * (finite * SHRINK);
    broken += select(Value(1.0), Value(), isFinite);
  }
  var found = vec4f(sumOf(sum), sumOf(squares), sumOf(broken), sumOf(shrunk));
  if (scalars.isSumOnly == 1u) {
    found = vec4f(found.x, 0.0, 0.0, 0.0);
  }
  partial[thread] = found;
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.groups, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    partials[scalars.row * MAX_GROUPS + workgroup.x] = partial[0];
  }
  if (workgroup.x == 0u) {
    for (var i = scalars.groups + thread; i < MAX_GROUPS; i += WORKGROUP_SIZE) {
      partials[scalars.row * MAX_GROUPS + i] = vec4f();
    }
  }
}
