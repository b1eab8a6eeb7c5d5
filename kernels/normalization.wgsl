// Layer normalization and RMS normalization over the rows of a matrix, and the gradient for x.
// x, result and gradients are dense, (rows, columns); gain and bias are (columns).
//
//   forward         result = (x - mean) * inverse * gain + bias,   inverse = 1 / sqrt(mean of (x - mean)^2 + epsilon)
//   inputGradient   result = inverse * (h - mean of h - normal * mean of h * normal),
//                   where h = outputGradient * gain and normal = (x - mean) * inverse; added to what result holds where
//                   addToResult is 1: the gradient of a residual may be there already
//
// All means run over one row. RMS normalization is the same with `centered` 0: its mean is 0 by definition, and so is
// the "mean of h" that it would give rise to. `statistics` keeps inverse for each row, followed, where centered, by the
// mean for each row.
//
// How the work is split: as in softmax.wgsl. A row belongs to `lanes` neighbouring threads, a power of two; a workgroup
// takes WORKGROUP_SIZE / lanes rows. Each lane leaves its sum in workgroup memory, and after a barrier every lane adds
// up what the lanes of its row left. A thread whose row does not exist walks no column, but meets every barrier.
//
// Constant from the host: WORKGROUP_SIZE (u32).

// forward
@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read> gain: array<Element1>;
@group(0) @binding(2) var<storage, read> bias: array<Element2>;
@group(0) @binding(3) var<storage, read_write> statistics: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<Element4>;

// inputGradient: x, gain and result as above, and
@group(0) @binding(2) var<storage, read> savedStatistics: array<f32>;
@group(0) @binding(3) var<storage, read> outputGradient: array<f32>;

var<workgroup> partialA: array<f32, WORKGROUP_SIZE>;
var<workgroup> partialB: array<f32, WORKGROUP_SIZE>;

// Adds up `a`, and apart from it `b`, over the lanes of the thread's row.
fn sumOverLanes(a: f32, b: f32, thread: u32) -> vec2f {
  workgroupBarrier();  // all have read what the last call left
  partialA[thread] = a;
  partialB[thread] = b;
  workgroupBarrier();
  let first = thread - thread % scalars.lanes;
  var sums = vec2f();
  for (var lane = 0u; lane < scalars.lanes; lane++) {
    sums += vec2f(partialA[first + lane], partialB[first + lane]);
  }
  return sums;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
           @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group * (WORKGROUP_SIZE / scalars.lanes) + thread / scalars.lanes;
  let lane = thread % scalars.lanes;
  let isRow = row < scalars.rows;
  let begin = row * scalars.columns;
  let end = select(0u, scalars.columns, isRow);
  let columns = f32(scalars.columns);

  var mean = 0.0;
  if (scalars.centered != 0u) {
    var sum = 0.0;
    for (var column = lane; column < end; column += scalars.lanes) {
      sum += f32(x[begin + column]);
    }
    mean = sumOverLanes(sum, 0.0, thread).x / columns;
  }

  var squares = 0.0;
  for (var column = lane; column < end; column += scalars.lanes) {
    let deviation = f32(x[begin + column]) - mean;
    squares += deviation * deviation;
  }
  let inverse = 1.0 / sqrt(sumOverLanes(squares, 0.0, thread).x / columns + scalars.epsilon);

  for (var column = lane; column < end; column += scalars.lanes) {
    let scaled = (f32(x[begin + column]) - mean) * inverse * f32(gain[column]);
    result[begin + column] = Element4(scaled + select(0.0, f32(bias[column]), scalars.useBias != 0u));
  }
  if (isRow && lane == 0u) {
    statistics[row] = inverse;
    if (scalars.centered != 0u) {
      statistics[scalars.rows + row] = mean;
    }
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn inputGradient(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
                 @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group * (WORKGROUP_SIZE / scalars.lanes) + thread / scalars.lanes;
  let lane = thread % scalars.lanes;
  let isRow = row < scalars.rows;
  let begin = row * scalars.columns;
  let end = select(0u, scalars.columns, isRow);
  let columns = f32(scalars.columns);
  let isCentered = scalars.centered != 0u;

  var inverse = 0.0;
  var mean = 0.0;
  if (isRow) {
    inverse = savedStatistics[row];
    if (isCentered) {
      mean = savedStatistics[scalars.rows + row];
    }
  }

  var sum = 0.0;
  var product = 0.0;
  for (var column = lane; column < end; column += scalars.lanes) {
    let scaled = outputGradient[begin + column] * f32(gain[column]);
    sum += scaled;
    product += scaled * (f32(x[begin + column]) - mean) * inverse;
  }
  let means = sumOverLanes(sum, product, thread) / columns;
  let meanGradient = select(0.0, means.x, isCentered);

  for (var column = lane; column < end; column += scalars.lanes) {
    let scaled = outputGradient[begin + column] * f32(gain[column]);
    let normal = (f32(x[begin + column]) - mean) * inverse;
    var gradient = inverse * (scaled - meanGradient - normal * means.y);
    if (scalars.addToResult != 0u) {
      gradient += f32(result[begin + column]);
    }
    result[begin + column] = Element4(gradient);
  }
}
