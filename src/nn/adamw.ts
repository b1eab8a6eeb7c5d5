import { dispatch, elementwise, flatWorkgroups, type Kernel } from '../tensor/kernel.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkRange, Optimizer, type OptimizerOptions, type ParameterState } from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface AdamWOptions extends OptimizerOptions {
  /** Decay of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  epsilon?: number;
}

const adamwKernel: Kernel<'count' | 'rate' | 'beta1' | 'beta2' | 'epsilon' | 'decay' | 'correction1' | 'correction2'> =
  {
    name: 'adamw',
    operands: ['read', 'read', 'update', 'update', 'update'],
    scalars: {
      count: 'u32',
      rate: 'f32',
      beta1: 'f32',
      beta2: 'f32',
      epsilon: 'f32',
      decay: 'f32',
      correction1: 'f32',
      correction2: 'f32',
    },
    wgsl: { file: 'adamw', constants: elementwise.constants },
    reference([gradient, report, value, mean, square], s) {
      const [scale, skip] = report;
      if (skip !== 0) return;
      for (let i = 0; i < s.count; i++) {
        const g = scale * gradient[i];
        mean[i] = s.beta1 * mean[i] + (1 - s.beta1) * g;
        square[i] = s.beta2 * square[i] + (1 - s.beta2) * g * g;
        const direction = mean[i] / s.correction1 / (Math.sqrt(square[i] / s.correction2) + s.epsilon);
        value[i] = value[i] * (1 - s.rate * s.decay) - s.rate * direction;
      }
    },
  };

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101). The correction of the running means counts
 * the steps of each parameter by itself, so one that was thawed starts like one that is new.
 */
export class AdamW extends Optimizer {
  protected readonly stateTensors = 2;
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;

  constructor(parameters: readonly Parameter[], options: AdamWOptions) {
    const { betas = [0.9, 0.999], epsilon = 1e-8 } = options;
    checkRange('AdamW', 'betas[0]', betas[0], 0, 1 - Number.EPSILON);
    checkRange('AdamW', 'betas[1]', betas[1], 0, 1 - Number.EPSILON);
    checkRange('AdamW', 'epsilon', epsilon, Number.MIN_VALUE, 1);
    super(parameters, options);
    this.#betas = betas;
    this.#epsilon = epsilon;
  }

  protected update(
    parameter: Parameter,
    gradient: Tensor,
    report: Tensor,
    { tensors, steps }: ParameterState,
    weightDecay: number,
  ): void {
    const [beta1, beta2] = this.#betas;
    dispatch(adamwKernel, {
      operands: [gradient, report, parameter, ...tensors],
      scalars: {
        count: parameter.size,
        rate: this.learningRate,
        beta1,
        beta2,
        epsilon: this.#epsilon,
        decay: weightDecay,
        correction1: 1 - beta1 ** steps,
        correction2: 1 - beta2 ** steps,
      },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: 15 * parameter.size,
    });
  }
}
