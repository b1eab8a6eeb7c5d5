/** The nodes of the graph, and the rules by which a gradient passes them. */
import type { WorkReport } from '../tensor/device.ts';
import { ArgumentError, BackwardError, DTypeError } from '../tensor/errors.ts';
import { currentStep, type Scope } from '../tensor/scope.ts';
import { Tensor } from '../tensor/tensor.ts';

declare module '../tensor/tensor.ts' {
  interface Tensor {
    /** Where the tensor stands in the graph; absent where no gradient flows into it. */
    node?: GraphNode;
  }
}

export type GraphNode = LeafNode | OperationNode;

/** A tensor whose gradient is wanted for itself: a parameter, or an input under study. */
export class LeafNode {
  readonly tensor: Tensor;
  name: string;
  /** False once frozen: the backward pass treats the leaf as a constant, also in graphs recorded before. */
  live = true;
  /** Where `halves` are there, null until somebody asks for their sum: read it by `gradientOf`. */
  gradient: Tensor | null = null;
  /** Whether, since an optimizer used a gradient, one ended with its step that none had tried to use. */
  isDropped = false;
  /** What an optimizer did with the gradient; where it has used it, another backward pass must not add to it. */
  use: 'none' | 'tried' | 'done' = 'none';
  /** Whether the gradient lacks what earlier backward passes had left, because a later one failed. */
  isLost = false;
  /** The step the gradient was made in; null outside of steps. A gradient of another step does not count any more. */
  step: Scope | null = null;
  /** Gradients of the two halves of the batch, [2, …shape]; null where nobody asked, and where a part came whole. */
  halves: Tensor | null = null;
  /** Open requests for halves, each ended by whoever made it. */
  readonly #halvesRequests = new Set<symbol>();

  constructor(tensor: Tensor, name = tensor.origin) {
    this.tensor = tensor;
    this.name = name;
  }

  get splitsHalves(): boolean {
    return this.#halvesRequests.size > 0;
  }

  /**
   * Asks for the gradient of each half of the batch apart; their sum is the gradient. Only a matrix multiplied by activations
   * can be asked this (see `matmul`).
   *
   * @returns a function that ends the request. The gradient comes whole again once every request has ended.
   */
  requestHalves(): () => void {
    const request = Symbol('halves');
    this.#halvesRequests.add(request);
    return () => this.#halvesRequests.delete(request);
  }
}

/**
 * How the gradient of the output reaches some inputs. `gradient` is called only if one of the inputs is live when the
 * backward pass comes by, and the tensors in `saves` are kept only if one was live when the operation ran. So an operand
 * that only the gradient of a frozen matrix would need is never kept.
 */
export type GradientRule = OneInputRule | ManyInputsRule;

export interface OneInputRule {
  input: Tensor;
  inputs?: undefined;
  saves?: readonly Tensor[];
  /**
   * The result of the operation anew, from what this rule saves. Offered where that costs little: then whatever needs the result for a
   * gradient does not keep it.
   */
  again?(saved: readonly Tensor[]): Tensor;
  /**
   * @param total the gradient that has already reached the input, where it may be written to, else null. A rule whose kernel
   * can add to it on the way does so and returns `total` itself, which saves a pass; any other leaves it alone.
   * @param isLast whether the graph ends with this walk, so that what was saved may be written to.
   */
  gradient(outputGradient: Tensor, saved: readonly Tensor[], total: Tensor | null, isLast: boolean): Tensor;
}

/** For kernels that compute several gradients in one pass; `live` tells which of them are wanted. */
export interface ManyInputsRule {
  inputs: readonly Tensor[];
  input?: undefined;
  saves?: readonly Tensor[];
  again?: undefined;
  gradient(outputGradient: Tensor, saved: readonly Tensor[], live: readonly boolean[]): readonly (Tensor | null)[];
}

/** A rule as the graph holds it: inputs replaced by their nodes, saved tensors held by references of the graph's own. */
export interface RecordedRule {
  inputs: readonly (GraphNode | undefined)[];
  /** A node stands for its result, which it computes again. */
  saved: readonly (Tensor | OperationNode)[];
  rule: GradientRule;
}

