// Drops elements at random and scales the others up:
//   result[i] = x[i] · scale  where word i of the random stream is at least `lowest`, else 0
//
// The words are those of Philox4x32-10 (Salmon et al., SC 2011) under the key (seed, 0), four to a counter, so that the
// mask is a function of seed and position alone: the backward pass makes it again instead of reading a saved one. A
// thread takes ELEMENTS / 4 counters, a workgroup apart, and the four elements of each.

@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read_write> result: array<Element1>;

// The upper 32 bits of the 64-bit product.
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let aHigh = a >> 16u;
  let aLow = a & 0xffffu;
  let bHigh = b >> 16u;
  let bLow = b & 0xffffu;
  let middle = aHigh * bLow + ((aLow * bLow) >> 16u);
  let cross = aLow * bHigh + (middle & 0xffffu);
  return aHigh * bHigh + (middle >> 16u) + (cross >> 16u);
}

fn philox(first: u32) -> vec4u {
  var c = vec4u(first, 0u, 0u, 0u);
  var key = vec2u(scalars.seed, 0u);
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiplyHigh(0xd2511f53u, c.x);
    let low0 = 0xd2511f53u * c.x;
    let high1 = multiplyHigh(0xcd9e8d57u, c.z);
    let low1 = 0xcd9e8d57u * c.z;
    c = vec4u(high1 ^ c.y ^ key.x, low1, high0 ^ c.w ^ key.y, low0);
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  for (var part = 0u; part < ELEMENTS / 4u; part++) {
    let counter = group * WORKGROUP_SIZE * (ELEMENTS / 4u) + part * WORKGROUP_SIZE + thread;
    let words = philox(counter);
    for (var j = 0u; j < 4u; j++) {
      let i = 4u * counter + j;
      if (i < scalars.count) {
        result[i] = Element1(select(0.0, f32(x[i]) * scalars.scale, words[j] >= scalars.lowest));
      }
    }
  }
}
