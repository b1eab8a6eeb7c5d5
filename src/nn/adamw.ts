/** AdamW, and its kernel. */
import { dispatch } from '../tensor/dispatch.ts';
import { byWidth, elementParts, elementwise, flatWorkgroups } from '../tensor/kernel.ts';
import { checkOptions } from '../tensor/options.ts';
import {
  checkParameters,
  checkRange,
  Optimizer,
  type OptimizerOptions,
  optimizerOptions,
  type Trained,
  type Update,
} from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface AdamWOptions extends OptimizerOptions {
  /** Decay of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  epsilon?: number;
}

const adamwKernel = byWidth({
  name: 'adamw',
  operands: { gradient: 'read', report: 'read', value: 'update', mean: 'update', square: 'update' },
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
  reference({ gradient, report, value, mean, square }, s) {
    const [scale, skip] = report;
    for (let i = 0; i < s.count && skip === 0; i++) {
      const g = scale * gradient[i];
      mean[i] = s.beta1 * mean[i] + (1 - s.beta1) * g;
      square[i] = s.beta2 * square[i] + (1 - s.beta2) * g * g;
      const direction = mean[i] / s.correction1 / (Math.sqrt(square[i] / s.correction2) + s.epsilon);
      value[i] = value[i] * (1 - s.rate * s.decay) - s.rate * direction;
    }
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('adamw', { partLength }, shared);
  },
});

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101). The correction of the running means counts
 * the steps of each parameter by itself, so one that was thawed starts like one that is new.
 */
export class AdamW extends Optimizer {
  protected readonly stateTensors = 2;
  /** f32 holds its square. The size of a first gradient makes no difference to Adam. */
  protected override readonly largestNorm = 1e18;
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;

  constructor(trained: Trained, options: AdamWOptions) {
    checkOptions('AdamW', options, [...optimizerOptions, 'betas', 'epsilon']);
    const { betas = [0.9, 0.999], epsilon = 1e-8 } = options;
    checkRange('AdamW', 'betas[0]', betas[0], 0, 1 - Number.EPSILON);
    checkRange('AdamW', 'betas[1]', betas[1], 0, 1 - Number.EPSILON);
    const [{ parameters }] = checkParameters('AdamW', trained);
    // What an f32 rounds to 0 would divide 0 by 0.
    const smallest = parameters[0].dtype === 'f64' ? Number.MIN_VALUE : 2 ** -126;
    checkRange('AdamW', 'epsilon', epsilon, smallest, 1);
    super(trained, options);
    this.#betas = betas;
    this.#epsilon = epsilon;
  }

  protected update(parameter: Parameter, { gradient, report, state, learningRate, weightDecay }: Update): void {
    const [beta1, beta2] = this.#betas;
    const [mean, square] = state.tensors;
    dispatch(adamwKernel(parameter.size), {
      operands: { gradient, report, value: parameter, mean, square },
      scalars: {
        count: parameter.size,
        rate: learningRate,
        beta1,
        beta2,
        epsilon: this.#epsilon,
        decay: weightDecay,
        correction1: 1 - beta1 ** state.steps,
        correction2: 1 - beta2 ** state.steps,
      },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: 15 * parameter.size,
    });
  }
}
