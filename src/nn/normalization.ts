/** The normalization layers. */
import { layerNorm, rmsNorm } from '../autograd/operations/normalization.ts';
import { ones, zeros } from '../tensor/create.ts';
import { checkOptions } from '../tensor/options.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BuildOptions, besideMatrices, buildOptions, Module } from './module.ts';
import { Parameter } from './parameter.ts';

/** Scales the last axis to unit root mean square, times a learned gain (arXiv 1910.07467). */
export class RMSNorm extends Module {
  readonly gain: Parameter;
  readonly epsilon: number;

  constructor(width: number, options: Omit<BuildOptions, 'random'> & { epsilon?: number } = {}) {
    super();
    checkOptions('RMSNorm', options, [...buildOptions, 'epsilon'], 'epsilon');
    const { epsilon = 1e-6, ...build } = options;
    this.gain = new Parameter(ones([width], besideMatrices(build)), 'norm');
    this.epsilon = epsilon;
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.gain, { epsilon: this.epsilon });
  }
}

/** Brings the last axis to mean 0 and variance 1, times a gain, plus a bias if wanted (arXiv 1607.06450). */
export class LayerNorm extends Module {
  readonly gain: Parameter;
  readonly bias: Parameter | null;
  readonly epsilon: number;

  constructor(width: number, options: Omit<BuildOptions, 'random'> & { epsilon?: number; bias?: boolean } = {}) {
    super();
    checkOptions('LayerNorm', options, [...buildOptions, 'epsilon', 'bias'], 'epsilon');
    const { epsilon = 1e-5, bias = true, ...others } = options;
    const build = besideMatrices(others);
    this.gain = new Parameter(ones([width], build), 'norm');
    this.bias = bias ? new Parameter(zeros([width], build), 'norm') : null;
    this.epsilon = epsilon;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.gain, this.bias, { epsilon: this.epsilon });
  }
}
