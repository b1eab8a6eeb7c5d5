// Attention, backward, without ever holding the time x time matrix. See attention_forward.wgsl for the shapes, the masks, the
// two forms of sharing and the constants. q, k and v are stored alike, so Element1 and Element2 (names
// that the host looks for) are Element0 there; gradients are f32.
//
// The forward pass left logSumExp, so any softmax weight can be had again from one dot product:
//   weight[t, s] = exp(scale * q[t] . k[s] - logSumExp[t])
// and with the gradient of a weight and of a score
//   slope[t, s] = outputGradient[t] . v[s]
//   scoreGradient[t, s] = weight[t, s] * (slope[t, s] - delta[t]),   delta[t] = outputGradient[t] . output[t]
// the three gradients are
//   queryGradient[t] = scale * sum over s of scoreGradient[t, s] * k[s]
//   keyGradient[s]   = scale * sum over t of scoreGradient[t, s] * q[t]
//   valueGradient[s] =         sum over t of weight[t, s] * outputGradient[t]
//
// How the work is split: three entry points, run in this order.
//   delta: one thread a query. Writes statistics, (batch, heads, time) pairs of logSumExp and delta; in one buffer, because the
//     last entry point already binds eight, and eight is what every adapter has.
//   gradientOfQueries: one thread a query, which walks over the keys it sees, as in the forward pass.
//   gradientsOfKeysAndValues: one thread a key, which walks over the queries that see it, head by head. So each gradient has one writer that
//     sums in a fixed order: no atomics, and the same bits every time. The price is that the weights are computed twice.
//
// Dispatch: (ceil(time / THREADS), heads, batch), the last one (ceil(keys / THREADS), keyHeads, batch).

const VECTORS = (HEAD_SIZE + 3) / 4;  // a row of q, k or v, in vectors of four, the last one filled up with 0
const LANES_PER_ROW = select(1, THREADS / TILE, SHUFFLE);
const READS = (VECTORS + LANES_PER_ROW - 1) / LANES_PER_ROW;  // what one of them reads of the row

// Of delta.
@group(0) @binding(0) var<storage, read> output: array<vec4<Element0>>;
@group(0) @binding(1) var<storage, read> gradientOfOutput: array<vec4f>;
@group(0) @binding(2) var<storage, read> logSumExp: array<f32>;
@group(0) @binding(3) var<storage, read_write> statisticsResult: array<vec2f>;

// Of gradientOfQueries and gradientsOfKeysAndValues.
@group(0) @binding(0) var<storage, read> q: array<vec4<Element0>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<Element0>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<Element0>>;
@group(0) @binding(3) var<storage, read> lengths: array<i32>;
@group(0) @binding(4) var<storage, read> outputGradient: array<vec4f>;
@group(0) @binding(5) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> queryGradient: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> keyGradient: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> valueGradient: array<vec4f>;

// Rows of k and v in gradientOfQueries, of q and outputGradient in gradientsOfKeysAndValues. Not used with SHUFFLE.
var<workgroup> tileOne: array<vec4f, select(TILE * VECTORS, 1, SHUFFLE)>;
var<workgroup> tileTwo: array<vec4f, select(TILE * VECTORS, 1, SHUFFLE)>;

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

// The same of a gradient, which is f32 whatever q is.
fn gradientVectorOf(source: ptr<storage, array<vec4f>, read>, start: u32, i: u32) -> vec4f {
  if (HEAD_SIZE % 4 == 0) { return source[start / 4 + i]; }
  var result = vec4f();
  for (var j = 0u; j < 4; j++) {
    let index = start + 4 * i + j;
    if (4 * i + j < HEAD_SIZE) { result[j] = source[index / 4][index % 4]; }
  }
  return result;
}

