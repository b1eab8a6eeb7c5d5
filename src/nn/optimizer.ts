/** What all optimizers share. */
import { hasGradient, hasLostGradient } from '../autograd/leaf-gradient.ts';
import { tensor, zeros } from '../tensor/create.ts';
import { checkSameDevice } from '../tensor/device.ts';
import type { NumericArray } from '../tensor/dtype.ts';
import { ArgumentError, BackwardError, NonFiniteGradientError, ShapeError } from '../tensor/errors.ts';
import { getOrCreate } from '../tensor/get-or-create.ts';
import { tellNames } from '../tensor/names-elsewhere.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { scope } from '../tensor/scope.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Parameter } from './parameter.ts';
import type { ParameterSum } from './parameter-sum.ts';
import { type Saved, savedArray, savedList, savedNumber, savedObject } from './saved.ts';
import { type StepReport, StepReporter } from './step-report.ts';
import type { SumWatch } from './sum-watch.ts';

export interface OptimizerOptions {
  learningRate: number;
  /** Gradients are scaled down together to this global norm, in which frozen parameters do not count; 0 clips nothing. */
  maxGradientNorm?: number;
  /** Decoupled: value ← value · (1 - rate · decay), apart from the gradient. */
  weightDecay?: number;
  /** Which parameters decay; by default those of two axes or more, so neither norms nor biases. */
  decays?: (parameter: Parameter) => boolean;
}

/** Parameters that are trained differently from the others. */
export interface ParameterGroup {
  parameters: readonly Parameter[];
  /** Factor of the optimizer's rate, so that a schedule moves all groups; 1 by default. */
  rateFactor?: number;
  /** Of all parameters of the group, instead of the optimizer's `weightDecay` for those that `decays` names. */
  weightDecay?: number;
}

/** What an optimizer trains: parameters, or groups of them. */
export type Trained = readonly Parameter[] | readonly ParameterGroup[];

/** Steps until a broken gradient is told that nobody asked about. */
const stepsBetweenLooks = 16;

/** Their names. */
export const optimizerOptions = [
  'learningRate',
  'maxGradientNorm',
  'weightDecay',
  'decays',
] as const satisfies readonly (keyof OptimizerOptions)[];

/** What an update of one parameter works with. */
export interface Update {
  gradient: Tensor;
  /** Holds the factor of clipping and the flag to skip. */
  report: Tensor;
  state: ParameterState;
  learningRate: number;
  weightDecay: number;
}

/** State of one parameter: tensors of its shape, and the steps taken since the state began. */
export interface ParameterState {
  tensors: readonly Tensor[];
  steps: number;
}

/** What an optimizer holds, as plain arrays by the names of the parameters: the part of a checkpoint beside the weights. */
export interface OptimizerState {
  /** Steps taken. */
  steps: number;
  /** Of each parameter that has state. */
  parameters: Record<string, { steps: number; tensors: readonly NumericArray[] }>;
}

