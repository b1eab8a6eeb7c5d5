/** The backward pass. */
import { fill } from '../tensor/copy.ts';
import { snapshotWork, workSince } from '../tensor/device.ts';
import { computeDType } from '../tensor/dtype.ts';
import { BackwardError, ShapeError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { inStep, scope } from '../tensor/scope.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import { allocate, type Tensor } from '../tensor/tensor.ts';
import { addToLeaf, loseGradients, withGradient } from './leaf-gradient.ts';
import { checkUnconsumed, type GraphNode, LeafNode, type OperationNode, savedOf } from './node.ts';
import { accumulate, isWritable } from './operations/accumulate.ts';
import { checkTensors, isTracing, noGrad } from './record.ts';

export interface BackwardOptions {
  /** Keeps the graph and what it saved, for another backward pass in the same step; false by default. */
  retainGraph?: boolean;
}

/**
 * Leaves in every live leaf the gradient of `output` with respect to it, added to what is there already.
 *
 * Nodes are marked that lead to a live leaf, visited in reverse topological order, and freed as the walk passes: an
 * intermediate gradient lives from its first contribution to the visit of its node.
 *
 * @param seed gradient of the output, of its shape; by default 1 for an output of one element.
 * Where it throws half-way, the leaves below are left without a gradient, and what earlier passes of the step had left there is lost:
 * an optimizer then makes no step.
 *
 * @throws BackwardError where nothing live is below the output, or its graph was walked before.
 */
export function backward(output: Tensor, seed: Tensor | null = null, options: BackwardOptions = {}): void {
  if (seed !== null) checkTensors('backward(seed, options): the seed', [seed]);
  checkOptions('backward', options, ['retainGraph']);
  output.assertUsable('backward');
  const root = output.node;
  if (root === undefined) throw nothingLive(output);
  if (!seed && output.size !== 1) {
    throw new ShapeError(
      `backward: an output of shape ${formatShape(output.shape)} needs a seed gradient of that shape`,
    );
  }
  if (seed && !sameShape(seed.shape, output.shape)) {
    throw new ShapeError(`backward: seed ${formatShape(seed.shape)} for an output ${formatShape(output.shape)}`);
  }
  const makeSeed = () =>
    seed
      ? seed.view({ shape: seed.shape, strides: seed.strides }, 'seed')
      : fill(allocate(output.device, computeDType(output.dtype), output.shape, 'seed'), 1);
  if (!walkBack(root, makeSeed, options.retainGraph)) throw nothingLive(output);
}

/**
 * The walk from `root`, whose gradient `makeSeed` makes and hands over. False where nothing live is below it; nothing is done then.
 */
export function walkBack(root: GraphNode, makeSeed: () => Tensor, retainsGraph = false): boolean {
  const { order, live } = liveNodes(root);
  if (!live.has(root)) return false;
  const gradients = new Map<GraphNode, Tensor>();
  const leaves = [...live].filter((node) => node instanceof LeafNode);
  const begun = withGradient(leaves);
  const walk = () => {
    contribute(gradients, root, makeSeed(), 'backward');
    for (const node of order) {
      const gradient = gradients.get(node);
      gradients.delete(node);
      if (gradient) visit(node, gradient, gradients, live, retainsGraph);
    }
  };
  const undo = () => {
    for (const gradient of gradients.values()) gradient.release('the backward pass failed');
    loseGradients(leaves, begun);
  };
  try {
    inStep(() => noGrad(walk));
  } catch (error) {
    undo();
    throw error;
  }
  return true;
}

function nothingLive(output: Tensor): BackwardError {
  return new BackwardError(
    `backward: '${output.origin}' ${formatShape(output.shape)} depends on nothing that needs a gradient ` +
      '(is every parameter frozen, or was it computed under noGrad? The result of an operation is no leaf: requireGradient(detach(x)) makes one)',
  );
}

/** The nodes from which a live leaf can be reached; operations in order, each before those it was computed from. */
function liveNodes(root: GraphNode): { order: OperationNode[]; live: ReadonlySet<GraphNode> } {
  const live = new Set<GraphNode>();
  const seen = new Set<GraphNode>();
  const finished: OperationNode[] = [];
  // Depth first with a stack of its own: graphs may be deeper than the call stack.
  const stack: { node: OperationNode; inputs: GraphNode[]; next: number }[] = [];
  const enter = (node: GraphNode) => {
    seen.add(node);
    if (node instanceof LeafNode) {
      if (node.live) live.add(node);
      return;
    }
    checkUnconsumed(node);
    stack.push({ node, inputs: inputsOf(node), next: 0 });
  };
  enter(root);
  while (stack.length > 0) {
    const frame = stack[stack.length - 1];
    if (frame.next < frame.inputs.length) {
      const input = frame.inputs[frame.next++];
      if (!seen.has(input)) enter(input);
      continue;
    }
    stack.pop();
    if (!frame.inputs.some((input) => live.has(input))) continue;
    live.add(frame.node);
    finished.push(frame.node);
  }
  return { order: finished.reverse(), live };
}

export function inputsOf(node: OperationNode): GraphNode[] {
  return [...new Set(node.rules.flatMap(({ inputs }) => inputs.filter((input) => input !== undefined)))];
}

function visit(
  node: OperationNode,
  gradient: Tensor,
  gradients: Map<GraphNode, Tensor>,
  live: ReadonlySet<GraphNode>,
  retainsGraph: boolean,
): void {
  const before = isTracing() ? snapshotWork(gradient.device) : null;
  for (const recorded of node.rules) {
    const { inputs, rule } = recorded;
    const wanted = inputs.map((input) => input !== undefined && live.has(input));
    if (!wanted.includes(true)) continue;
    const total = inputs[0] && gradients.get(inputs[0]);
    const writable = total && isWritable(total) ? total : null;
    const results = scope('gradient', () => {
      const saved = savedOf(recorded);
      return rule.input
        ? [rule.gradient(gradient, saved, writable, !retainsGraph)]
        : rule.gradient(gradient, saved, wanted);
    });
    results.forEach((result, i) => {
      const input = inputs[i];
      if (!result || !input || !wanted[i]) return;
      // The gradient handed on unchanged gets a reference of its own, because this node's is released below.
      const own =
        result === gradient ? gradient.view({ shape: gradient.shape, strides: gradient.strides }, 'gradient') : result;
      contribute(gradients, input, own, node.operation);
    });
  }
  gradient.release('the backward pass was done with it');
  if (!retainsGraph) node.consume();
  if (before) node.backwardWork = workSince(gradient.device, before);
}

/** Adds `result` to the gradient of `input`: the first contribution is taken as it is. */
function contribute(gradients: Map<GraphNode, Tensor>, input: GraphNode, result: Tensor, operation: string): void {
  const isLeaf = input instanceof LeafNode;
  const shape = isLeaf ? input.tensor.shape : input.shape;
  const dtype = computeDType(isLeaf ? input.tensor.dtype : input.output.dtype);
  const halves = isLeaf && input.splitsHalves && sameShape(result.shape, [2, ...shape]);
  if (!(halves || sameShape(result.shape, shape)) || result.dtype !== dtype) {
    throw new ShapeError(
      `backward: '${operation}' gave a gradient ${formatShape(result.shape)} of ${result.dtype} for an input ` +
        `${formatShape(shape)} of ${dtype}`,
    );
  }
  if (!isLeaf) {
    gradients.set(input, accumulate(gradients.get(input), result));
    return;
  }
  addToLeaf(input, result, halves);
}