// Writes what vectorOf reads. With a head size that is no multiple of 4, one vector can hold the end of one row and the start of the
// next, so there each component is written alone (memory of its own in every language that Dawn compiles to).
fn storeVector(destination: ptr<storage, array<vec4f>, read_write>, start: u32, i: u32, values: vec4f) {
  if (HEAD_SIZE % 4 == 0) {
    destination[start / 4 + i] = values;
  } else {
    for (var j = 0u; j < 4; j++) {
      let index = start + 4 * i + j;
      if (4 * i + j < HEAD_SIZE) { destination[index / 4][index % 4] = values[j]; }
    }
  }
}

// The keys of this batch entry that are not padding.
fn validKeys(batch: u32) -> u32 {
  if (scalars.useLengths == 0u) { return scalars.keys; }
  return min(scalars.keys, u32(max(lengths[batch], 0)));
}

// exp of a logarithm that is at most 0. Rounding can lift it above 0 where scores are large: the softmax would exceed 1 by far.
fn probability(logarithm: f32) -> f32 {
  return exp(select(logarithm, 0.0, logarithm > 0.0));
}

@compute @workgroup_size(THREADS)
fn delta(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let query = workgroup.x * THREADS + thread;
  let start = startOfRow(workgroup.z, query, workgroup.y);
  var sum = 0.0;
  // Not counted from 0 on purpose: a count known in advance is unrolled, which makes compiling ten times as slow and nothing faster.
  for (var element = start; element < start + HEAD_SIZE; element += 4) {
    let i = (element - start) / 4;
    sum += dot(vectorOf(&output, start, i), gradientVectorOf(&gradientOfOutput, start, i));
  }
  if (query < scalars.time) {
    let index = (workgroup.z * scalars.heads + workgroup.y) * scalars.time + query;
    statisticsResult[index] = vec2f(logSumExp[index], sum);
  }
}

