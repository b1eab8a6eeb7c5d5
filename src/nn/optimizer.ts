import { gradientOf } from '../autograd/node.ts';
import { dense } from '../tensor/copy.ts';
import { zeros } from '../tensor/create.ts';
import { ArgumentError, DeviceMismatchError, ShapeError } from '../tensor/errors.ts';
import { getOrCreate } from '../tensor/get-or-create.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './parameter.ts';
import { type StepReport, StepReporter } from './step-report.ts';

export interface OptimizerOptions {
  learningRate: number;
  /** Gradients are scaled down together to this global norm, in which frozen parameters do not count; 0 clips nothing. */
  maxGradientNorm?: number;
  /** Decoupled: value ← value · (1 - rate · decay), apart from the gradient. */
  weightDecay?: number;
  /** Which parameters decay; by default those of two axes or more, so neither norms nor biases. */
  decays?: (parameter: Parameter) => boolean;
}

/** State of one parameter: tensors of its shape, and the steps taken since the state began. */
export interface ParameterState {
  tensors: readonly Tensor[];
  steps: number;
}

/**
 * What all optimizers share: measuring and clipping the gradients, state kept by the parameter itself (never by its
 * position in a list), and letting go of that state when the parameter freezes.
 */
export abstract class Optimizer {
  readonly parameters: readonly Parameter[];
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
  readonly #decays: (parameter: Parameter) => boolean;
  readonly #state = new Map<Parameter, ParameterState>();
  readonly #reporter: StepReporter;
  readonly #stopListening: (() => void)[];
  #learningRate: number;
  #steps = 0;

  constructor(parameters: readonly Parameter[], options: OptimizerOptions) {
    const { learningRate, maxGradientNorm = 0, weightDecay = 0, decays = (parameter) => parameter.rank >= 2 } = options;
    const kind = new.target.name;
    if (parameters.length === 0) throw new ArgumentError(`${kind}: got no parameters`);
    checkRange(kind, 'learningRate', learningRate, 0, Number.MAX_VALUE);
    checkRange(kind, 'maxGradientNorm', maxGradientNorm, 0, Number.POSITIVE_INFINITY);
    checkRange(kind, 'weightDecay', weightDecay, 0, 1);
    const { device } = parameters[0];
    const stray = parameters.find((parameter) => parameter.device !== device);
    if (stray) {
      throw new DeviceMismatchError(
        `${kind}: ${stray.name} lives on ${stray.device.kind}, the first on ${device.kind}`,
      );
    }
    this.parameters = [...new Set(parameters)];
    this.maxGradientNorm = maxGradientNorm;
    this.weightDecay = weightDecay;
    this.#learningRate = learningRate;
    this.#decays = decays;
    this.#reporter = new StepReporter(this.parameters);
    this.#stopListening = this.parameters.map((each) => each.onFreezeChange((changed) => this.#releaseState(changed)));
  }

  get learningRate(): number {
    return this.#learningRate;
  }

  set learningRate(rate: number) {
    checkRange(this.constructor.name, 'learningRate', rate, 0, Number.MAX_VALUE);
    this.#learningRate = rate;
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Bytes of the state kept for the parameters. */
  get stateBytes(): number {
    let bytes = 0;
    for (const { tensors } of this.#state.values()) for (const tensor of tensors) bytes += tensor.byteLength;
    return bytes;
  }

  /**
   * Measures all gradients, clips them if asked to, and changes every parameter that has one. Once a gradient was NaN or
   * infinite nothing is changed any more, on the device itself; `report` then throws. Going on takes a new optimizer.
   *
   * @param loss its value comes back with `report`, so that one read-back serves both.
   * @throws ShapeError for a loss of several elements; no step is taken then.
   */
  step(loss: Tensor | null = null): void {
    if (loss && loss.size !== 1) {
      throw new ShapeError(`optimizer.step: the loss has shape ${formatShape(loss.shape)}, not one element`);
    }
    this.#steps++;
    this.#reporter.measure(this.#steps, loss, this.maxGradientNorm);
    for (const parameter of this.parameters) {
      const gradient = gradientOf(parameter);
      if (parameter.isFrozen || !gradient) continue;
      const state = getOrCreate(this.#state, parameter, () => ({ tensors: this.#makeState(parameter), steps: 0 }));
      state.steps++;
      const decay = this.#decays(parameter) ? this.weightDecay : 0;
      scope('optimizer', () => this.update(parameter, dense(gradient), this.#reporter.report, state, decay));
    }
  }

  /**
   * The report of the last step: loss, norm, and the sums of each gradient. One read-back.
   *
   * @throws NonFiniteGradientError if a gradient was NaN or infinite, in this step or one before.
   */
  report(): Promise<StepReport> {
    return this.#reporter.read();
  }

  /** Drops all gradients. Inside steps never needed: a gradient ends with its step. */
  zeroGradients(): void {
    for (const parameter of this.parameters) parameter.releaseGradient('zeroGradients() was called');
  }

  /** Gives back everything the optimizer holds on the device. It cannot step any more. */
  release(): void {
    for (const stop of this.#stopListening) stop();
    for (const parameter of this.parameters) this.#releaseState(parameter);
    this.#reporter.release();
  }

  /** How many tensors of a parameter's shape the optimizer keeps for it. */
  protected abstract readonly stateTensors: number;

  /** Enqueues the change of one parameter. `report` holds the factor of clipping and the flag to skip. */
  protected abstract update(
    parameter: Parameter,
    gradient: Tensor,
    report: Tensor,
    state: ParameterState,
    weightDecay: number,
  ): void;

  #makeState({ device, dtype, shape }: Parameter): Tensor[] {
    return Array.from({ length: this.stateTensors }, () => {
      const tensor = zeros(shape, { device, dtype });
      tensor.persist();
      return tensor;
    });
  }

  #releaseState(parameter: Parameter): void {
    for (const tensor of this.#state.get(parameter)?.tensors ?? []) tensor.release(`${parameter.name} was frozen`);
    this.#state.delete(parameter);
  }
}

/** @throws ArgumentError unless lowest <= value <= highest. */
export function checkRange(owner: string, name: string, value: number, lowest: number, highest: number): void {
  if (value >= lowest && value <= highest) return;
  throw new ArgumentError(`${owner}: ${name} ${value} is out of range (allowed: ${lowest} … ${highest})`);
}
