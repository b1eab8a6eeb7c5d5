// The GPT of the benchmark in jax-js: one jitted function a step. Frozen parameters go in as plain inputs, so each freeze
// is another function, traced and compiled anew. An array is used up by its use; `.ref` keeps it for another one.

import './dawn.mjs';
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { batch, initialWeights, workload } from '../step/workload.ts';
import { measurePeer } from './measure.mjs';

const { batch: B, time: T, width: D, heads: H, vocabulary: V, normEpsilon, learningRate, betas, epsilon } = workload;
const headSize = D / H;
const frozenGroups = { none: [], early: ['embeddings', 'block0'], late: ['block1', 'end'] };

const array = ({ shape, data }) => np.array(data).reshape(shape);

function parameterGroups() {
  const { tokens, positions, head, blocks } = initialWeights();
  const [block0, block1] = blocks.map(({ queryKeyValue, output, up, down }) => ({
    norm1: np.ones([D]),
    norm2: np.ones([D]),
    queryKeyValue: array(queryKeyValue),
    output: array(output),
    up: array(up),
    down: array(down),
  }));
  return {
    embeddings: { tokens: array(tokens), positions: array(positions) },
    block0,
    block1,
    end: { head: array(head), norm: np.ones([D]) },
  };
}

function layerNorm(x, gain) {
  const centered = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centered.ref).mean(-1, { keepdims: true });
  return centered.div(np.sqrt(variance.add(normEpsilon))).mul(gain);
}

const linear = (x, weight) => np.matmul(x.reshape([B * T, x.shape.at(-1)]), weight);

function attention(x, { queryKeyValue, output }, mask) {
  const byHead = linear(x, queryKeyValue).reshape([B, T, 3, H, headSize]).transpose([2, 0, 3, 1, 4]);
  const query = byHead.ref.slice(0);
  const key = byHead.ref.slice(1);
  const value = byHead.slice(2);
  const scores = np.matmul(query, key.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(headSize));
  const mixed = np.matmul(nn.softmax(scores.add(mask), -1), value).transpose([0, 2, 1, 3]);
  return linear(mixed.reshape([B, T, D]), output).reshape([B, T, D]);
}

function lossOf(live, frozen, { tokens, targets, mask }) {
  const { embeddings, block0, block1, end } = { ...live, ...frozen };
  let x = np.matmul(tokens, embeddings.tokens).reshape([B, T, D]).add(embeddings.positions);
  for (const block of [block0, block1]) {
    x = x.ref.add(attention(layerNorm(x, block.norm1), block, mask.ref));
    const hidden = nn.relu(linear(layerNorm(x.ref, block.norm2), block.up));
    x = x.add(linear(hidden, block.down).reshape([B, T, D]));
  }
  mask.dispose();
  const logits = linear(layerNorm(x, end.norm), end.head);
  return nn
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .mul(-1 / (B * T));
}

/** Without the correction of the running means, which the others make: it is two numbers a step. */
function adam(live, means, squares, gradients) {
  const nextMeans = tree.map((m, g) => m.mul(betas[0]).add(g.mul(1 - betas[0])), means, tree.ref(gradients));
  const nextSquares = tree.map((v, g) => v.mul(betas[1]).add(np.square(g).mul(1 - betas[1])), squares, gradients);
  const next = tree.map(
    (p, m, v) => p.sub(m.div(np.sqrt(v).add(epsilon)).mul(learningRate)),
    live,
    tree.ref(nextMeans),
    tree.ref(nextSquares),
  );
  return [next, nextMeans, nextSquares];
}

function build(name) {
  const groups = Object.entries(parameterGroups());
  const isFrozen = ([group]) => frozenGroups[name].includes(group);
  const frozen = Object.fromEntries(groups.filter(isFrozen));
  let live = Object.fromEntries(groups.filter((group) => !isFrozen(group)));
  let means = tree.map((p) => np.zerosLike(p), tree.ref(live));
  let squares = tree.map((p) => np.zerosLike(p), tree.ref(live));

  const { tokens, targets } = batch();
  const data = {
    tokens: nn.oneHot(np.array(tokens), V),
    targets: nn.oneHot(np.array(targets), V),
    mask: np.triu(np.ones([T, T]), 1).mul(-1e9),
  };
  const lossAndGradients = valueAndGrad(lossOf);
  const step = jit((live, means, squares, frozen, data) => {
    const [loss, gradients] = lossAndGradients(tree.ref(live), frozen, data);
    return [loss, ...adam(live, means, squares, gradients)];
  });
  return async () => {
    const [loss, ...next] = step(live, means, squares, tree.ref(frozen), tree.ref(data));
    [live, means, squares] = next;
    await blockUntilReady(live);
    return (await loss.data())[0];
  };
}

await measurePeer({
  async prepare(device) {
    await init();
    defaultDevice(device);
  },
  build,
});
