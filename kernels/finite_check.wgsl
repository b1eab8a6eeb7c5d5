// flags[slot] = 1 where a value is NaN, plus 2 where one is infinite, over all values.
//
// By the bits, as drivers may take every comparison with NaN for true. One workgroup: this serves debugging, not speed.

const WORKGROUP_SIZE = 256u;

@group(0) @binding(0) var<storage, read> values: array<Element0>;
@group(0) @binding(1) var<storage, read_write> flags: array<f32>;

var<workgroup> isNan: atomic<u32>;
var<workgroup> isInfinite: atomic<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < scalars.count; i += WORKGROUP_SIZE) {
    let bits = bitcast<u32>(f32(values[i]));
    if ((bits & 0x7f800000u) == 0x7f800000u) {
      if ((bits & 0x007fffffu) == 0u) {
        atomicOr(&isInfinite, 2u);
      } else {
        atomicOr(&isNan, 1u);
      }
    }
  }
  workgroupBarrier();
  if (thread == 0u) {
    flags[scalars.slot] = f32(atomicLoad(&isNan) | atomicLoad(&isInfinite));
  }
}
