// Matrix products in TensorFlow.js.

import './dawn.mjs';
import tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgpu';
import { cases, operands } from '../matmul/workload.ts';
import { measureOperations } from '../measure-operations.ts';
import { startPeer } from './start.mjs';

const gradients = tf.grads((a, b) => tf.matMul(a, b));

function build(one) {
  const { m, k, n, withGradients } = one;
  const values = operands(one);
  const a = tf.tensor2d(values.a, [m, k]);
  const b = tf.tensor2d(values.b, [k, n]);
  const g = tf.tensor2d(values.g, [m, n]);
  return {
    async run(times) {
      let last = [];
      for (let i = 0; i < times; i++) {
        tf.dispose(last);
        last = withGradients ? gradients([a, b], g) : [tf.matMul(a, b)];
      }
      for (const each of last) {
        const element = tf.tidy(() => tf.slice(each.flatten(), [0], [1]));
        await element.data();
        element.dispose();
      }
      tf.dispose(last);
    },
    release: () => tf.dispose([a, b, g]),
  };
}

await startPeer(
  async (device) => {
    if (!(await tf.setBackend(device))) throw new Error(`tfjs has no backend ${device} here`);
    await tf.ready();
  },
  () => measureOperations(cases, build),
);
