// result[i] = operation(x[i * xStep], y[i * yStep], z[i * zStep]) for every i < count.
//
// A template: the host appends `fn operation(…)`, one row of the table in src/autograd/operations/pointwise/pointwise.ts. Operands
// have the shape of the result (step 1) or are one number (step 0); an operation of fewer operands ignores the rest,
// whose bindings repeat the first. One thread computes ELEMENTS elements, a workgroup apart, so that neighbouring
// threads touch neighbouring addresses.

@group(0) @binding(0) var<storage, read> x: array<Element0>;
@group(0) @binding(1) var<storage, read> y: array<Element1>;
@group(0) @binding(2) var<storage, read> z: array<Element2>;
@group(0) @binding(3) var<storage, read_write> result: array<Element3>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let start = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE * ELEMENTS + thread;
  for (var i = start; i < min(scalars.count, start + WORKGROUP_SIZE * ELEMENTS); i += WORKGROUP_SIZE) {
    result[i] = Element3(operation(f32(x[i * scalars.xStep]), f32(y[i * scalars.yStep]), f32(z[i * scalars.zStep])));
  }
}
