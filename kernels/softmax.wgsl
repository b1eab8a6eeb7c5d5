// Softmax over the rows of a matrix, and its gradient. All matrices are dense, (rows, columns).
//
//   forward    softmax      result = exp(x - max) / sum of exp(x - max)
//              logSoftmax   result = x - max - log(sum of exp(x - max))
//   backward   softmax      inputGradient = saved * (outputGradient - sum of outputGradient * saved)
//              logSoftmax   inputGradient = outputGradient - exp(saved) * sum of outputGradient
//
// Maximum and sums run over one row; `saved` is the result of the forward pass. The maximum is taken off first, so that
// no exponential overflows and one of them is 1.
//
// How the work is split. A row belongs to `lanes` neighbouring threads, a power of two of at most WORKGROUP_SIZE; a
// workgroup takes WORKGROUP_SIZE / lanes rows. The lanes walk their row side by side, each leaves what it found in
// workgroup memory, and after a barrier every lane combines what all lanes of its row left. That is one barrier for each
// combination where a tree needs one a level, and on a software adapter barriers are most of the cost of a short row.
// A thread whose row does not exist walks no column, but meets every barrier.
//
// Constants from the host: WORKGROUP_SIZE (u32), LOGARITHM (bool: logSoftmax).

// forward
@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read_write> result: array<Element1>;

// backward
@group(0) @binding(0) var<storage, read> outputGradient: array<f32>;
@group(0) @binding(1) var<storage, read> saved: array<Element1>;
@group(0) @binding(2) var<storage, read_write> inputGradient: array<f32>;

var<workgroup> partialSums: array<f32, WORKGROUP_SIZE>;
var<workgroup> partialMaxima: array<f32, WORKGROUP_SIZE>;

fn sumOverLanes(value: f32, thread: u32) -> f32 {
  partialSums[thread] = value;
  workgroupBarrier();
  let first = thread - thread % scalars.lanes;
  var sum = 0.0;
  for (var lane = 0u; lane < scalars.lanes; lane++) {
    sum += partialSums[first + lane];
  }
  return sum;
}

fn maximumOverLanes(value: f32, thread: u32) -> f32 {
  partialMaxima[thread] = value;
  workgroupBarrier();
  let first = thread - thread % scalars.lanes;
  var maximum = value;
  for (var lane = 0u; lane < scalars.lanes; lane++) {
    maximum = max(maximum, partialMaxima[first + lane]);
  }
  return maximum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
           @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group * (WORKGROUP_SIZE / scalars.lanes) + thread / scalars.lanes;
  let begin = row * scalars.columns + thread % scalars.lanes;
  let end = select(begin, (row + 1u) * scalars.columns, row < scalars.rows);

  var largest = -3.4028234e38;
  for (var i = begin; i < end; i += scalars.lanes) {
    let value = f32(x[i]);
    largest = select(largest, value, value > largest);
  }
  let maximum = maximumOverLanes(largest, thread);

  var sum = 0.0;
  for (var i = begin; i < end; i += scalars.lanes) {
    sum += exp(f32(x[i]) - maximum);
  }
  let total = sumOverLanes(sum, thread);

  let logarithm = log(total);
  for (var i = begin; i < end; i += scalars.lanes) {
    if (LOGARITHM) {
      result[i] = Element1(f32(x[i]) - maximum - logarithm);
    } else {
      result[i] = Element1(exp(f32(x[i]) - maximum) / total);
    }
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
            @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group * (WORKGROUP_SIZE / scalars.lanes) + thread / scalars.lanes;
  let begin = row * scalars.columns + thread % scalars.lanes;
  let end = select(begin, (row + 1u) * scalars.columns, row < scalars.rows);

  var sum = 0.0;
  for (var i = begin; i < end; i += scalars.lanes) {
    sum += select(outputGradient[i] * f32(saved[i]), outputGradient[i], LOGARITHM);
  }
  let total = sumOverLanes(sum, thread);

  for (var i = begin; i < end; i += scalars.lanes) {
    if (LOGARITHM) {
      inputGradient[i] = outputGradient[i] - exp(f32(saved[i])) * total;
    } else {
      inputGradient[i] = f32(saved[i]) * (outputGradient[i] - total);
    }
  }
}
