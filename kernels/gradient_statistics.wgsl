// What one gradient contributes to the report of a step, over each group's share of it:
//   partials[row, group, 0] = (sum |g|, sum g², sum gA·gB, how many g are NaN or infinite)
//   partials[row, group, 1] = (sum |g - previous|, 0, 0, 0)
//
// g has `count` elements. Where useHalves is 1 its halves by sample come instead, gA before gB: g = gA + gB is then written
// over gA, so that the sum costs no pass of its own.
// A probe of a frozen parameter (isProbe 1) counts neither in the norm nor as broken: its squares and its flag are 0.
// usePrevious is 1 where g is only stored as the next step's `previous`, 2 where it is compared with it first.
// Each of `groups` workgroups takes one stretch of g; the first also clears the partials up to MAX_GROUPS, so that
// entries nobody writes count as 0. Threads walk the stretch side by side and a tree combines what they found. They read WIDTH
// elements at a time: Value is a vec4f where count is a multiple of four, else an f32.
// Non-finite values are told by their exponent bits: comparisons with NaN are not reliable on every adapter.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read_write> gradient: array<Value>;
@group(0) @binding(1) var<storage, read_write> previous: array<Value>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

var<workgroup> partial: array<vec4f, WORKGROUP_SIZE>;
var<workgroup> partialChange: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let values = scalars.count / WIDTH;
  let stretch = (values + scalars.groups - 1u) / scalars.groups;
  let end = min(values, (workgroup.x + 1u) * stretch);
  var absolute = Value();
  var squares = Value();
  var products = Value();
  var broken = Value();
  var change = Value();
  for (var i = workgroup.x * stretch + thread; i < end; i += WORKGROUP_SIZE) {
    var g = gradient[i];
    if (scalars.useHalves == 1u) {
      let other = gradient[i + values];
      products += g * other;
      g += other;
      gradient[i] = g;
    }
    let isFinite = (bitcast<Bits>(g) & Bits(0x7f800000u)) != Bits(0x7f800000u);
    let finite = select(Value(), g, isFinite);
    absolute += abs(finite);
    squares += finite * finite;
    broken += select(Value(1.0), Value(), isFinite);
    if (scalars.usePrevious == 2u) {
      change += abs(g - previous[i]);
    }
    if (scalars.usePrevious != 0u) {
      previous[i] = g;
    }
  }
  var found = vec4f(sumOf(absolute), sumOf(squares), sumOf(products), sumOf(broken));
  if (scalars.isProbe == 1u) {
    found.y = 0.0;
    found.w = 0.0;
  }
  partial[thread] = found;
  partialChange[thread] = sumOf(change);
  workgroupBarrier();
  // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
  let width = min(scalars.groups, 1u) * WORKGROUP_SIZE;
  for (var parts = 2u; parts <= width; parts *= 2u) {
    let half = WORKGROUP_SIZE / parts;
    if (thread < half) {
      partial[thread] += partial[thread + half];
      partialChange[thread] += partialChange[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    let to = 2u * (scalars.row * MAX_GROUPS + workgroup.x);
    partials[to] = partial[0];
    partials[to + 1u] = vec4f(partialChange[0], 0.0, 0.0, 0.0);
  }
  if (workgroup.x == 0u) {
    for (var i = scalars.groups + thread; i < MAX_GROUPS; i += WORKGROUP_SIZE) {
      let to = 2u * (scalars.row * MAX_GROUPS + i);
      partials[to] = vec4f();
      partials[to + 1u] = vec4f();
    }
  }
}
