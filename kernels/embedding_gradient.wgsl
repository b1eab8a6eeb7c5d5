// The gradient of a table whose rows were taken by index. The table is (count, width), indices are i32 (tokens).
//
//   link     links[token]: the next token of the same index, or `tokens` if there is none; negative where the token is
//            not the first of its index
//   sum      inputGradient[indices[token], column] = sum of outputGradient[t, column] over the tokens t of that index,
//            computed by the first of them
//
// The sum needs no atomics and adds in the order of the tokens, so it gives the same bits every time. Rows of
// inputGradient that no token names are left alone: the host has filled them with 0.
//
// How the work is split. sum: one thread per token and column; neighbouring threads take neighbouring columns. It follows the
// links from a first token to the last of its index; the threads of other tokens have nothing to do.
// link: one thread per token looks at the tokens before and behind it, each way only as far as the nearest of its index.
// So the whole costs a pass over the gradient plus, at the worst, tokens squared comparisons, whatever the table's size.

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<storage, read> indices: array<i32>;

// link
@group(0) @binding(1) var<storage, read_write> links: array<i32>;

// sum
@group(0) @binding(1) var<storage, read> savedLinks: array<i32>;
@group(0) @binding(2) var<storage, read> outputGradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> inputGradient: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn link(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let token = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (token >= scalars.tokens) {
    return;
  }
  let index = indices[token];
  var next = token + 1u;
  while (next < scalars.tokens && indices[next] != index) {
    next++;
  }
  var behind = token;  // one more than the token looked at
  while (behind > 0u && indices[behind - 1u] != index) {
    behind--;
  }
  links[token] = select(-i32(next), i32(next), behind == 0u);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sum(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
       @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + thread;
  if (i >= scalars.tokens * scalars.width) {
    return;
  }
  let column = i % scalars.width;
  let first = i / scalars.width;
  let index = u32(indices[first]);
  if (savedLinks[first] < 0 || index >= scalars.count) {
    return;
  }
  var total = 0.0;
  for (var token = first; token < scalars.tokens; token = u32(abs(savedLinks[token]))) {
    total += outputGradient[token * scalars.width + column];
  }
  inputGradient[index * scalars.width + column] = total;
}
