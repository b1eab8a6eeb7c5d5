// As many multiply-adds as the processor makes: x = x * factor + term, nothing but registers until the end.
//
// Each thread has eight chains, none of which waits for another, and takes 64 multiply-adds a round. Neither factor nor term
// is known to the compiler; x stays near term / (1 - factor).
//
// result: one element a thread. Dispatch: (threads / 64, 1, 1).

@group(0) @binding(0) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let start = f32(id.x) * 1e-6;
  let a = vec4f(scalars.factor);
  let b = vec4f(scalars.term);
  var x = vec4f(start, start + 0.1, start + 0.2, start + 0.3);
  var y = x + 0.4;
  for (var round = 0u; round < scalars.rounds; round++) {
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b);
  }
  result[id.x] = dot(x, vec4f(1.0)) + dot(y, vec4f(1.0));
}
