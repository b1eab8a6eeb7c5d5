// Matrix product, the second version: tiles in workgroup memory.
//
// The 16 x 16 threads of a workgroup compute 16 x 16 elements of c. They walk along k in steps of 16: together they copy a tile of
// a and a tile of b into workgroup memory, each thread one value of each, and then every thread reads 16 + 16 values from there.
// A value comes from global memory once for 16 uses; but there are still two reads, now of workgroup memory, for every
// multiply-add.
//
// Dispatch: (ceil(n / 16), ceil(m / 16), batch). Scalars and bindings are those of kernels/matmul.wgsl.

const TILE = 16u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;  // not used here
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

var<workgroup> tileA: array<f32, TILE * TILE>;
var<workgroup> tileB: array<f32, TILE * TILE>;

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = id.y;
  let column = id.x;
  let baseA = scalars.aOffset + id.z * scalars.aBatch;
  let baseB = scalars.bOffset + id.z * scalars.bBatch;
  var sum = 0.0;
  for (var first = 0u; first < scalars.k; first += TILE) {
    let kOfA = first + local.x;
    let kOfB = first + local.y;
    var valueOfA = 0.0;
    var valueOfB = 0.0;
    if (row < scalars.m && kOfA < scalars.k) { valueOfA = a[baseA + row * scalars.aRow + kOfA * scalars.aColumn]; }
    if (column < scalars.n && kOfB < scalars.k) { valueOfB = b[baseB + kOfB * scalars.bRow + column * scalars.bColumn]; }
    tileA[local.y * TILE + local.x] = valueOfA;
    tileB[local.y * TILE + local.x] = valueOfB;
    workgroupBarrier();
    for (var inner = 0u; inner < TILE; inner++) {
      sum += tileA[local.y * TILE + inner] * tileB[inner * TILE + local.x];
    }
    workgroupBarrier();
  }
  if (row < scalars.m && column < scalars.n) {
    if (scalars.useBias != 0u) { sum += bias[column]; }
    c[(id.z * scalars.m + row) * scalars.n + column] = sum;
  }
}
