import { dispatch } from '../tensor/dispatch.ts';
import { elementwise, flatWorkgroups } from '../tensor/kernel.ts';
import { checkRange, Optimizer, type OptimizerOptions, type Update, updateKernels } from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface SGDOptions extends OptimizerOptions {
  /** Share of the last velocity that goes on. */
  momentum?: number;
}

/** The update, and where it is watched the sum of what it changed. */
const sgdKernels = updateKernels({
  name: 'sgd',
  operands: { gradient: 'read', report: 'read', value: 'update', velocity: 'update', changes: 'update' },
  scalars: { count: 'u32', rate: 'f32', momentum: 'f32', decay: 'f32', changesStart: 'u32' },
  reference({ gradient, report, value, velocity, changes }, { count, rate, momentum, decay, changesStart }, watched) {
    const [scale, skip] = report;
    let moved = 0;
    for (let i = 0; i < count && skip === 0; i++) {
      velocity[i] = momentum * velocity[i] + scale * gradient[i];
      const before = value[i];
      value[i] = before * (1 - rate * decay) - rate * velocity[i];
      if (watched) moved += Math.abs(value[i] - before);
    }
    if (watched) changes[changesStart] = moved;
  },
});

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

  protected update(parameter: Parameter, { gradient, report, state, weightDecay, changes }: Update): void {
    dispatch(sgdKernels[changes.watched ? 'watched' : 'plain'](parameter.size), {
      operands: { gradient, report, value: parameter, velocity: state.tensors[0], changes: changes.partials },
      scalars: {
        count: parameter.size,
        rate: this.learningRate,
        momentum: this.#momentum,
        decay: weightDecay,
        changesStart: changes.start,
      },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: (changes.watched ? 8 : 6) * parameter.size,
    });
  }
}
