/** The embedding layer. */
import { embedding } from '../autograd/operations/embedding.ts';
import { checkOptions } from '../tensor/options.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BuildOptions, buildOptions, initialNormal, Module } from './module.ts';
import { Parameter } from './parameter.ts';

/** Rows of a table by index: i32 (…) → (…, width). The table starts normal with the given deviation. */
export class Embedding extends Module {
  readonly table: Parameter;

  constructor(count: number, width: number, options: BuildOptions & { deviation?: number }) {
    super();
    checkOptions('Embedding', options, [...buildOptions, 'deviation'], 'deviation');
    const { deviation = 1, ...build } = options;
    this.table = new Parameter(initialNormal([count, width], { ...build, deviation }), 'embedding');
  }

  forward(indices: Tensor): Tensor {
    return embedding(indices, this.table);
  }
}
