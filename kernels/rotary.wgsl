// Rotary position embedding: turns the pairs (j, j + half) of every head by an angle that grows with the position.
//   angle = (positionOffset + time) * frequency[j]
//   result[…, j]        = x[…, j] * cos(angle) - x[…, j + half] * sin(angle)
//   result[…, j + half] = x[…, j + half] * cos(angle) + x[…, j] * sin(angle)
// x is (batch, time, heads, headSize) with any strides, result is dense. Elements behind 2 * half stay as they are. With `sign` -1
// it turns back: the gradient.
//
// The angle goes up to thousands of radians, too far for f32 and for the sine of a GPU. So no angle is computed here:
// `turns` holds (cos, sin) of the angles of positions 0 … FINE - 1, one line each, then of the positions 0, FINE,
// 2 * FINE, …, all from the host in full precision, and the angle addition formula puts the two together.
//
// One thread per pair of elements, the pairs that stay included.
//
// Constant from the host: FINE (u32).

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read> turns: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> result: array<Element2>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let pair = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (pair >= scalars.pairs) {
    return;
  }
  let pairsOfHead = scalars.headSize / 2;
  let j = pair % pairsOfHead;
  let vector = pair / pairsOfHead;
  let head = vector % scalars.heads;
  let time = vector / scalars.heads % scalars.time;
  let batch = vector / scalars.heads / scalars.time;

  let start = scalars.xOffset + batch * scalars.xBatch + time * scalars.xTime + head * scalars.xHead;
  if (j >= scalars.half) {
    let to = vector * scalars.headSize + 2 * j;
    result[to] = Element2(x[start + 2 * j * scalars.xElement]);
    result[to + 1] = Element2(x[start + (2 * j + 1) * scalars.xElement]);
    return;
  }

  let position = scalars.positionOffset + time;
  let fine = turns[position % FINE * scalars.half + j];
  let coarse = turns[(FINE + position / FINE) * scalars.half + j];
  let cosine = fine.x * coarse.x - fine.y * coarse.y;
  let sine = scalars.sign * (fine.x * coarse.y + fine.y * coarse.x);

  let source = start + j * scalars.xElement;
  let first = f32(x[source]);
  let second = f32(x[source + scalars.half * scalars.xElement]);
  let to = vector * scalars.headSize + j;
  result[to] = Element2(first * cosine - second * sine);
  result[to + scalars.half] = Element2(second * cosine + first * sine);
}
