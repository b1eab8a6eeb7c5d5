// One step of stochastic gradient descent with momentum on one parameter, every array of `count` elements:
//   g = scale · gradient
//   velocity = momentum · velocity + g
//   value = value · (1 - rate · decay) - rate · velocity
//
// A thread takes ELEMENTS elements, WIDTH at a time and a workgroup apart (see adamw.wgsl). scale and skip come from step_report.wgsl.
// Where WATCHED, changes[changesStart + group] = sum |new value - old value| over the group's share.

@group(0) @binding(0) var<storage, read> gradient: array<Value>;
@group(0) @binding(1) var<storage, read> report: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> value: array<Value>;
@group(0) @binding(3) var<storage, read_write> velocity: array<Value>;
@group(0) @binding(4) var<storage, read_write> changes: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let scale = report[0].x;
  let skip = report[0].y != 0.0;
  let end = select(scalars.count / WIDTH, 0u, skip);
  let group = workgroup.y * workgroups.x + workgroup.x;
  let share = WORKGROUP_SIZE * (ELEMENTS / WIDTH);
  let start = group * share + thread;
  var moved = Value();
  for (var i = start; i < min(end, start + share); i += WORKGROUP_SIZE) {
    let v = scalars.momentum * velocity[i] + scale * gradient[i];
    velocity[i] = v;
    let before = value[i];
    let after = before * (1.0 - scalars.rate * scalars.decay) - scalars.rate * v;
    value[i] = after;
    moved += abs(after - before);
  }
  if (WATCHED) {
    partial[thread] = sumOf(moved);
    workgroupBarrier();
    // log2(WORKGROUP_SIZE) rounds, a number that the compiler is not told: it would unroll them, every barrier anew, and take long.
    let width = min(scalars.count, 1u) * WORKGROUP_SIZE;
    for (var parts = 2u; parts <= width; parts *= 2u) {
      let half = WORKGROUP_SIZE / parts;
      if (thread < half) {
        partial[thread] += partial[thread + half];
      }
      workgroupBarrier();
    }
    if (thread == 0u) {
      changes[scalars.changesStart + group] = partial[0];
    }
  }
}
