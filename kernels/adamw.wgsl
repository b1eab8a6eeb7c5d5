// One step of AdamW (Loshchilov & Hutter, arXiv 1711.05101) on one parameter, every array of `count` elements:
//   g = scale · gradient
//   mean   = beta1 · mean + (1 - beta1) · g
//   square = beta2 · square + (1 - beta2) · g²
//   value  = value · (1 - rate · decay) - rate · (mean / correction1) / (sqrt(square / correction2) + epsilon)
//
// A thread takes ELEMENTS elements, WIDTH at a time and a workgroup apart: Value is a vec4f where count is a multiple of four,
// else an f32. Everything is read once and written once. scale and skip come from step_report.wgsl.

struct Scalars {
  count: u32,
  rate: f32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  decay: f32,
  correction1: f32,
  correction2: f32,
}

var<immediate> scalars: Scalars;

@group(0) @binding(0) var<storage, read> gradient: array<Value>;
@group(0) @binding(1) var<storage, read> report: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> value: array<Value>;
@group(0) @binding(3) var<storage, read_write> mean: array<Value>;
@group(0) @binding(4) var<storage, read_write> square: array<Value>;

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
    let g = scale * gradient[i];
    let m = scalars.beta1 * mean[i] + (1.0 - scalars.beta1) * g;
    let v = scalars.beta2 * square[i] + (1.0 - scalars.beta2) * g * g;
    mean[i] = m;
    square[i] = v;
    let direction = (m / scalars.correction1) / (sqrt(v / scalars.correction2) + scalars.epsilon);
    value[i] = value[i] * (1.0 - scalars.rate * scalars.decay) - scalars.rate * direction;
  }
}
