/** The linear layer. */
import type { CrossEntropyOptions } from '../autograd/operations/cross-entropy.ts';
import { linearCrossEntropy } from '../autograd/operations/linear-cross-entropy.ts';
import { type MatmulOptions, matmul } from '../autograd/operations/matmul/matmul.ts';
import { add, relu } from '../autograd/operations/pointwise/pointwise.ts';
import { zeros } from '../tensor/create.ts';
import { checkOptions } from '../tensor/options.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BuildOptions, besideMatrices, buildOptions, initialNormal, Module } from './module.ts';
import { Parameter, type ParameterKind } from './parameter.ts';

export interface LinearOptions extends BuildOptions {
  bias?: boolean;
  kind?: ParameterKind;
}

/** What adds to a Linear: x → the same shape as x · W, as if `change()`, of the shape of W, were added to W. */
export interface LinearAdapter extends Module {
  change(): Tensor;
  /** (…, rank) and (rank, outputs), whose product is what it adds for x. */
  factors(x: Tensor): readonly [Tensor, Tensor];
}

/**
 * x · W (+ b): (…, inputs) → (…, outputs). W starts normal with deviation 1/√inputs, b at 0. An adapter (see `lora.ts`) adds
 * its output, unless it is merged into W. What a layer adds behind it, a residual or a ReLU, it can do on the way, see `matmul`.
 */
export class Linear extends Module<[Tensor, MatmulOptions?]> {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  adapter: LinearAdapter | null = null;

  constructor(inputs: number, outputs: number, options: LinearOptions) {
    super();
    checkOptions('Linear', options, [...buildOptions, 'bias', 'kind'], 'bias');
    const { bias = false, kind = 'weight', ...build } = options;
    const deviation = 1 / Math.sqrt(inputs);
    this.weight = new Parameter(initialNormal([inputs, outputs], { ...build, deviation }), kind);
    this.bias = bias ? new Parameter(zeros([outputs], besideMatrices(build)), 'bias') : null;
  }

  /** Whether W holds the adapter's change. */
  get isMerged(): boolean {
    return this.weight.original !== null;
  }

  forward(x: Tensor, options: MatmulOptions = {}): Tensor {
    checkOptions('Linear', options, ['residual', 'activation']);
    const { residual = null, activation = null } = options;
    if (!this.adapter || this.isMerged) return matmul(x, this.weight, this.bias, { residual, activation });
    const adapted = add(matmul(x, this.weight, this.bias, { residual }), this.adapter.call(x));
    return activation === 'relu' ? relu(adapted) : adapted;
  }

  /** crossEntropy(forward(x), targets), for which the logits are not kept: see `linearCrossEntropy`. */
  crossEntropy(x: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
    return scope('Linear', () => {
      const lowRank = this.adapter && !this.isMerged ? this.adapter.factors(x) : null;
      return linearCrossEntropy(x, this.weight, targets, { ...options, bias: this.bias, lowRank });
    });
  }
}
