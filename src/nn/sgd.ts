import { dispatch, elementwise, flatWorkgroups, type Kernel } from '../tensor/kernel.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkRange, Optimizer, type OptimizerOptions, type ParameterState } from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface SGDOptions extends OptimizerOptions {
  /** Share of the last velocity that goes on. */
  momentum?: number;
}

const sgdKernel: Kernel<'count' | 'rate' | 'momentum' | 'decay'> = {
  name: 'sgd',
  operands: ['read', 'read', 'update', 'update'],
  scalars: { count: 'u32', rate: 'f32', momentum: 'f32', decay: 'f32' },
  wgsl: { file: 'sgd', constants: elementwise.constants },
  reference([gradient, report, value, velocity], { count, rate, momentum, decay }) {
    const [scale, skip] = report;
    if (skip !== 0) return;
    for (let i = 0; i < count; i++) {
      velocity[i] = momentum * velocity[i] + scale * gradient[i];
      value[i] = value[i] * (1 - rate * decay) - rate * velocity[i];
    }
  },
};

/** Stochastic gradient descent with momentum and decoupled weight decay. */
export class SGD extends Optimizer {
  protected readonly stateTensors = 1;
  readonly #momentum: number;

  constructor(parameters: readonly Parameter[], options: SGDOptions) {
    const { momentum = 0 } = options;
    checkRange('SGD', 'momentum', momentum, 0, 1 - Number.EPSILON);
    super(parameters, options);
    this.#momentum = momentum;
  }

  protected update(
    parameter: Parameter,
    gradient: Tensor,
    report: Tensor,
    { tensors }: ParameterState,
    weightDecay: number,
  ): void {
    dispatch(sgdKernel, {
      operands: [gradient, report, parameter, ...tensors],
      scalars: { count: parameter.size, rate: this.learningRate, momentum: this.#momentum, decay: weightDecay },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: 6 * parameter.size,
    });
  }
}
