/** The backward graph of a step, told as plain data, with names that stay the same while it shrinks. */
import { keptFor } from '../src/autograd/node.ts';
import type { Graph, Module, Tensor } from '../src/index.ts';
import type { DrawnGraph, DrawnNode, SavedTensor } from './protocol.ts';

type Operation = Graph['operations'][number];
type Leaf = Graph['leaves'][number];
type Node = Operation | Leaf;

/** What each operation of the model computes. */
const meanings: Readonly<Record<string, string>> = {
  embedding: 'looks up one row of the table for each token',
  rmsNorm: 'x / √(mean of x²) · gain, for each position',
  matmul: 'x · W',
  reshape: 'the same numbers in another shape',
  rotary: 'turns pairs of numbers by an angle that grows with the position',
  attention: 'softmax(q · kᵀ / √d) · v: each position gathers from those it may see',
  swiglu: 'silu(gate) · up',
  mean: 'the mean over the positions',
  crossEntropy: '−log of the probability of what is right, mean over all targets',
};
/** They pass on what one input gave, so they are named after it. */
const followers = ['reshape', 'rotary'];

/** Knows of each operation in which module it was recorded, and the names of the model's parameters. */
export class ModulePaths {
  readonly #paths = new WeakMap<Node, string>();
  readonly #model: Module<never, unknown>;
  #isLooking = false;

  constructor(model: Module<never, unknown>) {
    this.#model = model;
    for (const [path, module] of model.namedModules()) {
      const forward = module.forward.bind(module);
      module.forward = (...inputs: never): unknown => {
        const output = forward(...inputs);
        if (this.#isLooking && isTensor(output)) this.#mark(output, path);
        return output;
      };
    }
  }

  /** Runs `body` with an eye on which module records what, which costs a walk over the graph for each. */
  looking<T>(body: () => T): T {
    this.#isLooking = true;
    try {
      return body();
    } finally {
      this.#isLooking = false;
    }
  }

  of(node: Node): string {
    return this.#paths.get(node) ?? '';
  }

  /** What the buffers are that outlive every step. */
  namedStorages(): ReadonlyMap<Tensor['storage'], string> {
    return new Map([...this.#model.namedParameters()].map(([name, { storage }]) => [storage, name]));
  }

  /** Modules inside have returned before, so what has no path yet is the module's own. */
  #mark(output: Tensor, path: string): void {
    const waiting = output.node ? [output.node] : [];
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      if ('tensor' in node || this.#paths.has(node)) continue;
      this.#paths.set(node, path);
      waiting.push(...inputsOf(node));
    }
  }
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'storage' in value;
}

function inputsOf({ rules }: Operation): Node[] {
  return [...new Set(rules.flatMap(({ inputs }) => inputs.filter((input) => input !== undefined)))];
}

/** Taken before the backward pass, which frees what is saved. */
export function drawnGraph(graph: Graph, paths: ModulePaths, step: number): DrawnGraph {
  const ids = new Map<Node, string>(graph.leaves.map((leaf) => [leaf, leaf.name]));
  const names = paths.namedStorages();
  const kept = new Set<unknown>(graph.leaves.map(({ tensor }) => tensor.storage));
  const nodes: DrawnNode[] = [];
  const edges: (readonly [string, string])[] = [];
  const parameters: DrawnGraph['parameters'][number][] = [];
  for (const operation of graph.operations) {
    const inputs = inputsOf(operation);
    const path = paths.of(operation);
    const id = newId(operation, path, inputs, ids);
    ids.set(operation, id);
    for (const input of inputs) {
      const from = ids.get(input) ?? '';
      if ('tensor' in input) parameters.push({ name: from, shape: input.tensor.shape, node: id });
      else edges.push([from, id]);
    }
    const block = /^blocks\.(\d+)/.exec(path);
    nodes.push({
      ...{ id, operation: operation.operation, module: path, shape: operation.shape },
      block: block ? Number(block[1]) : null,
      computes: meaningOf(operation, path),
      saved: savedBy(operation, names, ids, kept),
      gradientsOf: inputs.map((input) => ids.get(input) ?? ''),
      parameters: inputs.filter((input) => 'tensor' in input).map(({ name }) => name),
    });
  }
  return { step, nodes, edges, parameters, savedBytes: graph.summary().savedBytes };
}

function newId(
  { operation }: Operation,
  path: string,
  inputs: readonly Node[],
  ids: ReadonlyMap<Node, string>,
): string {
  const [input] = inputs;
  const isFollower = followers.includes(operation) && inputs.length === 1 && !('tensor' in input);
  const wanted = isFollower ? `${ids.get(input)} ${operation}` : `${path} ${operation}`.trim();
  const taken = new Set(ids.values());
  for (let i = 1; ; i++) {
    const id = i === 1 ? wanted : `${wanted} ${i}`;
    if (!taken.has(id)) return id;
  }
}

function meaningOf({ operation }: Operation, path: string): string {
  const addsResidual = operation === 'matmul' && /\.(?:output|down)$/.test(path);
  return `${meanings[operation] ?? operation}${addsResidual ? ' + what the block adds to' : ''}`;
}

/** @param kept storages that are there anyway, or were counted at a node before; those of this node join them. */
function savedBy(
  operation: Operation,
  names: ReadonlyMap<unknown, string>,
  ids: ReadonlyMap<Node, string>,
  kept: Set<unknown>,
): SavedTensor[] {
  const found = new Map<unknown, SavedTensor & { neededFor: string[] }>();
  for (const rule of operation.rules) {
    const neededFor = rule.inputs.flatMap((input) => (input ? [ids.get(input) ?? ''] : []));
    for (const tensor of keptFor(rule)) {
      const { storage, shape } = tensor;
      const origin = names.get(storage) ?? tensor.origin;
      const known = found.get(storage);
      if (known) {
        known.neededFor.push(...neededFor.filter((each) => !known.neededFor.includes(each)));
        continue;
      }
      const isFree = storage.outlivesSteps || kept.has(storage);
      kept.add(storage);
      const bytes = isFree ? 0 : storage.buffer.byteLength;
      found.set(storage, { origin, shape, bytes, neededFor: [...neededFor] });
    }
  }
  return [...found.values()];
}
