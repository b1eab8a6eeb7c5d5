/** SGD, and its kernel. */
import { dispatch } from '../tensor/dispatch.ts';
import { byWidth, elementParts, elementwise, flatWorkgroups } from '../tensor/kernel.ts';
import { checkOptions } from '../tensor/options.ts';
import {
  checkRange,
  Optimizer,
  type OptimizerOptions,
  optimizerOptions,
  type Trained,
  type Update,
} from './optimizer.ts';
import type { Parameter } from './parameter.ts';

export interface SGDOptions extends OptimizerOptions {
  /** Share of the last velocity that goes on. */
  momentum?: number;
}

const sgdKernel = byWidth({
  name: 'sgd',
  operands: { gradient: 'read', report: 'read', value: 'update', velocity: 'update' },
  scalars: { count: 'u32', rate: 'f32', momentum: 'f32', decay: 'f32' },
  wgsl: { file: 'sgd', constants: elementwise.constants },
  reference({ gradient, report, value, velocity }, { count, rate, momentum, decay }) {
    const [scale, skip] = report;
    for (let i = 0; i < count && skip === 0; i++) {
      velocity[i] = momentum * velocity[i] + scale * gradient[i];
      value[i] = value[i] * (1 - rate * decay) - rate * velocity[i];
    }
  },
  simd(call) {
    const { partLength, shared } = elementParts(call.scalars.count);
    return call.run('sgd', { partLength }, shared);
  },
});

/** Stochastic gradient descent with momentum and decoupled weight decay. */
export class SGD extends Optimizer {
  protected readonly stateTensors = 1;
  readonly #momentum: number;

  constructor(trained: Trained, options: SGDOptions) {
    checkOptions('SGD', options, [...optimizerOptions, 'momentum']);
    const { momentum = 0 } = options;
    checkRange('SGD', 'momentum', momentum, 0, 1 - Number.EPSILON);
    super(trained, options);
    this.#momentum = momentum;
  }

  protected update(parameter: Parameter, { gradient, report, state, learningRate, weightDecay }: Update): void {
    dispatch(sgdKernel(parameter.size), {
      operands: { gradient, report, value: parameter, velocity: state.tensors[0] },
      scalars: {
        count: parameter.size,
        rate: learningRate,
        momentum: this.#momentum,
        decay: weightDecay,
      },
      workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
      flops: 6 * parameter.size,
    });
  }
}
