/** A small product in the form that was opened, held against plain loops: an engine that compiles it wrong is not used. */
import type { LinearMemory } from './linear-memory.ts';

/** Tiles that are whole and tiles at the edge, in every form. */
const [m, n, k] = [9, 37, 21];
const scratchBytes = 4 * (6 * 16 + 64 * 1024 + 48 * k);

/** The largest error of any element, in units of what the rounding of its sum explains; infinite where one is no number. */
export function largestDifference(memory: LinearMemory): number {
  const bytes = 4 * (m * k + k * n + n + m * n);
  const address = memory.allocate(bytes);
  if (address === null) return 0;
  const numbers = new Float32Array(memory.buffer, address, bytes / 4);
  for (let i = 0; i < numbers.length; i++) numbers[i] = Math.fround(Math.sin(7 * i));
  const [a, b, bias, c] = [0, m * k, m * k + k * n, m * k + k * n + n];
  let largest = 0;
  for (const [aRow, aColumn] of [
    [k, 1],
    [1, m],
  ]) {
    for (const [bRow, bColumn] of [
      [n, 1],
      [1, k],
    ]) {
      const values: Readonly<Record<string, number>> = {
        ...{ a: address, b: address + 4 * b, bias: address + 4 * bias, residual: address, c: address + 4 * c },
        ...{ m, n, k, aOffset: 0, aBatch: 0, aRow, aColumn, bOffset: 0, bBatch: 0, bRow, bColumn },
        ...{ useBias: 1, addToResult: 0, useResidual: 0, rectify: 0, bBytes: 4, rowsOfPart: 12, columnsOfPart: 48 },
      };
      const matmul = memory.find('matmul');
      const isDone = memory.call(
        matmul,
        matmul.parameters.map((name) => values[name]),
        { parts: 1, scratchBytes },
        0,
        1,
      );
      if (!isDone) continue;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = numbers[bias + j];
          let size = Math.abs(sum);
          for (let l = 0; l < k; l++) {
            const term = numbers[a + i * aRow + l * aColumn] * numbers[b + l * bRow + j * bColumn];
            sum += term;
            size += Math.abs(term);
          }
          const difference = Math.abs(numbers[c + i * n + j] - sum) / (k * 2 ** -23 * size);
          largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference);
        }
      }
    }
  }
  memory.free(address, bytes);
  return largest;
}
