/** The embedding layer. */
import { embedding } from '../autograd/operations/embedding.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BuildOptions, initialNormal, Module } from './module.ts';
import { Parameter } from './parameter.ts';

/** Rows of a table by index: i32 (…) → (…, width). The table starts normal with the given deviation. */
export class Embedding extends Module {
  readonly table: Parameter;

  constructor(count: number, width: number, { deviation = 1, ...options }: BuildOptions & { deviation?: number }) {
    super();
    this.table = new Parameter(initialNormal([count, width], { ...options, deviation }), 'embedding');
  }

  forward(indices: Tensor): Tensor {
    return embedding(indices, this.table);
  }
}