/** The optimizer's state that a checkpoint holds. @throws FileFormatError where it is none, naming `what`. */
export function optimizerStateFrom(what: string, saved: Saved | undefined): OptimizerState {
  const { steps, parameters } = savedObject(what, saved);
  const ofParameters = Object.entries(savedObject(what, parameters)).map(([name, value]) => {
    const state = savedObject(`${what}: ${name}`, value);
    const tensors = savedList(`${what}: ${name}`, state.tensors).map((each) => savedArray(`${what}: ${name}`, each));
    return [name, { steps: savedNumber(`${what}: ${name}`, state.steps), tensors }] as const;
  });
  return { steps: savedNumber(what, steps), parameters: Object.fromEntries(ofParameters) };
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
  readonly #groups: ReadonlyMap<Parameter, ParameterGroup>;
  readonly #state = new Map<Parameter, ParameterState>();
  readonly #reporter: StepReporter;
  readonly #stopListening: (() => void)[];
  #learningRate: number;
  #steps = 0;
  #hasToldDropped = false;
  /** What a report told that nobody had asked for. */
  #broken: NonFiniteGradientError | null = null;
  #look: Promise<StepReport> | null = null;

  constructor(trained: Trained, options: OptimizerOptions) {
    const { learningRate, maxGradientNorm = 0, weightDecay = 0, decays = (parameter) => parameter.rank >= 2 } = options;
    const kind = new.target.name;
    const groups = checkParameters(kind, trained);
    const parameters = groups.flatMap((group) => group.parameters);
    checkRange(kind, 'learningRate', learningRate, 0, Number.MAX_VALUE);
    checkRange(kind, 'maxGradientNorm', maxGradientNorm, 0, Number.POSITIVE_INFINITY);
    checkRange(kind, 'weightDecay', weightDecay, 0, 1);
    checkSameDevice(kind, parameters);
    this.parameters = [...new Set(parameters)];
    this.maxGradientNorm = maxGradientNorm;
    this.weightDecay = weightDecay;
    this.#learningRate = learningRate;
    this.#decays = decays;
    this.#groups = new Map(groups.flatMap((group) => group.parameters.map((each) => [each, group])));
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
   * infinite nothing is changed any more, on the device itself; `report` then throws, and so does this, at the latest 16 steps
   * later. Going on takes a new optimizer, or `loadStateDict`.
   *
   * @param loss its value comes back with `report`, so that one read-back serves both.
   * @throws ShapeError for a loss of several elements, BackwardError where no parameter that trains has a gradient, or one has lost it,
   * NonFiniteGradientError, and OutOfMemoryError; no step is taken then.
   */
  step(loss: Tensor | null = null): void {
    for (const { leaf } of this.parameters) if (leaf.use === 'none') leaf.use = 'tried';
    if (this.#broken) throw this.#broken;
    if (loss && loss.size !== 1) {
      throw new ShapeError(`optimizer.step: the loss has shape ${formatShape(loss.shape)}, not one element`);
    }
    const trained = this.#withGradient();
    if (trained.some(({ leaf }) => leaf.isDropped)) this.#tellDropped();
    const known = new Set(this.#state.keys());
    scope('optimizer', () => {
      // What needs memory comes first, so that every parameter is updated or none.
      let gradients: ReadonlyMap<Parameter, Tensor>;
      try {
        for (const each of trained)
          getOrCreate(this.#state, each, () => ({ tensors: this.#makeState(each), steps: 0 }));
        const largest = Math.min(this.maxGradientNorm || this.largestNorm, this.largestNorm);
        gradients = this.#reporter.measure(this.#steps + 1, loss, largest);
      } catch (error) {
        for (const each of trained) if (!known.has(each)) this.#releaseState(each);
        throw error;
      }
      const { report } = this.#reporter;
      this.#steps++;
      for (const [parameter, gradient] of gradients) {
        const state = this.#state.get(parameter);
        if (!state) continue;
        state.steps++;
        parameter.leaf.use = 'done';
        parameter.leaf.isDropped = false;
        const { rateFactor = 1, weightDecay = this.#decays(parameter) ? this.weightDecay : 0 } =
          this.#groups.get(parameter) ?? {};
        const learningRate = rateFactor * this.#learningRate;
        this.update(parameter, { gradient, report, state, learningRate, weightDecay });
      }
    });
    this.#reporter.finish();
    if (this.#steps % stepsBetweenLooks === 0) this.#lookForBroken();
  }

  /**
   * Keeps what a sum over these parameters needs, until the watch is released. The report of a step holds the sum where
   * `watch.measureNext()` was called before it.
   *
   * @throws ArgumentError for parameters this optimizer does not train.
   */
  watch(sum: ParameterSum, parameters: readonly Parameter[]): SumWatch {
    return this.#reporter.watch(sum, parameters);
  }

  /**
   * Reads back everything the next steps depend on besides the weights.
   *
   * @throws NonFiniteGradientError where a gradient was broken: no step since then has changed anything, so there is none to go on from.
   */
  async stateDict(): Promise<OptimizerState> {
    if (this.#steps > 0) await this.report();
    const named = this.#byName();
    const parameters: [string, OptimizerState['parameters'][string]][] = [];
    for (const [name, parameter] of named) {
      const own = this.#state.get(parameter);
      if (!own) continue;
      const tensors: NumericArray[] = [];
      for (const each of own.tensors) tensors.push(await each.data());
      parameters.push([name, { steps: own.steps, tensors }]);
    }
    return { steps: this.#steps, parameters: Object.fromEntries(parameters) };
  }

  /**
   * Goes back to a state: the steps that follow are bit for bit those that followed it. Parameters the state does not
   * name begin anew; a gradient that was broken since is forgotten.
   *
   * @throws ArgumentError for names this optimizer does not train or that are frozen, ShapeError for arrays that do not
   * fit; nothing is changed then.
   */
  loadStateDict(state: OptimizerState): void {
    checkState(state);
    const named = this.#byName();
    for (const [name, { tensors }] of Object.entries(state.parameters)) {
      const parameter = named.get(name);
      if (!parameter || parameter.isFrozen) {
        const what = parameter ? 'is frozen, and a frozen parameter has no state' : 'is not trained by this optimizer';
        throw new ArgumentError(`loadStateDict: ${name} ${what}`);
      }
      const wrong = tensors.find(({ length }) => length !== parameter.size);
      if (tensors.length === this.stateTensors && !wrong) continue;
      throw new ShapeError(
        `loadStateDict: ${name} needs ${this.stateTensors} arrays of ${parameter.size} values, the state holds ` +
          `${tensors.length}, with ${tensors.map(({ length }) => length).join(', ')} values`,
      );
    }
    for (const parameter of this.parameters) this.#releaseState(parameter);
    for (const [name, { steps, tensors }] of Object.entries(state.parameters)) {
      const parameter = named.get(name);
      if (!parameter) continue;
      const { device, dtype, shape } = parameter;
      const restored = tensors.map((data) => {
        const own = tensor(data, { device, dtype, shape });
        own.persist();
        return own;
      });
      this.#state.set(parameter, { tensors: restored, steps });
    }
    this.#steps = state.steps;
    this.#broken = null;
    this.#look = null;
    this.#reporter.restore(state.steps);
  }

  /**
   * The report of the last step: loss, norm, and the sums that are watched. One read-back.
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

  /** Gradients of a larger norm are scaled down to it, whatever the options say. */
  protected readonly largestNorm: number = Number.MAX_VALUE;

  /** Enqueues the change of one parameter. */
  protected abstract update(parameter: Parameter, update: Update): void;

  #tellDropped(): void {
    if (this.#hasToldDropped) return;
    this.#hasToldDropped = true;
    platform.warn(
      'optimizer.step: gradients of backward passes in earlier steps were dropped, because a gradient ends with its step(). To add ' +
        'gradients up, put their backward passes into one step(); where they are to be dropped, zeroGradients() after them says so',
    );
  }

  /** A loop that never asks for a report is told all the same, by a later step. Nothing waits for it. */
  #lookForBroken(): void {
    const look = this.#reporter.read();
    this.#look = look;
    look.catch((error: unknown) => {
      if (this.#look === look && error instanceof NonFiniteGradientError) this.#broken = error;
    });
  }

  /** What the step will update. */
  #withGradient(): Parameter[] {
    const trained = this.parameters.filter(({ isFrozen }) => !isFrozen);
    const lost = trained.find((parameter) => hasLostGradient(parameter));
    if (lost) {
      throw new BackwardError(
        `optimizer.step: a backward pass of this step failed, and with it went what earlier ones had left for ${lost.name}. Begin ` +
          'a new step(), or call optimizer.zeroGradients() and make all passes again',
      );
    }
    const withGradient = trained.filter((parameter) => hasGradient(parameter));
    if (withGradient.length > 0 || (trained.length === 0 && this.#steps > 0)) return withGradient;
    throw new BackwardError(
      `optimizer.step: none of the ${trained.length} parameters that train has a gradient. Was backward() called in ` +
        'this step()? Was the optimizer made before addLoRA, so that it does not know what trains?',
    );
  }

  #byName(): Map<string, Parameter> {
    const named = new Map(this.parameters.map((parameter) => [parameter.name, parameter]));
    if (named.size === this.parameters.length) return named;
    throw new ArgumentError(
      'stateDict: several parameters have the same name; list those of the model first (model.namedParameters() names them)',
    );
  }

  #makeState({ device, dtype, shape }: Parameter): Tensor[] {
    const made = scope('optimizer state', () =>
      Array.from({ length: this.stateTensors }, () => zeros(shape, { device, dtype })),
    );
    for (const each of made) each.persist();
    return made;
  }

  #releaseState(parameter: Parameter): void {
    for (const tensor of this.#state.get(parameter)?.tensors ?? []) tensor.release(`${parameter.name} was frozen`);
    this.#state.delete(parameter);
  }
}

/** @throws ArgumentError for what a caller without types may pass, such as the state of a model, or a promise of one. */
function checkState(state: unknown): void {
  const { steps, parameters } = Object(state);
  const isState = typeof steps === 'number' && typeof parameters === 'object' && parameters !== null;
  if (isState && Object.values(parameters).every((each) => Array.isArray(Object(each).tensors))) return;
  throw new ArgumentError(
    'loadStateDict: the state is none of an optimizer (allowed: what await optimizer.stateDict() gives)',
  );
}

const noZeroing = 'a gradient ends with its step(); outside of steps optimizer.zeroGradients()';
tellNames(Optimizer.prototype, {
  zero_grad: noZeroing,
  zeroGrad: noZeroing,
  lr: 'optimizer.learningRate',
  param_groups: 'optimizer.learningRate; new AdamW([{ parameters, rateFactor, weightDecay }], …) makes groups',
  state_dict: 'optimizer.stateDict()',
  load_state_dict: 'optimizer.loadStateDict(…)',
});

/** What an optimizer is to train, as groups. @throws ArgumentError for what is no list of parameters or groups, such as a module. */
export function checkParameters(owner: string, trained: unknown): ParameterGroup[] {
  const allowed =
    '(allowed: a list of parameters, such as model.parameters(), or of groups { parameters, rateFactor, weightDecay })';
  if (!Array.isArray(trained)) {
    const kind = typeof trained === 'object' && trained !== null ? trained.constructor.name : typeof trained;
    throw new ArgumentError(`${owner}: the parameters are ${kind} ${allowed}`);
  }
  const inGroups = trained.length > 0 && !trained.some((each) => each instanceof Parameter) && trained.every(isGroup);
  const groups: ParameterGroup[] = inGroups ? trained : [{ parameters: trained }];
  const seen = new Map<Parameter, ParameterGroup>();
  for (const group of groups) {
    if (inGroups) checkOptions(`${owner}: a group`, group, ['parameters', 'rateFactor', 'weightDecay']);
    if (group.parameters.length === 0) throw new ArgumentError(`${owner}: got no parameters ${allowed}`);
    checkRange(owner, 'rateFactor', group.rateFactor ?? 1, 0, Number.MAX_VALUE);
    checkRange(owner, 'weightDecay', group.weightDecay ?? 0, 0, 1);
    for (const [i, parameter] of group.parameters.entries()) {
      if (!(parameter instanceof Parameter))
        throw new ArgumentError(`${owner}: element ${i} of the parameters is none ${allowed}`);
      if ((seen.get(parameter) ?? group) !== group)
        throw new ArgumentError(`${owner}: ${parameter.name} is in two groups`);
      seen.set(parameter, group);
    }
  }
  return groups;
}

function isGroup(value: unknown): value is ParameterGroup {
  return typeof value === 'object' && value !== null && 'parameters' in value && Array.isArray(value.parameters);
}

/** @throws ArgumentError unless lowest <= value <= highest. */
export function checkRange(owner: string, name: string, value: number, lowest: number, highest: number): void {
  if (typeof value === 'number' && value >= lowest && value <= highest) return;
  const shown = typeof value === 'function' ? 'of a function' : value;
  throw new ArgumentError(`${owner}: ${name} ${shown} is out of range (allowed: ${lowest} … ${highest})`);
}
