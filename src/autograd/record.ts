/** How operations enter the graph: what each begins and ends with. */
import { checkSameDevice, snapshotWork, type WorkReport, workSince } from '../tensor/device.ts';
import { computeDType } from '../tensor/dtype.ts';
import { ArgumentError, BackwardError, DTypeError } from '../tensor/errors.ts';
import { checkBody } from '../tensor/scope.ts';
import { formatShape } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { type GradientRule, held, isLive, LeafNode, OperationNode, type RecordedRule } from './node.ts';

/** How many `noGrad` are open: module state, as the call stack is. */
let recordingPaused = 0;

/**
 * Runs `body` without recording a graph; also across awaits, until the promise it returns is settled. Until then nothing
 * else records either: await it before going on.
 */
export function noGrad<T>(body: () => T): T {
  checkBody('noGrad', body);
  recordingPaused++;
  let result: T;
  try {
    result = body();
  } catch (error) {
    recordingPaused--;
    throw error;
  }
  if (result instanceof Promise) {
    const resume = () => {
      recordingPaused--;
    };
    result.then(resume, resume);
  } else {
    recordingPaused--;
  }
  return result;
}

/** Runs `body` such that operations record, also where a `noGrad` is open. */
export function withGrad<T>(body: () => T): T {
  const paused = recordingPaused;
  recordingPaused = 0;
  try {
    return body();
  } finally {
    recordingPaused = paused;
  }
}

export function isRecording(): boolean {
  return recordingPaused === 0;
}

/** Who wants to know which leaves would have been recorded, and at what depth of `noGrad` it asked. */
let collector: { readonly leaves: Set<LeafNode>; readonly depth: number } | null = null;

/**
 * Runs `body` without recording, and tells which live leaves its operations use.
 *
 * @throws BackwardError where one of them uses what was computed from live leaves before: its gradient would be lost.
 */
export function withoutRecording<T>(body: () => T): { result: T; leaves: readonly LeafNode[] } {
  const [outer, work] = [collector, workBefore];
  const own = { leaves: new Set<LeafNode>(), depth: recordingPaused + 1 };
  collector = own;
  try {
    return { result: noGrad(body), leaves: [...own.leaves] };
  } finally {
    collector = outer;
    workBefore = work;
  }
}

function collectLeaves(operation: string, rules: readonly GradientRule[], leaves: Set<LeafNode>): void {
  for (const { node } of rules.flatMap((rule) => rule.input ?? rule.inputs)) {
    if (node instanceof LeafNode) {
      if (node.live) leaves.add(node);
    } else if (node) {
      throw new BackwardError(
        `checkpoint: '${operation}' uses the result of '${node.operation}' ${formatShape(node.shape)}, which was computed ` +
          'outside and needs a gradient (allowed: what is handed to the body as an input, and leaves)',
      );
    }
  }
}

/** Of the operation that has begun, until it is recorded. */
let workBefore: WorkReport | null = null;

/**
 * Every operation that computes begins with this: its operands are usable, on one device, and of one floating dtype; f16 and
 * f32 count as one, because both are computed in f32.
 *
 * @throws ReleasedTensorError, DeviceMismatchError or DTypeError that names the operation and what came.
 */
export function begin(operation: string, ...operands: readonly Tensor[]): void {
  beginWithStored(operation, ...operands);
  refuseStored(operation, ...operands);
}

/** The same for operations that take integers too, i32 all of them. */
export function beginNumbers(operation: string, ...operands: readonly Tensor[]): void {
  if (operands.every((operand) => operand instanceof Tensor && operand.dtype === 'i32'))
    beginView(operation, ...operands);
  else begin(operation, ...operands);
}

/** The same for operations that read what is stored in bf16. */
export function beginWithStored(operation: string, ...operands: readonly Tensor[]): void {
  beginView(operation, ...operands);
  for (const operand of operands) {
    if (operand.dtype !== 'i32' && computeDType(operand.dtype) === computeDType(operands[0].dtype)) continue;
    const dtypes = operands.map((each) => each.dtype).join(' and ');
    throw new DTypeError(
      `${operation}: operands have dtype ${dtypes} (allowed: all f32 or f16, or all f64; cast(x, 'f32') converts)`,
    );
  }
}

/** @throws DTypeError for an operand that is stored in bf16. */
export function refuseStored(operation: string, ...operands: readonly Tensor[]): void {
  const stored = operands.find(({ dtype }) => dtype === 'bf16');
  if (!stored) return;
  throw new DTypeError(
    `${operation}: the operand ${formatShape(stored.shape)} is stored in bf16, which products take on their right, embedding as its ` +
      `table, and cast(x, 'f32') widens for everything else`,
  );
}

/** The same for operations that only rearrange elements, and so take integers too. */
export function beginView(operation: string, ...operands: readonly Tensor[]): void {
  checkTensors(operation, operands);
  const [first] = operands;
  for (const operand of operands) operand.assertUsable(operation);
  checkSameDevice(operation, operands);
  workBefore = tracing ? snapshotWork(first.device) : null;
}

/** @throws ArgumentError for what a caller without types may pass. */
export function checkTensors(operation: string, operands: readonly unknown[], takesNumbers = false): void {
  for (const [i, operand] of operands.entries()) {
    if (operand instanceof Tensor || (takesNumbers && typeof operand === 'number')) continue;
    const kind = Array.isArray(operand) ? 'an array' : typeof operand;
    throw new ArgumentError(
      `${operation}: operand ${i + 1} is ${kind} (allowed: a tensor; tensor(…) makes one of numbers)`,
    );
  }
}

/** One for all graphs, as `noGrad` is. */
let tracing = false;

/** While `on`, each node counts what it dispatches, so that the drawn graph can tell. Off by default: counting costs. */
export function traceDispatches(on: boolean): void {
  tracing = on;
}

export function isTracing(): boolean {
  return tracing;
}

const noWork: WorkReport = { dispatches: new Map(), totalDispatches: 0, flops: 0 };

/**
 * Enters `output` into the graph, with one rule for each input, or each group of inputs computed together. Where no
 * input is live, or under `noGrad`, nothing is recorded and nothing saved.
 */
export function record(operation: string, output: Tensor, rules: readonly GradientRule[]): Tensor {
  if (recordingPaused > 0) {
    if (collector?.depth === recordingPaused) collectLeaves(operation, rules, collector.leaves);
    return output;
  }
  const recorded: RecordedRule[] = [];
  for (const rule of rules) {
    const inputs = rule.input ? [rule.input] : rule.inputs;
    if (!inputs.some((input) => isLive(input.node))) continue;
    const nodes = inputs.map((input) => (isLive(input.node) ? input.node : undefined));
    recorded.push({ inputs: nodes, saved: (rule.saves ?? []).map(hold), rule });
  }
  if (recorded.length === 0) return output;
  const forwardWork = workBefore ? workSince(output.device, workBefore) : noWork;
  output.node = new OperationNode(operation, output, recorded, forwardWork);
  return output;
}

/** Results below this size are kept: a dispatch costs more than they weigh. */
const leastBytesRepeated = 256 * 1024;

/** What stands for a tensor until the backward pass needs it: a reference, or where it can be computed again its node. */
function hold(tensor: Tensor): Tensor | OperationNode {
  const { node } = tensor;
  const isRepeated = node instanceof OperationNode && node.isRepeatable && tensor.byteLength >= leastBytesRepeated;
  return isRepeated ? node : held(tensor);
}
