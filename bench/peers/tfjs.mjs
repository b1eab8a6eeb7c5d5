// The GPT of the benchmark in TensorFlow.js: eager operations on a tape. What is frozen is left out of the list of variables
// that `minimize` takes. Its Adam keeps moments by position in that list, so each case gets an optimizer of its own.

import './dawn.mjs';
import tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgpu';
import { batch, initialWeights, workload } from '../step/workload.ts';
import { measurePeer } from './measure.mjs';

const { batch: B, time: T, width: D, heads: H, vocabulary: V, normEpsilon, learningRate, betas, epsilon } = workload;
const headSize = D / H;

const variable = ({ shape, data }) => tf.variable(tf.tensor(data, shape));
const gain = () => tf.variable(tf.ones([D]));

function makeParameters() {
  const { tokens, positions, head, blocks } = initialWeights();
  return {
    tokens: variable(tokens),
    positions: variable(positions),
    blocks: blocks.map(({ queryKeyValue, output, up, down }) => ({
      norm1: gain(),
      norm2: gain(),
      queryKeyValue: variable(queryKeyValue),
      output: variable(output),
      up: variable(up),
      down: variable(down),
    })),
    norm: gain(),
    head: variable(head),
  };
}

function liveVariables(name, { tokens, positions, blocks, norm, head }) {
  const early = [tokens, positions, ...Object.values(blocks[0])];
  const late = [...Object.values(blocks[1]), norm, head];
  return [...(name === 'early' ? [] : early), ...(name === 'late' ? [] : late)];
}

function layerNorm(x, gain) {
  const centered = x.sub(tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centered), -1, true);
  return centered.div(tf.sqrt(variance.add(normEpsilon))).mul(gain);
}

const linear = (x, weight) => tf.matMul(x.reshape([B * T, x.shape.at(-1)]), weight);

function attention(x, { queryKeyValue, output }, mask) {
  const byHead = linear(x, queryKeyValue)
    .reshape([B, T, 3 * H, headSize])
    .transpose([0, 2, 1, 3]);
  const [query, key, value] = [0, 1, 2].map((i) => tf.slice(byHead, [0, i * H, 0, 0], [B, H, T, headSize]));
  const scores = tf.matMul(query, key, false, true).mul(1 / Math.sqrt(headSize));
  const mixed = tf.matMul(tf.softmax(scores.add(mask), -1), value).transpose([0, 2, 1, 3]);
  return linear(mixed.reshape([B, T, D]), output).reshape([B, T, D]);
}

function lossOf(parameters, { tokens, targets, mask }) {
  let x = tf.matMul(tokens, parameters.tokens).reshape([B, T, D]).add(parameters.positions);
  for (const block of parameters.blocks) {
    x = x.add(attention(layerNorm(x, block.norm1), block, mask));
    const hidden = tf.relu(linear(layerNorm(x, block.norm2), block.up));
    x = x.add(linear(hidden, block.down).reshape([B, T, D]));
  }
  const logits = linear(layerNorm(x, parameters.norm), parameters.head);
  return tf
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .mul(-1 / (B * T));
}

function build(name) {
  const parameters = makeParameters();
  const live = liveVariables(name, parameters);
  const optimizer = tf.train.adam(learningRate, betas[0], betas[1], epsilon);
  const oneHot = (ids) => tf.oneHot(tf.tensor1d(ids, 'int32'), V).toFloat();
  const { tokens, targets } = batch();
  const future = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0));
  const data = { tokens: oneHot(tokens), targets: oneHot(targets), mask: tf.tensor(future, [T, T]) };
  return async () => {
    const loss = optimizer.minimize(() => lossOf(parameters, data), true, live);
    const [value] = await loss.data();
    loss.dispose();
    // A read of a weight as well, so that the update is over too.
    const updated = tf.tidy(() => tf.slice(live.at(-1).flatten(), [0], [1]));
    await updated.data();
    updated.dispose();
    return value;
  };
}

await measurePeer({
  async prepare(device) {
    if (!(await tf.setBackend(device))) throw new Error(`tfjs has no backend ${device} here`);
    await tf.ready();
  },
  build,
});
