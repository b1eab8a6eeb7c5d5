// Matrix product, any strides:
//   c[batch, row, column] = relu( sum over k of a[batch, row, k] * b[batch, k, column] + bias[column] + residual[batch, row, column] + what c holds )
// where everything but the sum is optional: each would be a pass over c of its own.
//
// a and b are read through strides, so transposed, sliced and broadcast operands (batch stride 0) need no copy.
// c and residual are dense, (batch, m, n).
//
// How the work is split. A workgroup computes a TILE_M x TILE_N tile of c. It walks along k in steps of TILE_K: all threads
// together copy one tile of a and one of b into workgroup memory, then every thread multiplies what it needs from there.
// A thread computes THREAD_M x THREAD_N values and keeps them in registers: each value it reads from workgroup memory is
// used THREAD_M or THREAD_N times.
//
// Why vec4f. Both tiles are stored in groups of four, along rows of a and columns of b: one vector read feeds sixteen
// multiply-adds. So a thread's rows and columns come in groups of four, with the groups of its neighbours in between
// (neighbouring threads touch neighbouring addresses).
//
// Dispatch: (ceil(n / TILE_N), ceil(m / TILE_M), batch); each at most 65535.
// Constants from the host:
//   TILE_M, TILE_N, TILE_K, THREAD_M, THREAD_N: u32. The THREADs are multiples of 4 and divide the TILEs;
//     the workgroup has TILE_M / THREAD_M * TILE_N / THREAD_N invocations.
//   TRANSPOSED_A, TRANSPOSED_B: bool. Which axis neighbouring threads walk while they copy: true where m is the contiguous
//     axis of a, or k that of b. Only a matter of speed, on hardware that merges neighbouring reads; false is always right.

const THREADS_M = TILE_M / THREAD_M;
const THREADS_N = TILE_N / THREAD_N;
const THREADS = THREADS_M * THREADS_N;
const GROUPS_M = TILE_M / 4;
const GROUPS_N = TILE_N / 4;
// One vector of padding a line, so that threads that walk k while they copy do not all write to one memory bank.
const LINE_A = GROUPS_M + 1;
const LINE_B = GROUPS_N + 1;

@group(0) @binding(0) var<storage, read> a: array<Element0>;
@group(0) @binding(1) var<storage, read> b: array<Stored1>;
@group(0) @binding(2) var<storage, read> bias: array<Element2>;
@group(0) @binding(3) var<storage, read> residual: array<Element3>;
@group(0) @binding(4) var<storage, read_write> c: array<Element4>;

var<workgroup> tileA: array<vec4f, TILE_K * LINE_A>;  // [k][group of four rows]
var<workgroup> tileB: array<vec4f, TILE_K * LINE_B>;  // [k][group of four columns]

// Outside the matrices both answer 0, which adds nothing. A select instead of a branch: cheaper everywhere we measured.
fn elementOfA(base: u32, row: u32, k: u32) -> f32 {
  let inside = row < scalars.m && k < scalars.k;
  return select(0.0, f32(a[select(0u, base + row * scalars.aRow + k * scalars.aColumn, inside)]), inside);
}

fn elementOfB(base: u32, k: u32, column: u32) -> f32 {
  let inside = column < scalars.n && k < scalars.k;
  return select(0.0, loadB(select(0u, base + k * scalars.bRow + column * scalars.bColumn, inside)), inside);
}

