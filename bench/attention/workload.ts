import type { OperationCase } from '../measure-operations.ts';

/** Causal attention, forward and backward of the sum of its output, for queries, keys and values. */
export interface AttentionCase extends OperationCase {
  readonly time: number;
}

export const shape = { batch: 2, heads: 4, headSize: 32 } as const;

export const cases = [64, 256, 1024].map(caseOf);

export function caseOf(time: number): AttentionCase {
  // Two products forward and five backward, over the half of all pairs that a causal mask leaves.
  const flops = 7 * 2 * shape.headSize * 0.5 * shape.batch * shape.heads * time * time;
  return { name: `${time} positions`, time, flops };
}

/** Elements of q, of k and of v. */
export const sizeOf = ({ time }: AttentionCase): number => shape.batch * time * shape.heads * shape.headSize;

/** Numbers in ±0.5, the same for everyone. */
export function values(one: AttentionCase): Float32Array[] {
  return [3, 5, 7].map((stride) =>
    Float32Array.from({ length: sizeOf(one) }, (_, i) => ((stride * i) % 11) / 11 - 0.5),
  );
}
