// Attention in jax-js, composed of products and a softmax, jitted.

import './dawn.mjs';
import { blockUntilReady, defaultDevice, grad, init, jit, nn, numpy as np } from '@jax-js/jax';
import { cases, shape, values } from '../attention/workload.ts';
import { measureOperations } from '../measure-operations.ts';
import { startPeer } from './start.mjs';

const { batch, heads, headSize } = shape;

/** q, k and v of shape (batch, time, heads, headSize). */
function attention(q, k, v, mask) {
  const scores = np
    .matmul(q.transpose([0, 2, 1, 3]), k.transpose([0, 2, 3, 1]))
    .mul(1 / Math.sqrt(headSize))
    .add(mask);
  return np.matmul(nn.softmax(scores, -1), v.transpose([0, 2, 1, 3])).transpose([0, 2, 1, 3]);
}

function build(one) {
  const { time } = one;
  const [q, k, v] = values(one).map((each) => np.array(each).reshape([batch, time, heads, headSize]));
  const mask = np.triu(np.ones([time, time]), 1).mul(-1e9);
  const gradients = jit((q, k, v, mask) =>
    grad((x, y, z) => attention(x, y, z, mask).sum(), { argnums: [0, 1, 2] })(q, k, v),
  );
  return {
    async run(times) {
      const results = [];
      // All of them are kept to the end: what is disposed of before anyone waits for it is never computed.
      for (let i = 0; i < times; i++) results.push(gradients(q.ref, k.ref, v.ref, mask.ref));
      await blockUntilReady(results);
      for (const each of results.flat()) each.dispose();
    },
    release() {
      for (const each of [q, k, v, mask]) each.dispose();
    },
  };
}

await startPeer(
  async (device) => {
    await init();
    defaultDevice(device);
  },
  () => measureOperations(cases, build),
);