// By their bits: compilers of shaders may take it that no number is NaN.
fn areNaN(values: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(values) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let firstRow = workgroup.y * TILE_M;
  let firstColumn = workgroup.x * TILE_N;
  let baseA = scalars.aOffset + workgroup.z * scalars.aBatch;
  let baseB = scalars.bOffset + workgroup.z * scalars.bBatch;

  var sums: array<array<vec4f, THREAD_N / 4>, THREAD_M>;

  for (var firstK = 0u; firstK < scalars.k; firstK += TILE_K) {
    for (var i = thread; i < GROUPS_M * TILE_K; i += THREADS) {
      let group = select(i / TILE_K, i % GROUPS_M, TRANSPOSED_A);
      let inner = select(i % TILE_K, i / GROUPS_M, TRANSPOSED_A);
      let row = firstRow + 4 * group;
      let k = firstK + inner;
      tileA[inner * LINE_A + group] = vec4f(
        elementOfA(baseA, row, k), elementOfA(baseA, row + 1, k), elementOfA(baseA, row + 2, k), elementOfA(baseA, row + 3, k));
    }
    for (var i = thread; i < GROUPS_N * TILE_K; i += THREADS) {
      let group = select(i % GROUPS_N, i / TILE_K, TRANSPOSED_B);
      let inner = select(i / GROUPS_N, i % TILE_K, TRANSPOSED_B);
      let column = firstColumn + 4 * group;
      let k = firstK + inner;
      tileB[inner * LINE_B + group] = vec4f(
        elementOfB(baseB, k, column), elementOfB(baseB, k, column + 1), elementOfB(baseB, k, column + 2), elementOfB(baseB, k, column + 3));
    }
    workgroupBarrier();

    for (var inner = 0u; inner < TILE_K; inner++) {
      var valuesOfB: array<vec4f, THREAD_N / 4>;
      for (var j = 0u; j < THREAD_N / 4; j++) {
        valuesOfB[j] = tileB[inner * LINE_B + j * THREADS_N + local.x];
      }
      for (var i = 0u; i < THREAD_M / 4; i++) {
        let valuesOfA = tileA[inner * LINE_A + i * THREADS_M + local.y];
        for (var j = 0u; j < THREAD_N / 4; j++) {
          sums[4 * i][j] += valuesOfA.x * valuesOfB[j];
          sums[4 * i + 1][j] += valuesOfA.y * valuesOfB[j];
          sums[4 * i + 2][j] += valuesOfA.z * valuesOfB[j];
          sums[4 * i + 3][j] += valuesOfA.w * valuesOfB[j];
        }
      }
    }
    workgroupBarrier();
  }

  for (var j = 0u; j < THREAD_N / 4; j++) {
    let column = firstColumn + 4 * (j * THREADS_N + local.x);
    var biases = vec4f();
    if (scalars.useBias != 0u) {
      for (var i = 0u; i < 4; i++) {
        biases[i] = f32(bias[min(column + i, scalars.n - 1)]);
      }
    }
    // Two short loops, not one of THREAD_M: a long body is not unrolled, and then sums does not live in registers.
    for (var group = 0u; group < THREAD_M / 4; group++) {
      for (var i = 0u; i < 4; i++) {
        let row = firstRow + 4 * (group * THREADS_M + local.y) + i;
        var values = sums[4 * group + i][j] + biases;
        let index = (workgroup.z * scalars.m + row) * scalars.n + column;
        // Beyond the last row or column another value is read and not stored.
        if (scalars.addToResult != 0u) {
          values += vec4f(f32(c[index]), f32(c[index + 1]), f32(c[index + 2]), f32(c[index + 3]));
        }
        if (scalars.useResidual != 0u) {
          values += vec4f(f32(residual[index]), f32(residual[index + 1]), f32(residual[index + 2]), f32(residual[index + 3]));
        }
        if (scalars.rectify != 0u) {
          values = select(vec4f(), values, (values > vec4f()) | areNaN(values));
        }
        if (row < scalars.m) {
          if (column < scalars.n) { c[index] = Element4(values.x); }
          if (column + 1 < scalars.n) { c[index + 1] = Element4(values.y); }
          if (column + 2 < scalars.n) { c[index + 2] = Element4(values.z); }
          if (column + 3 < scalars.n) { c[index + 3] = Element4(values.w); }
        }
      }
    }
  }
}
