// Between f32 and i32, element by element.
//   toIntegers:   integers[i] = floats[i] cut off towards 0; what an i32 cannot hold becomes its largest or smallest, NaN 0
//   fromIntegers: rounded[i] = source[i], rounded to the nearest f32
//
// A thread takes ELEMENTS elements, a workgroup apart.

@group(0) @binding(0) var<storage, read> floats: array<f32>;
@group(0) @binding(1) var<storage, read_write> integers: array<i32>;
@group(0) @binding(0) var<storage, read> source: array<i32>;
@group(0) @binding(1) var<storage, read_write> rounded: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn toIntegers(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
              @builtin(local_invocation_index) thread: u32) {
  let start = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    let value = floats[i];
    // 2^31 is the smallest f32 above the largest i32.
    var whole = i32(clamp(value, -2147483648.0, 2147483520.0));
    if (value >= 2147483648.0) { whole = 2147483647; }
    integers[i] = select(whole, 0, isNaN(value));
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn fromIntegers(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
                @builtin(local_invocation_index) thread: u32) {
  let start = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    rounded[i] = f32(source[i]);
  }
}