@compute @workgroup_size(THREADS)
fn gradientOfQueries(
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
  let ofRow = statistics[(batch * scalars.heads + head) * scalars.time + min(query, scalars.time - 1)];
  let rowLogSumExp = ofRow.x;
  let rowDelta = ofRow.y;

  // This query sees the keys before `end`; no query of the workgroup sees one at or after `lastEnd`.
  var lastEnd = validKeys(batch);
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

  var rowOfQ: array<vec4f, VECTORS>;
  var rowOfGradient: array<vec4f, VECTORS>;
  var sums: array<vec4f, VECTORS>;
  let startOfQuery = startOfRow(batch, query, head);
  // Through loops that are not unrolled: see attention_forward.wgsl.
  let vectors = select(VECTORS, VECTORS * min(scalars.heads, 1), SHUFFLE);
  var stagedOne: array<vec4f, VECTORS>;
  var stagedTwo: array<vec4f, VECTORS>;
  for (var i = 0u; i < vectors; i++) {
    stagedOne[i] = vectorOf(&q, startOfQuery, i);
    stagedTwo[i] = gradientVectorOf(&outputGradient, startOfQuery, i);
  }
  for (var i = 0u; i < VECTORS; i++) {
    rowOfQ[i] = stagedOne[i] * scalars.scale;
    rowOfGradient[i] = stagedTwo[i];
  }

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
        tileOne[index] = vectorOf(&k, start, index % VECTORS);
        tileTwo[index] = vectorOf(&v, start, index % VECTORS);
      }
      workgroupBarrier();
    }

    for (var first = 0u; first < TILE; first += GROUP) {
      // Initial values written out: see attention_forward.wgsl.
      var scores = array<f32, GROUP>();
      var slopes = array<f32, GROUP>();
      for (var i = 0u; i < VECTORS; i++) {
        let query = rowOfQ[i];
        let gradient = rowOfGradient[i];
        for (var j = 0u; j < GROUP; j++) {
          var key: vec4f;
          var value: vec4f;
          if (SHUFFLE) {
            key = shuffle(heldK[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
            value = shuffle(heldV[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
          } else {
            key = tileOne[(first + j) * VECTORS + i];
            value = tileTwo[(first + j) * VECTORS + i];
          }
          scores[j] += dot(query, key);
          slopes[j] += dot(gradient, value);
        }
      }

      var scoreGradients = array<f32, GROUP>();
      var isSeen = array<bool, GROUP>();
      for (var j = 0u; j < GROUP; j++) {
        let score = scores[j];
        let key = firstKey + first + j;
        isSeen[j] = key >= begin && key < end;
        scoreGradients[j] = probability(score - rowLogSumExp) * (slopes[j] - rowDelta);
      }

      for (var i = 0u; i < VECTORS; i++) {
        var sum = sums[i];
        for (var j = 0u; j < GROUP; j++) {
          var key: vec4f;
          if (SHUFFLE) {
            key = shuffle(heldK[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
          } else {
            key = tileOne[(first + j) * VECTORS + i];
          }
          // Selected, not multiplied by 0: what this query does not see may be NaN.
          sum += select(vec4f(), scoreGradients[j] * key, isSeen[j]);
        }
        sums[i] = sum;
      }
    }
  }

  if (query < scalars.time) {
    for (var i = 0u; i < VECTORS; i++) {
      stagedOne[i] = sums[i] * scalars.scale;
    }
    for (var i = 0u; i < vectors; i++) {
      storeVector(&queryGradient, startOfQuery, i, stagedOne[i]);
    }
  }
}

@compute @workgroup_size(THREADS)
fn gradientsOfKeysAndValues(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let keyHead = workgroup.y;
  let batch = workgroup.z;
  let firstKey = workgroup.x * THREADS;
  let key = firstKey + thread;

  // The queries from `begin` to before `end` see this key; none outside `firstQuery` and `lastQuery` sees any key of the workgroup.
  // Query t stands at position t + shift.
  let valid = validKeys(batch);
  let shift = scalars.keys - scalars.time;
  var begin = 0u;
  var firstQuery = 0u;
  if (scalars.causal != 0u) {
    begin = key - min(key, shift);
    firstQuery = firstKey - min(firstKey, shift);
  }
  if (key >= valid) { begin = scalars.time; }
  if (firstKey >= valid) { firstQuery = scalars.time; }
  var end = scalars.time;
  var lastQuery = scalars.time;
  if (scalars.window != 0u) {
    let below = key + scalars.window;
    end = min(end, below - min(below, shift));
    let lastBelow = firstKey + THREADS - 1 + scalars.window;
    lastQuery = min(lastQuery, lastBelow - min(lastBelow, shift));
  }

  var rowOfK: array<vec4f, VECTORS>;
  var rowOfV: array<vec4f, VECTORS>;
  var sumsOfK: array<vec4f, VECTORS>;
  var sumsOfV: array<vec4f, VECTORS>;
  let keyStart = startOfKey(batch, key, keyHead);
  // Through loops that are not unrolled: see attention_forward.wgsl.
  let vectors = select(VECTORS, VECTORS * min(scalars.heads, 1), SHUFFLE);
  var stagedOne: array<vec4f, VECTORS>;
  var stagedTwo: array<vec4f, VECTORS>;
  for (var i = 0u; i < vectors; i++) {
    stagedOne[i] = vectorOf(&k, keyStart, i);
    stagedTwo[i] = vectorOf(&v, keyStart, i);
  }
  for (var i = 0u; i < VECTORS; i++) {
    rowOfK[i] = stagedOne[i] * scalars.scale;
    rowOfV[i] = stagedTwo[i];
  }

  let sharing = scalars.heads / scalars.keyHeads;
  for (var head = keyHead * sharing; head < (keyHead + 1) * sharing; head++) {
    let startOfStatistics = (batch * scalars.heads + head) * scalars.time;
    for (var firstOfTile = firstQuery; firstOfTile < lastQuery; firstOfTile += TILE) {
      var heldQ: array<vec4f, READS>;
      var heldGradient: array<vec4f, READS>;
      var heldStatistics = vec4f();
      if (SHUFFLE) {
        let query = firstOfTile + thread / LANES_PER_ROW;
        let start = startOfRow(batch, query, head);
        for (var read = 0u; read < READS; read++) {
          let i = min(read * LANES_PER_ROW + thread % LANES_PER_ROW, VECTORS - 1);
          heldQ[read] = vectorOf(&q, start, i);
          heldGradient[read] = gradientVectorOf(&outputGradient, start, i);
        }
        heldStatistics = vec4f(statistics[startOfStatistics + min(query, scalars.time - 1)], 0, 0);
      } else {
        workgroupBarrier();
        for (var index = thread; index < TILE * VECTORS; index += THREADS) {
          let start = startOfRow(batch, firstOfTile + index / VECTORS, head);
          tileOne[index] = vectorOf(&q, start, index % VECTORS);
          tileTwo[index] = gradientVectorOf(&outputGradient, start, index % VECTORS);
        }
        workgroupBarrier();
      }

      for (var first = 0u; first < TILE; first += GROUP) {
        // Initial values written out: see attention_forward.wgsl.
        var scores = array<f32, GROUP>();
        var slopes = array<f32, GROUP>();
        for (var i = 0u; i < VECTORS; i++) {
          let key = rowOfK[i];
          let value = rowOfV[i];
          for (var j = 0u; j < GROUP; j++) {
            var query: vec4f;
            var gradient: vec4f;
            if (SHUFFLE) {
              query = shuffle(heldQ[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
              gradient = shuffle(heldGradient[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
            } else {
              query = tileOne[(first + j) * VECTORS + i];
              gradient = tileTwo[(first + j) * VECTORS + i];
            }
            scores[j] += dot(key, query);
            slopes[j] += dot(value, gradient);
          }
        }

        var weights = array<f32, GROUP>();
        var scoreGradients = array<f32, GROUP>();
        var isSeen = array<bool, GROUP>();
        for (var j = 0u; j < GROUP; j++) {
          let score = scores[j];
          let query = firstOfTile + first + j;
          var ofRow: vec2f;
          if (SHUFFLE) {
            ofRow = shuffle(heldStatistics, j * LANES_PER_ROW).xy;
          } else {
            ofRow = statistics[startOfStatistics + min(query, scalars.time - 1)];
          }
          isSeen[j] = query >= begin && query < end;
          weights[j] = probability(score - ofRow.x);
          scoreGradients[j] = weights[j] * (slopes[j] - ofRow.y);
        }

        for (var i = 0u; i < VECTORS; i++) {
          var sumOfK = sumsOfK[i];
          var sumOfV = sumsOfV[i];
          for (var j = 0u; j < GROUP; j++) {
            var query: vec4f;
            var gradient: vec4f;
            if (SHUFFLE) {
              query = shuffle(heldQ[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
              gradient = shuffle(heldGradient[i / LANES_PER_ROW], j * LANES_PER_ROW + i % LANES_PER_ROW);
            } else {
              query = tileOne[(first + j) * VECTORS + i];
              gradient = tileTwo[(first + j) * VECTORS + i];
            }
            sumOfK += select(vec4f(), scoreGradients[j] * query, isSeen[j]);
            sumOfV += select(vec4f(), weights[j] * gradient, isSeen[j]);
          }
          sumsOfK[i] = sumOfK;
          sumsOfV[i] = sumOfV;
        }
      }
    }
  }

  if (key < scalars.keys) {
    for (var i = 0u; i < VECTORS; i++) {
      stagedOne[i] = sumsOfK[i] * scalars.scale;
      stagedTwo[i] = sumsOfV[i];
    }
    for (var i = 0u; i < vectors; i++) {
      storeVector(&keyGradient, keyStart, i, stagedOne[i]);
      storeVector(&valueGradient, keyStart, i, stagedTwo[i]);
    }
  }
}