/** The record of one operation that had a live input. */
export class OperationNode {
  readonly operation: string;
  readonly shape: readonly number[];
  readonly output: { readonly dtype: Tensor['dtype']; readonly device: Tensor['device'] };
  readonly rules: readonly RecordedRule[];
  /** What the forward pass dispatched for this node, and the backward pass once it has run. */
  readonly forwardWork: WorkReport;
  backwardWork: WorkReport | null = null;
  /** Set when the backward pass has consumed the node and freed what it saved. */
  consumed = false;
  /** The step it was recorded in, with which the graph ends; null outside of steps. */
  readonly step: Scope | null;
  /** Computed again: from when the backward pass first needs it until it has passed the node. */
  #result: Tensor | null = null;

  constructor(operation: string, output: Tensor, rules: readonly RecordedRule[], forwardWork: WorkReport) {
    this.operation = operation;
    this.shape = output.shape;
    this.output = { dtype: output.dtype, device: output.device };
    this.rules = rules;
    this.forwardWork = forwardWork;
    this.step = currentStep();
  }

  /** Whether the result can be had again, so that nobody has to keep it. */
  get isRepeatable(): boolean {
    return !this.consumed && this.rules.some(({ rule }) => rule.again);
  }

  /** The result, computed again the first time; it lives as long as what it is computed from. */
  result(): Tensor {
    if (this.#result === null) {
      const source = this.rules.find(({ rule }) => rule.again);
      const result = source?.rule.again?.(savedOf(source));
      if (result === undefined)
        throw new BackwardError(`backward: '${this.operation}' cannot compute its result again`);
      this.#result = held(result);
    }
    return this.#result;
  }

  /** Lets go of everything saved for the backward pass. */
  consume(): void {
    this.consumed = true;
    for (const tensor of [...this.rules.flatMap(keptFor), ...(this.#result ? [this.#result] : [])])
      tensor.release('the backward pass was done with it');
  }
}

/** The tensors that are kept for the gradient of a rule: all it saves but what is computed again. */
export function keptFor({ saved }: RecordedRule): readonly Tensor[] {
  return saved.filter((each) => each instanceof Tensor);
}

/** What a rule's gradient is computed from: what is kept, and what is computed again now. */
export function savedOf({ saved }: RecordedRule): readonly Tensor[] {
  return saved.map((each) => (each instanceof Tensor ? each : each.result()));
}

/** A reference of the graph's own, so that a saved tensor outlives the scope it was made in, but not the step. */
export function held(tensor: Tensor): Tensor {
  return tensor.view({ shape: tensor.shape, strides: tensor.strides }, tensor.origin, currentStep());
}

export function isLive(node: GraphNode | undefined): boolean {
  return node !== undefined && (node instanceof LeafNode ? node.live : true);
}

/** Makes `tensor` a leaf: the backward pass leaves its gradient for `gradientOf(tensor)`. */
export function requireGradient<T extends Tensor>(tensor: T, name?: string): T {
  checkTensor('requireGradient', tensor);
  if (tensor.dtype === 'i32')
    throw new DTypeError('requireGradient: integers have no gradient (allowed: f16, f32, f64)');
  if (tensor.dtype === 'bf16') {
    throw new DTypeError(
      "requireGradient: bf16 is too coarse to be trained (allowed: f16, f32, f64; cast(x, 'f32') makes one, thaw() that of a parameter)",
    );
  }
  if (tensor.node instanceof OperationNode && tensor.node.step === currentStep()) {
    throw new BackwardError(
      `requireGradient: '${tensor.origin}' is computed from tensors that need a gradient, which would get none any more ` +
        '(allowed: tensors of your own; detach(x) gives one)',
    );
  }
  tensor.node = new LeafNode(tensor, name);
  return tensor;
}

/** The same values, cut off from the graph: a constant to every operation that follows. A view. */
export function detach(tensor: Tensor): Tensor {
  checkTensor('detach', tensor);
  return tensor.view({ shape: tensor.shape, strides: tensor.strides }, 'detach');
}

function checkTensor(operation: string, value: unknown): void {
  if (value instanceof Tensor) return;
  throw new ArgumentError(`${operation}: got ${Array.isArray(value) ? 'an array' : typeof value} (allowed: a tensor)`);
}

export function checkUnconsumed(node: OperationNode): void {
  if (!node.consumed) return;
  throw new BackwardError(
    `backward: the graph below '${node.operation}' was already walked and what it saved is freed; ` +
      'run the forward pass again for another backward pass, or keep it with backward(null, { retainGraph: true })',
  );
}
