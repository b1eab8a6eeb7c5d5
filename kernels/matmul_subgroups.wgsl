// Matrix product by one subgroup per tile:
//   c[batch, row, column] = relu( sum over k of a[batch, row, k] * b[batch, k, column] + bias[column] + residual[batch, row, column] + what c holds )
//
// The same product, scalars and bindings as matmul.wgsl, for adapters that emulate a subgroup with the vector registers of a CPU
// (Mesa's lavapipe: 8 lanes). There a multiply-add of a whole subgroup is two instructions, while every read from memory,
// workgroup memory too, is done lane by lane and costs as much as twenty of them. So this kernel is built around
// few reads: no workgroup memory, no barrier, four floats at a time, and what one lane has read the others take from its
// register by a shuffle. Four times as fast there as matmul.wgsl with its best tile.
//
// How the work is split. A workgroup is one subgroup of LANES invocations and computes a TILE_M x TILE_N tile of c. A lane holds
// TILE_N / LANES columns, in groups of four, for all TILE_M rows. In one step along k of length 4
//   - the lanes read TILE_M x 4 values of a, each value once, spread over the subgroup;
//   - a lane reads 4 x 4 values of b for each of its column groups, for itself alone;
//   - row by row, the 4 values of a are shuffled to all lanes and multiplied with the lane's values of b.
//
// What it needs: in a and in b one axis is contiguous (stride 1), and this axis' length, the other strides and the offset are multiples
// of 4; so is n. Anything else is for matmul.wgsl. The host rounds the sizes of the bound buffers up to 16 bytes.
//
// Dispatch: (ceil(n / TILE_N), ceil(m / TILE_M), batch); each at most 65535.
// Constants from the host:
//   LANES: u32, a multiple of 4. The subgroup size (the adapter's smallest and largest subgroup size must agree).
//   TILE_M, TILE_N: u32. TILE_M a multiple of LANES, TILE_N of 4 * LANES.
//   TRANSPOSED_A, TRANSPOSED_B: bool. The contiguous axis of a is k (false) or m (true), that of b is n (false) or k (true).

const READS_OF_A = TILE_M / LANES;
const COLUMN_GROUPS = TILE_N / LANES / 4;

@group(0) @binding(0) var<storage, read> a: array<vec4<Element0>>;
@group(0) @binding(1) var<storage, read> b: array<Stored1>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<Element2>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<Element3>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<Element4>>;

// By their bits: compilers of shaders may take it that no number is NaN.
fn areNaN(values: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(values) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let m = scalars.m;
  let n = scalars.n;
  let k = scalars.k;
  let firstRow = workgroup.y * TILE_M;
  let firstColumn = workgroup.x * TILE_N;
  let baseA = scalars.aOffset + workgroup.z * scalars.aBatch;
  let baseB = scalars.bOffset + workgroup.z * scalars.bBatch;

  var sums: array<array<vec4f, COLUMN_GROUPS>, TILE_M>;

  // Rows and columns beyond the matrix read the last ones again: their sums are never stored. Beyond k the values must be 0.
  for (var firstK = 0u; firstK < k; firstK += 4) {
    var valuesOfA: array<vec4f, READS_OF_A>;
    for (var i = 0u; i < READS_OF_A; i++) {
      if (TRANSPOSED_A) {
        // A vector is four rows at one k; four neighbouring lanes hold the four k of the same rows.
        let row = min(firstRow + (i * LANES + lane) / 4 * 4, m - 4);
        let inner = firstK + lane % 4;
        let values = vec4f(a[(baseA + row + min(inner, k - 1) * scalars.aColumn) / 4]);
        valuesOfA[i] = select(vec4f(), values, inner < k);
      } else {
        // A vector is four k of one row; a lane holds one row.
        let row = min(firstRow + i * LANES + lane, m - 1);
        valuesOfA[i] = vec4f(a[(baseA + row * scalars.aRow + firstK) / 4]);
      }
    }

    for (var j = 0u; j < COLUMN_GROUPS; j++) {
      let column = min(firstColumn + 4 * (j * LANES + lane), n - 4);
      var valuesOfB: array<vec4f, 4>;  // [k], the vector is four columns
      if (TRANSPOSED_B) {
        let first = (baseB + column * scalars.bColumn + firstK) / 4;
        let stride = scalars.bColumn / 4;
        let block = transpose(mat4x4f(
          loadB(first), loadB(first + stride), loadB(first + 2 * stride), loadB(first + 3 * stride)));
        valuesOfB = array(block[0], block[1], block[2], block[3]);
      } else {
        for (var inner = 0u; inner < 4; inner++) {
          let values = loadB((baseB + min(firstK + inner, k - 1) * scalars.bRow + column) / 4);
          valuesOfB[inner] = select(vec4f(), values, firstK + inner < k);
        }
      }

      // Two short loops, not one of TILE_M: a long one is not unrolled, and then sums does not live in registers.
      for (var i = 0u; i < READS_OF_A; i++) {
        for (var source = 0u; source < LANES; source++) {
          var values: vec4f;  // the four k of one row
          if (TRANSPOSED_A) {
            let first = source / 4 * 4;
            let component = source % 4;
            values = vec4f(
              subgroupShuffle(valuesOfA[i], first)[component],
              subgroupShuffle(valuesOfA[i], first + 1)[component],
              subgroupShuffle(valuesOfA[i], first + 2)[component],
              subgroupShuffle(valuesOfA[i], first + 3)[component]);
          } else {
            values = subgroupShuffle(valuesOfA[i], source);
          }
          sums[i * LANES + source][j] +=
            values.x * valuesOfB[0] + values.y * valuesOfB[1] + values.z * valuesOfB[2] + values.w * valuesOfB[3];
        }
      }
    }
  }

  for (var j = 0u; j < COLUMN_GROUPS; j++) {
    let column = firstColumn + 4 * (j * LANES + lane);
    var biases = vec4f();
    if (scalars.useBias != 0u) {
      biases = vec4f(bias[min(column, n - 4) / 4]);
    }
    // A loop of its own, of a length that the compiler cannot know: unrolled, these reads would take it half a second more.
    var before: array<vec4f, TILE_M>;
    let rowsBefore = select(0, TILE_M, scalars.addToResult + scalars.useResidual != 0u);
    for (var i = 0u; i < rowsBefore; i++) {
      let index = ((workgroup.z * m + min(firstRow + i, m - 1)) * n + min(column, n - 4)) / 4;
      before[i] = select(vec4f(), vec4f(c[index]), scalars.addToResult != 0u);
      if (scalars.useResidual != 0u) {
        before[i] += vec4f(residual[index]);
      }
    }
    for (var i = 0u; i < TILE_M; i++) {
      let row = firstRow + i;
      var values = sums[i][j] + biases + before[i];
      values = select(vec4f(), values, (values > vec4f()) | areNaN(values) | vec4<bool>(scalars.rectify == 0u));
      if (row < m && column < n) {
        c[((workgroup.z * m + row) * n + column) / 4] = vec4<Element4>(values);
      }
    }
  }
}
