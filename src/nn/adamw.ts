import { dispatch } from '../tensor/dispatch.ts';
import { elementwise, flatWorkgroups } from '../tensor/kernel.ts';
import { checkRange, Optimizer, type OptimizerOptions, type Update, updateKernels } from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface AdamWOptions extends OptimizerOptions {
  /** Decay of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  epsilon?: number;
}

/** The update, and where it is watched the sum of what it changed. */
const adamwKernels = updateKernels({
  name: 'adamw',
  operands: { gradient: 'read', report: 'read', value: 'update', mean: 'update', square: 'update', changes: 'update' },
  scalars: {
    count: 'u32',
    rate: 'f32',
    beta1: 'f32',
    beta2: 'f32',
    epsilon: 'f32',
    decay: 'f32',
    correction1: 'f32',
    correction2: 'f32',
    changesStart: 'u32',
  },
  reference({ gradient, report, value, mean, square, changes }, s, watched) {
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
  simd(call, watched) {
    const report = call.address('report');
    const changes = watched ? call.address('changes') + 4 * call.scalars.changesStart : 0;
    // Where it skips, the loop leaves everything as it is, and says that nothing moved.
    return call.float(report + 4) === 0 && call.run('adamw', { scale: call.float(report), changes });
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
    const [mean, square] = state.tensors;
    dispatch(adamwKernels[changes.watched ? 'watched' : 'plain'](parameter.size), {
      operands: { gradient, report, value: parameter, mean, square, changes: changes.partials },
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
