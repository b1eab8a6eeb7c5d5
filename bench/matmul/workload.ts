import type { OperationCase } from '../measure-operations.ts';

/** c = a (m × k) · b (k × n); with gradients, also those of a and b for a given gradient of c: three products in all. */
export interface MatmulCase extends OperationCase {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly withGradients: boolean;
}

/** Squares, and the products of the GPT step: rows, inner, columns. */
const shapes: readonly [m: number, k: number, n: number][] = [
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [256, 128, 384],
  [256, 128, 512],
  [256, 512, 128],
  [256, 128, 128],
];

export const cases = casesOf(shapes);

/** Each shape forward, and with gradients. */
export function casesOf(shapes: readonly (readonly [m: number, k: number, n: number])[]): MatmulCase[] {
  return shapes.flatMap(([m, k, n]) =>
    [false, true].map((withGradients) => ({
      name: nameOf([m, k, n], withGradients),
      ...{ m, k, n, withGradients },
      flops: (withGradients ? 6 : 2) * m * k * n,
    })),
  );
}

export function nameOf([m, k, n]: readonly [number, number, number], withGradients: boolean): string {
  return `${m} x ${k} x ${n}, ${withGradients ? 'with gradients' : 'forward'}`;
}

/** Small whole fractions, the same for everyone; `g` is the gradient of c. */
export function operands({ m, k, n }: MatmulCase): { a: Float32Array; b: Float32Array; g: Float32Array } {
  return {
    a: Float32Array.from({ length: m * k }, (_, i) => (i % 7) / 7 / k),
    b: Float32Array.from({ length: k * n }, (_, i) => (i % 5) / 5),
    g: Float32Array.from({ length: m * n }, (_, i) => (i % 3) / 3),
  };
}

export const forwardOf = ({ m, k, n }: MatmulCase): string => nameOf([m, k, n], false);
