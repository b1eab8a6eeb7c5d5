// Attention, forward, without ever holding the time x time matrix (the "flash" way):
//   output[batch, t, head, :] = sum over s of softmax over s (scale * q[batch, t, head, :] . k[batch, s, head, :]) * v[batch, s, head, :]
//   logSumExp[batch, head, t] = log of the sum over s of exp(scale * q . k): all that the backward pass needs to get the softmax back.
//
// q and output are contiguous (batch, time, heads, HEAD_SIZE), k and v (batch, keys, keyHeads, HEAD_SIZE), logSumExp is
// (batch, heads, time). heads / keyHeads neighbouring heads of queries share one head of keys and values.
// Query t stands at position p = keys - time + t. It sees the keys s <= p where causal is 1; s > p - window where window is
// not 0; s < lengths[batch] where useLengths is 1.
// A query that sees no key gets output 0.
//
// How the work is split. A thread owns one query: its row of q, its running output, maximum and sum stay in registers, so the softmax
// needs no talk between threads. The workgroup walks over the keys in tiles; a tile's keys and values are read once
// and shared by all its threads. Tiles that no query of the workgroup sees are skipped.
//
// The online softmax. We do not know a row's maximum before the last key, but exp of a large score overflows. So we keep the
// maximum so far, and whenever it grows we shrink what was summed under the old one by exp(old - new).
//
// Sharing has two forms. SHUFFLE false: through workgroup memory, which all hardware has. SHUFFLE true: the workgroup is one
// subgroup; its lanes keep a tile in their registers (LANES_PER_ROW neighbours have the parts of one row) and hand the parts round
// by shuffles. For a software adapter, where a read from workgroup memory costs as much as twenty multiply-adds, a shuffle as much as one.
//
// Dispatch: (ceil(time / THREADS), heads, batch); each at most 65535.
// Constants from the host:
//   HEAD_SIZE: u32, 1 to 128.
//   THREADS: u32, queries a workgroup. With SHUFFLE the subgroup size.
//   TILE: u32, keys a tile. With SHUFFLE it divides THREADS; 4 up to HEAD_SIZE 16, 1 above: all is unrolled, and
//     a software adapter compiles slowly. Otherwise TILE * HEAD_SIZE (rounded up to a multiple of 4) <= 2048, which fills 16 KiB.
//   GROUP: u32, keys whose scores are computed before their values are added: divides TILE; with SHUFFLE equal to TILE.
//   SHUFFLE: bool; and the function fn shuffle(value: vec4f, lane: u32) -> vec4f, which is subgroupShuffle where
//     SHUFFLE is true, and is never called where it is false.
// q, k and v are stored alike. The host rounds the sizes of the bound buffers up to 16 bytes.

const VECTORS = (HEAD_SIZE + 3) / 4;  // a row of q, k or v, in vectors of four, the last one filled up with 0
const LANES_PER_ROW = select(1, THREADS / TILE, SHUFFLE);
const READS = (VECTORS + LANES_PER_ROW - 1) / LANES_PER_ROW;  // what one of them reads of the row
const LOWEST = -1e30;  // stands for minus infinity, which WGSL cannot write down

@group(0) @binding(0) var<storage, read> q: array<vec4<Element0>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<Element1>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<Element2>>;
@group(0) @binding(3) var<storage, read> lengths: array<i32>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<Element4>>;
@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>;

var<workgroup> tileOfK: array<vec4f, select(TILE * VECTORS, 1, SHUFFLE)>;
var<workgroup> tileOfV: array<vec4f, select(TILE * VECTORS, 1, SHUFFLE)>;

// Where row t of a head starts. Times beyond the end read the last row again; what comes of it is masked or not stored.
fn startOfRow(batch: u32, time: u32, head: u32) -> u32 {
  return ((batch * scalars.time + min(time, scalars.time - 1)) * scalars.heads + head) * HEAD_SIZE;
}

// The same for a row of k or v: keyHeads heads, each shared by neighbouring heads of queries.
fn startOfKey(batch: u32, position: u32, keyHead: u32) -> u32 {
  return ((batch * scalars.keys + min(position, scalars.keys - 1)) * scalars.keyHeads + keyHead) * HEAD_SIZE;
}

// Elements 4 * i to 4 * i + 3 of the row that starts at `start`.
fn vectorOf(source: ptr<storage, array<vec4<Element0>>, read>, start: u32, i: u32) -> vec4f {
  if (HEAD_SIZE % 4 == 0) { return vec4f(source[start / 4 + i]); }
  var result = vec4f();
  for (var j = 0u; j < 4; j++) {
    let index = start + 4 * i + j;
    if (4 * i + j < HEAD_SIZE) { result[j] = f32(source[index / 4][index % 4]); }
  }
  return result;
}

