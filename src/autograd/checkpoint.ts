/** Checkpoints in the graph: what is kept of a part of it is its inputs; the rest is computed again in the backward pass. */
import { ArgumentError } from '../tensor/errors.ts';
import { replayDraws, watchDraws } from '../tensor/random.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { walkBack } from './backward.ts';
import { detach, LeafNode, requireGradient } from './node.ts';
import { beginView, isRecording, record, withGrad, withoutRecording } from './record.ts';

/**
 * `body(...inputs)`, of which the graph keeps the inputs alone (Chen et al., arXiv 1604.06174). The backward pass runs `body` once
 * more, with the same random numbers, and walks through what that records. Gradients are the same, bit for bit; memory falls by
 * all that `body` would have kept, and about one more forward pass is paid.
 *
 * `body` may use parameters, but nothing else that needs a gradient; whatever else it computes with is to be an input too, if it
 * does not outlive the step. It runs twice, so it must not change anything (append to a cache, say). Where nothing live is among its inputs and
 * parameters nothing is recorded, and it runs once.
 *
 *     x = checkpoint((x) => block.call(x), x);
 *
 * @throws BackwardError where it uses what is computed outside from live leaves and is no input; ArgumentError without inputs.
 */
export function checkpoint(body: (...inputs: Tensor[]) => Tensor, ...inputs: readonly Tensor[]): Tensor {
  if (inputs.length === 0) throw new ArgumentError('checkpoint: got no input (allowed: one tensor or more)');
  beginView('checkpoint', ...inputs);
  if (!isRecording()) return body(...inputs);
  const { result, leaves } = withoutRecording(() =>
    watchDraws(() =>
      scope('checkpoint', () => {
        const output = body(...inputs.map(detach));
        return output.view({ shape: output.shape, strides: output.strides }, 'checkpoint');
      }),
    ),
  );
  const { result: output, draws } = result;
  const isComputed = inputs.map(({ node }) => node !== undefined && !(node instanceof LeafNode));

  const gradient = (g: Tensor, saved: readonly Tensor[], live: readonly boolean[]): (Tensor | null)[] => {
    const ends = saved.map((each, i) => (live[i] ? requireGradient(each) : null));
    withGrad(() => {
      const again = () => body(...saved.map((each, i) => (ends[i] && isComputed[i] ? pass(each) : each)));
      const [node] = scope('checkpoint', () => [replayDraws(draws, again).node]);
      if (node) walkBack(node, () => g);
    });
    return [...ends.map((end) => end && takeGradient(end)), ...leaves.map(() => null)];
  };
  // The leaves get their gradients from the walk inside; as inputs they tell that this node leads to them.
  const ofLeaves = leaves.map(({ tensor }) => tensor);
  return record('checkpoint', output, [{ inputs: [...inputs, ...ofLeaves], saves: inputs, gradient }]);
}

/** A leaf behind an operation: contributions meet there as they do at what is computed, in one kernel if they can, not as at a leaf. */
function pass(leaf: Tensor): Tensor {
  const passed = leaf.view({ shape: leaf.shape, strides: leaf.strides }, 'checkpoint');
  return record('checkpoint-input', passed, [{ input: leaf, gradient: (g) => g }]);
}

function takeGradient({ node }: Tensor): Tensor | null {
  return node instanceof LeafNode ? node.gradient : null;
}
