/** The graph of a computation, to be looked at. */
import { BackwardError } from '../tensor/errors.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { inputsOf } from './backward.ts';
import { type GraphNode, keptFor, LeafNode, type OperationNode } from './node.ts';
import { traceDispatches } from './record.ts';

export interface GraphSummary {
  /** Operations recorded. */
  nodes: number;
  /** Leaves whose gradient will be computed. */
  leaves: number;
  /** Gradients the backward pass computes: one for each live input of each operation. */
  gradients: number;
  /** Bytes kept for the backward pass, parameters not counted; a buffer that several operations need counts once. */
  savedBytes: number;
  /** Kernels dispatched for the recorded operations, and by the backward pass if it has run; see `traced`. */
  forwardDispatches: number;
  backwardDispatches: number;
}

/**
 * The graph below a tensor, as the backward pass will walk it. Taken before `backward`, it can still be drawn after it,
 * and then tells what the backward pass dispatched.
 */
export class Graph {
  readonly #nodes: readonly GraphNode[];
  readonly #savedBytes: number;

  /** @throws BackwardError where nothing live is below `output`. */
  constructor(output: Tensor) {
    const root = output.node;
    if (!root) throw new BackwardError(`graph: '${output.origin}' depends on nothing that needs a gradient`);
    this.#nodes = nodesBelow(root);
    this.#savedBytes = bytesSaved(this.#nodes);
  }

  get operations(): readonly OperationNode[] {
    return this.#nodes.filter((node): node is OperationNode => !(node instanceof LeafNode));
  }

  get leaves(): readonly LeafNode[] {
    return this.#nodes.filter((node): node is LeafNode => node instanceof LeafNode);
  }

  summary(): GraphSummary {
    const { operations } = this;
    return {
      nodes: operations.length,
      leaves: this.leaves.filter(({ live }) => live).length,
      gradients: operations.reduce(
        (sum, { rules }) => sum + rules.flatMap((rule) => rule.inputs.filter(Boolean)).length,
        0,
      ),
      savedBytes: this.#savedBytes,
      forwardDispatches: operations.reduce((sum, { forwardWork }) => sum + forwardWork.totalDispatches, 0),
      backwardDispatches: operations.reduce((sum, { backwardWork }) => sum + (backwardWork?.totalDispatches ?? 0), 0),
    };
  }

  /** A Mermaid flowchart: operations in boxes, leaves rounded, an arrow wherever a gradient will flow back. */
  toMermaid(): string {
    const ids = new Map(this.#nodes.map((node, i) => [node, `n${i}`]));
    const lines = ['flowchart TD'];
    for (const [node, id] of ids) {
      if (node instanceof LeafNode) {
        lines.push(`  ${id}(["${node.name} ${formatShape(node.tensor.shape)}"])`);
        continue;
      }
      lines.push(`  ${id}["${node.operation} ${formatShape(node.shape)}"]`);
      for (const input of inputsOf(node)) lines.push(`  ${ids.get(input)} --> ${id}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

/** Runs `body` with dispatches counted for each operation, so that graphs taken in it can tell them. */
export async function traced<T>(body: () => T | Promise<T>): Promise<T> {
  traceDispatches(true);
  try {
    return await body();
  } finally {
    traceDispatches(false);
  }
}

/** Every node that `root` was computed from, in the order they were recorded. */
function nodesBelow(root: GraphNode): GraphNode[] {
  const finished = new Set<GraphNode>();
  const entered = new Set<GraphNode>();
  const stack: GraphNode[] = [root];
  for (let node = stack.at(-1); node; node = stack.at(-1)) {
    if (entered.has(node)) {
      finished.add(node);
      stack.pop();
      continue;
    }
    entered.add(node);
    if (node instanceof LeafNode) continue;
    for (const input of inputsOf(node)) if (!entered.has(input)) stack.push(input);
  }
  return [...finished];
}

function bytesSaved(nodes: readonly GraphNode[]): number {
  const storages = new Set<Storage>();
  const leaves = new Set<Storage>();
  for (const node of nodes) {
    if (node instanceof LeafNode) leaves.add(node.tensor.storage);
    else for (const tensor of node.rules.flatMap(keptFor)) storages.add(tensor.storage);
  }
  let bytes = 0;
  for (const storage of storages) {
    if (!leaves.has(storage) && !storage.outlivesSteps) bytes += storage.buffer.byteLength;
  }
  return bytes;
}
