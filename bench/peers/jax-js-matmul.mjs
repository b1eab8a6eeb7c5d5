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
      let last = [];
      for (let i = 0; i < times; i++) {
        for (const each of last) each.dispose();
        last = withGradients ? gradients(a.ref, b.ref) : [product(a.ref, b.ref)];
      }
      await blockUntilReady(last);
      // A value on the host: only that is proof that it was computed.
      const [first, ...others] = last;
      await first.reshape([-1]).slice([0, 1]).data();
      for (const each of others) each.dispose();
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
