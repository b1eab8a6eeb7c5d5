// Attention in TensorFlow.js, composed of products and a softmax.

import './dawn.mjs';
import tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgpu';
import { cases, shape, values } from '../attention/workload.ts';
import { measureOperations } from '../measure-operations.ts';
import { startPeer } from './start.mjs';

const { batch, heads, headSize } = shape;

function build(one) {
  const { time } = one;
  const inputs = values(one).map((each) => tf.tensor(each, [batch, time, heads, headSize]));
  const mask = tf.tensor(
    Float32Array.from({ length: time * time }, (_, i) => (i % time > Math.floor(i / time) ? -1e9 : 0)),
    [time, time],
  );
  const gradients = tf.grads((q, k, v) => {
    const [byQuery, byKey, byValue] = [q, k, v].map((each) => each.transpose([0, 2, 1, 3]));
    const scores = tf.matMul(byQuery, byKey, false, true).mul(1 / Math.sqrt(headSize));
    return tf.sum(tf.matMul(tf.softmax(scores.add(mask), -1), byValue).transpose([0, 2, 1, 3]));
  });
  return {
    async run(times) {
      let last = [];
      for (let i = 0; i < times; i++) {
        tf.dispose(last);
        last = gradients(inputs);
      }
      for (const each of last) {
        const element = tf.tidy(() => tf.slice(each.flatten(), [0], [1]));
        await element.data();
        element.dispose();
      }
      tf.dispose(last);
    },
    release: () => tf.dispose([...inputs, mask]),
  };
}

await startPeer(
  async (device) => {
    if (!(await tf.setBackend(device))) throw new Error(`tfjs has no backend ${device} here`);
    await tf.ready();
  },
  () => measureOperations(cases, build),
);
