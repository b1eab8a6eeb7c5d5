// Matrix products in jax-js, jitted. An array is used up by its use; `.ref` keeps it for another one.

import './dawn.mjs';
import { blockUntilReady, defaultDevice, grad, init, jit, numpy as np } from '@jax-js/jax';
import { cases, operands } from '../matmul/workload.ts';
import { measureOperations } from '../measure-operations.ts';
import { startPeer } from './start.mjs';

const product = jit((a, b) => np.matmul(a, b));
const gradients = jit((a, b) => grad((x, y) => np.square(np.matmul(x, y)).sum(), { argnums: [0, 1] })(a, b));

function build(one) {
  const { m, k, n, withGradients } = one;
  const values = operands(one);
  const a = np.array(values.a).reshape([m, k]);
  const b = np.array(values.b).reshape([k, n]);
  return {
    async run(times) {
      const results = [];
      // All of them are kept to the end: what is disposed of before anyone waits for it is never computed.
      for (let i = 0; i < times; i++) results.push(withGradients ? gradients(a.ref, b.ref) : [product(a.ref, b.ref)]);
      await blockUntilReady(results);
      for (const each of results.flat()) each.dispose();
    },
    release() {
      a.dispose();
      b.dispose();
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
