// Matrix products in jax-js, jitted. An array is used up by its use; `.ref` keeps it for another one.

import './dawn.mjs';
import { blockUntilReady, defaultDevice, init, jit, numpy as np, vjp } from '@jax-js/jax';
import { cases, operands } from '../matmul/workload.ts';
import { measureOperations } from '../measure-operations.ts';
import { startPeer } from './start.mjs';

const product = jit((a, b) => np.matmul(a, b));
const gradients = jit((a, b, g) => {
  const [c, backward] = vjp(np.matmul, [a, b]);
  return [c, ...backward(g)];
});

function build(one) {
  const { m, k, n, withGradients } = one;
  const values = operands(one);
  const a = np.array(values.a).reshape([m, k]);
  const b = np.array(values.b).reshape([k, n]);
  const g = np.array(values.g).reshape([m, n]);
  return {
    async run(times) {
      const results = [];
      // All of them are kept to the end: what is disposed of before anyone waits for it is never computed.
      for (let i = 0; i < times; i++)
        results.push(withGradients ? gradients(a.ref, b.ref, g.ref) : [product(a.ref, b.ref)]);
      await blockUntilReady(results);
      for (const each of results.flat()) each.dispose();
    },
    release() {
      for (const each of [a, b, g]) each.dispose();
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
