// One step of stochastic gradient descent with momentum on one parameter, every array of `count` elements:
//   g = scale · gradient
//   velocity = momentum · velocity + g
//   value = value · (1 - rate · decay) - rate · velocity
//
// A thread takes ELEMENTS elements, WIDTH at a time and a workgroup apart (see adamw.wgsl). scale and skip come from step_report.wgsl.

struct Scalars {
  count: u32,
  rate: f32,
  momentum: f32,
  decay: f32,
}

var<immediate> scalars: Scalars;

@group(0) @binding(0) var<storage, read> gradient: array<Value>;
@group(0) @binding(1) var<storage, read> report: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> value: array<Value>;
@group(0) @binding(3) var<storage, read_write> velocity: array<Value>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let scale = report[0].x;
  let skip = report[0].y != 0.0;
  let end = select(scalars.count / WIDTH, 0u, skip);
  let group = workgroup.y * workgroups.x + workgroup.x;
  let share = WORKGROUP_SIZE * (ELEMENTS / WIDTH);
  let start = group * share + thread;
  for (var i = start; i < min(end, start + share); i += WORKGROUP_SIZE) {
    let v = scalars.momentum * velocity[i] + scale * gradient[i];
    velocity[i] = v;
    value[i] = value[i] * (1.0 - scalars.rate * scalars.decay) - scalars.rate * v;
  }
}
