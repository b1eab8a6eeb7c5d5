import { dispatch, elementwise, flatWorkgroups } from '../tensor/kernel.ts';
import { checkRange, Optimizer, type OptimizerOptions, type Update, updateKernels } from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface AdamWOptions extends OptimizerOptions {
  /** Decay of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  epsilon?: number;
}

const scalars = {
  count: 'u32',
  rate: 'f32',
  beta1: 'f32',
  beta2: 'f32',
  epsilon: 'f32',
  decay: 'f32',
  correction1: 'f32',
  correction2: 'f32',
  changesStart: 'u32',
} as const;

/** The update, and where it is watched the sum of what it changed. */
const adamwKernels = updateKernels<keyof typeof scalars>({
  name: 'adamw',
  operands: ['read', 'read', 'update', 'update', 'update', 'update'],
  scalars,
  reference([gradient, report, value, mean, square, changes], s, watched) {
    const [scale, skip] = report;
    let moved = 0;
    for (let i = 0; i < s.count && skip === 0; i++) {
      const g = scale * gradient[i];
      mean[i] = s.beta1 * mean[i] + (1 - s.beta1) * g;
      square[i] = s.beta2 * square[i] + (1 - s.beta2) * g * g;
      const direction = mean[i] / s.correction1 / (Math.sqrt(square[i] / s.correction2) + s.epsilon);
      const before = value[i];
      value[i] = before * (1 - s.rate * s.decay) - s.rate * direction;
      if (watched) moved += Math.abs(value[i] - before);
    }
    if (watched) changes[s.changesStart] = moved;
  },
  simd({ functions, addresses, scalars: s, float }, watched) {
    const [gradient, report, value, mean, square, changes] = addresses;
    const [scale, skip] = [float(report), float(report + 4)];
    // The loop leaves everything as it is, and says that nothing moved.
    if (skip !== 0) return false;
    const target = watched ? changes + 4 * s.changesStart : 0;
    const rates = [s.rate, s.beta1, s.beta2, s.epsilon, s.decay, s.correction1, s.correction2];
    functions.adamw(gradient, value, mean, square, target, s.count, scale, ...rates);
    return true;
  },
});

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

  protected update(parameter: Parameter, { gradient, report, state, weightDecay, changes }: Update): void {
    const [beta1, beta2] = this.#betas;
    dispatch(adamwKernels[changes.watched ? 'watched' : 'plain'](parameter.size), {
      operands: [gradient, report, parameter, ...state.tensors, changes.partials],
      scalars: {
        count: parameter.size,
        rate: this.learningRate,
        beta1,
        beta2,
        epsilon: this.#epsilon,
        decay: weightDecay,
        correction1: 1 - beta1 ** state.steps,
        correction2: 1 - beta2 ** state.steps,
        changesStart: changes.start,
      },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: (changes.watched ? 17 : 15) * parameter.size,
    });
  }
}