// Writes what vectorOf reads. With a head size that is no multiple of 4, one vector can hold the end of one row and the start of the
// next, so there each component is written alone (memory of its own in every language that Dawn compiles to).
fn storeVector(destination: ptr<storage, array<vec4<Element4>>, read_write>, start: u32, i: u32, values: vec4f) {
  if (HEAD_SIZE % 4 == 0) {
    destination[start / 4 + i] = vec4<Element4>(values);
  } else {
    for (var j = 0u; j < 4; j++) {
      let index = start + 4 * i + j;
      if (4 * i + j < HEAD_SIZE) { destination[index / 4][index % 4] = Element4(values[j]); }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = workgroup.y;
  let batch = workgroup.z;
  let firstQuery = workgroup.x * THREADS;
  let query = firstQuery + thread;
  let keyHead = head * scalars.keyHeads / scalars.heads;
  let firstPosition = firstQuery + scalars.keys - scalars.time;
  let position = firstPosition + thread;

  // This query sees the keys before `end`; no query of the workgroup sees one at or after `lastEnd`.
  var lastEnd = scalars.keys;
  if (scalars.useLengths != 0u) {
    lastEnd = min(lastEnd, u32(max(lengths[batch], 0)));
  }
  var end = lastEnd;
  if (scalars.causal != 0u) {
    end = min(end, position + 1);
    lastEnd = min(lastEnd, firstPosition + THREADS);
  }
  // A window ends it from below: no query of the workgroup sees a key before `firstBegin`.
  var begin = 0u;
  var firstBegin = 0u;
  if (scalars.window != 0u) {
    begin = position + 1 - min(scalars.window, position + 1);
    firstBegin = firstPosition + 1 - min(scalars.window, firstPosition + 1);
  }

  var row: array<vec4f, VECTORS>;
  var sums: array<vec4f, VECTORS>;
  let startOfQuery = startOfRow(batch, query, head);
  // Rows are read and written in loops that a software adapter's compiler cannot unroll, through an array beside the registers:
  // unrolled, these few reads and writes were most of what it compiles, and took two thirds of its time.
  let vectors = select(VECTORS, VECTORS * min(scalars.heads, 1), SHUFFLE);
  var staged: array<vec4f, VECTORS>;
  for (var i = 0u; i < vectors; i++) {
    staged[i] = vectorOf(&q, startOfQuery, i);
  }
  for (var i = 0u; i < VECTORS; i++) {
    row[i] = staged[i] * scalars.scale;
  }
  var highest = LOWEST;
  var total = 0.0;

  for (var firstKey = firstBegin; firstKey < lastEnd; firstKey += TILE) {
    var heldK: array<vec4f, READS>;
    var heldV: array<vec4f, READS>;
    if (SHUFFLE) {
      let start = startOfKey(batch, firstKey + thread / LANES_PER_ROW, keyHead);
      for (var read = 0u; read < READS; read++) {
        let i = min(read * LANES_PER_ROW + thread % LANES_PER_ROW, VECTORS - 1);
        heldK[read] = vectorOf(&k, start, i);
        heldV[read] = vectorOf(&v, start, i);
      }
    } else {
      workgroupBarrier();
      for (var index = thread; index < TILE * VECTORS; index += THREADS) {
        let start = startOfKey(batch, firstKey + index / VECTORS, keyHead);
        tileOfK[index] = vectorOf(&k, start, index % VECTORS);
        tileOfV[index] = vectorOf(&v, start, index % VECTORS);
      }
      workgroupBarrier();
    }

    for (var first = 0u; first < TILE; first += GROUP) {
      // The initial value must be written out: Dawn 0.6.2 on lavapipe does not clear a variable again in each round of a loop.
      var scores = array<f32, GROUP>();
      for (var i = 0u; i < VECTORS; i++) {
        let query = row[i];
        for (var j = 0u; j < GROUP; j++) {
          var key: vec4f;
          if (SHUFFLE) {
            key = shuffle(heldK[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
          } else {
            key = tileOfK[(first + j) * VECTORS + i];
          }
          scores[j] += dot(query, key);
        }
      }

      var newHighest = highest;
      for (var j = 0u; j < GROUP; j++) {
        let score = scores[j];
        let key = firstKey + first + j;
        newHighest = max(newHighest, select(LOWEST, score, key >= begin && key < end));
      }
      let shrink = exp(highest - newHighest);
      highest = newHighest;
      total *= shrink;
      var weights = array<f32, GROUP>();
      var isSeen = array<bool, GROUP>();
      for (var j = 0u; j < GROUP; j++) {
        let score = scores[j];
        let key = firstKey + first + j;
        isSeen[j] = key >= begin && key < end;
        weights[j] = select(0.0, exp(score - newHighest), isSeen[j]);
        total += weights[j];
      }

      for (var i = 0u; i < VECTORS; i++) {
        var sum = sums[i] * shrink;
        for (var j = 0u; j < GROUP; j++) {
          var value: vec4f;
          if (SHUFFLE) {
            value = shuffle(heldV[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
          } else {
            value = tileOfV[(first + j) * VECTORS + i];
          }
          // 0 times a NaN that this query does not see would be NaN.
          sum += select(vec4f(), weights[j] * value, isSeen[j]);
        }
        sums[i] = sum;
      }
    }
  }

  if (query < scalars.time) {
    // Without any key: output 0, and a logSumExp so high that exp(score - logSumExp) is 0 in the backward pass.
    // A total of NaN is no missing key.
    let some = total > 0.0 || isNaN(total);
    let factor = select(0.0, 1.0 / total, some);
    logSumExp[(batch * scalars.heads + head) * scalars.time + query] = select(-LOWEST, highest + log(total), some);
    for (var i = 0u; i < VECTORS; i++) {
      staged[i] = sums[i] * factor;
    }
    for (var i = 0u; i < vectors; i++) {
      storeVector(&output, startOfQuery, i, staged[i]);
    }
  }
}
