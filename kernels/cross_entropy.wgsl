// Cross-entropy of logits with the number of the right class, and its gradient. logits are dense, (rows, classes);
// targets are i32, (rows).
//
//   forward        logSumExp[row] = max + log(sum of exp(logits - max)), over the row
//                  losses[row] = (logSumExp[row] - sum of wanted * logits) / divisor;  0 where the target is ignoreIndex
//   backward       inputGradient[row, class] = (exp(logits - logSumExp[row]) - wanted)
//                  * outputGradient[row] / divisor;  0 where the target is ignoreIndex
//   (wanted is 1 - labelSmoothing at the target and 0 elsewhere, and labelSmoothing / classes more for every class)
//   countTargets   divisor = the number of targets that are not ignoreIndex; where it is 0, nothing is divided
//
// A target that is neither a class nor ignoreIndex gives NaN. `divisor` is one number; outputGradient is one for each
// row (gradientStep 1), or one for all (0).
//
// How the work is split. forward: as in softmax.wgsl, a row belongs to `lanes` neighbouring threads, a power of two, each
// of which leaves what it found in workgroup memory for all lanes of the row to combine. backward: one thread per logit,
// since everything that concerns a whole row is saved. countTargets: one workgroup, whose threads walk all targets.
//
// Constant from the host: WORKGROUP_SIZE (u32).

@group(0) @binding(0) var<storage, read> targets: array<i32>;

// forward
@group(0) @binding(1) var<storage, read> divisor: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<Element2>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> logSumExp: array<f32>;

// backward: targets, divisor and logits as above, and
@group(0) @binding(3) var<storage, read> savedLogSumExp: array<f32>;
@group(0) @binding(4) var<storage, read> outputGradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> inputGradient: array<f32>;

// countTargets
@group(0) @binding(1) var<storage, read_write> countedTargets: array<f32>;

var<workgroup> partialMaxima: array<f32, WORKGROUP_SIZE>;
var<workgroup> partialSums: array<f32, WORKGROUP_SIZE>;
var<workgroup> partialBelow: array<f32, WORKGROUP_SIZE>;

// 0, or NaN for a target that is neither a class nor ignored. (WGSL refuses a NaN it can compute beforehand.)
fn invalidTarget(classOfRow: i32) -> f32 {
  let isValid = u32(classOfRow) < scalars.classes;  // a negative class becomes a huge one
  return bitcast<f32>(select(0x7fc00000u, 0u, isValid));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
           @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let row = group * (WORKGROUP_SIZE / scalars.lanes) + thread / scalars.lanes;
  let lane = thread % scalars.lanes;
  let isRow = row < scalars.rows;
  let begin = row * scalars.classes;
  let end = select(0u, scalars.classes, isRow);

  var largest = -3.4028234e38;
  for (var column = lane; column < end; column += scalars.lanes) {
    let logit = f32(logits[begin + column]);
    largest = select(largest, logit, logit > largest);
  }
  partialMaxima[thread] = largest;
  workgroupBarrier();
  for (var other = 0u; other < scalars.lanes; other++) {
    largest = max(largest, partialMaxima[thread - lane + other]);
  }

  var sum = 0.0;
  for (var column = lane; column < end; column += scalars.lanes) {
    sum += exp(f32(logits[begin + column]) - largest);
  }
  partialSums[thread] = sum;
  var below = 0.0;
  if (scalars.labelSmoothing > 0.0) {
    for (var column = lane; column < end; column += scalars.lanes) {
      below += largest - f32(logits[begin + column]);
    }
  }
  partialBelow[thread] = below;
  workgroupBarrier();

  if (isRow && lane == 0u) {
    var total = 0.0;
    for (var other = 0u; other < scalars.lanes; other++) {
      total += partialSums[thread + other];
    }
    let logarithm = log(total);
    logSumExp[row] = largest + logarithm;
    let classOfRow = targets[row];
    var loss = 0.0;
    if (classOfRow != scalars.ignoreIndex) {
      // In this order the difference loses nothing where the target's logit is large.
      loss = largest - f32(logits[begin + u32(classOfRow)]) + logarithm;
      if (scalars.labelSmoothing > 0.0) {
        var totalBelow = 0.0;
        for (var other = 0u; other < scalars.lanes; other++) {
          totalBelow += partialBelow[thread + other];
        }
        let spread = totalBelow / f32(scalars.classes) + logarithm;
        loss = (1.0 - scalars.labelSmoothing) * loss + scalars.labelSmoothing * spread;
      }
      loss = loss / divisor[0] + invalidTarget(classOfRow);
    }
    losses[row] = loss;
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
            @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (i >= scalars.rows * scalars.classes) {
    return;
  }
  let row = i / scalars.classes;
  let classOfRow = targets[row];
  var gradient = 0.0;
  if (classOfRow != scalars.ignoreIndex) {
    let probability = exp(f32(logits[i]) - savedLogSumExp[row]);
    let onehot = select(0.0, 1.0 - scalars.labelSmoothing, i % scalars.classes == u32(classOfRow));
    let wanted = onehot + scalars.labelSmoothing / f32(scalars.classes);
    let scale = outputGradient[row * scalars.gradientStep] / divisor[0];
    gradient = (probability - wanted) * scale + invalidTarget(classOfRow);
  }
  inputGradient[i] = gradient;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn countTargets(@builtin(local_invocation_index) thread: u32) {
  var counted = 0u;
  for (var row = thread; row < scalars.rows; row += WORKGROUP_SIZE) {
    counted += select(0u, 1u, targets[row] != scalars.ignoreIndex);
  }
  partialSums[thread] = f32(counted);
  workgroupBarrier();
  if (thread == 0u) {
    var total = 0.0;
    for (var other = 0u; other < WORKGROUP_SIZE; other++) {
      total += partialSums[other];
    }
    countedTargets[0] = total;
  }
}
