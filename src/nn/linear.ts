import { matmul } from '../autograd/operations/matmul.ts';
import { normal, zeros } from '../tensor/create.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BuildOptions, Module } from './module.ts';
import { Parameter, type ParameterKind } from './parameter.ts';

export interface LinearOptions extends BuildOptions {
  bias?: boolean;
  kind?: ParameterKind;
}

/** x · W (+ b): (…, inputs) → (…, outputs). W starts normal with deviation 1/√inputs, b at 0. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(inputs: number, outputs: number, { bias = false, kind = 'weight', ...options }: LinearOptions) {
    super();
    const deviation = 1 / Math.sqrt(inputs);
    this.weight = new Parameter(normal([inputs, outputs], { ...options, deviation }), kind);
    this.bias = bias ? new Parameter(zeros([outputs], options), 'bias') : null;
  }

  forward(x: Tensor): Tensor {
    return matmul(x, this.weight, this.bias);
  }
}
