import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { LeafNode } from '../../src/autograd/node.ts';
import {
  add,
  backward,
  type Device,
  Graph,
  gelu,
  gradientOf,
  layerNorm,
  matmul,
  requireGradient,
  reshape,
  rmsNorm,
  silu,
  snapshotWork,
  step,
  sum,
  swiglu,
  type Tensor,
  workSince,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { random } from '../shapes.ts';

/** Large enough that the result is not kept: 300 KiB. */
const [rows, columns] = [300, 256];
const resultBytes = 4 * rows * columns;

type Operation = (x: Tensor, y: Tensor, gain: Tensor, bias: Tensor) => Tensor;
const operations: Readonly<Record<string, Operation>> = {
  gelu: (x) => gelu(x),
  silu: (x) => silu(x),
  swiglu: (x, y) => swiglu(x, y),
  rmsNorm: (x, _, gain) => rmsNorm(x, gain),
  layerNorm: (x, _, gain, bias) => layerNorm(x, gain, bias),
};

function leaves(device: Device, size = rows) {
  const leaf = (shape: number[], seed: number) => requireGradient(random(shape, { seed, device }));
  return {
    x: leaf([size, columns], 1),
    y: leaf([size, columns], 2),
    gain: leaf([columns], 3),
    bias: leaf([columns], 4),
    weight: leaf([columns, 8], 5),
  };
}
type Leaves = ReturnType<typeof leaves>;

/** The bits of each gradient; a list of so many numbers would take minutes to be compared and shown. */
async function gradientsOf(all: Leaves, times = 1): Promise<Record<string, string | null>> {
  const found: Record<string, string | null> = {};
  for (const [name, each] of Object.entries(all)) {
    const data = await gradientOf(each)?.data();
    found[name] = data
      ? createHash('sha256')
          .update(Float32Array.from(data, (each) => times * each))
          .digest('hex')
      : null;
  }
  return found;
}

onEachDevice((device) => {
  describe.each(Object.entries(operations))('the result of %s', (_, operation) => {
    /** A product of the result; of a view of it where it shall be kept, because a view cannot be computed again. */
    const productOf = ({ x, y, gain, bias, weight }: Leaves, isKept: boolean) => {
      const result = operation(x, y, gain, bias);
      return sum(matmul(isKept ? reshape(result, [rows, columns]) : result, weight));
    };

    test('is computed again for the gradients that need it, to the same bits, and not kept', async () => {
      const runs = [true, false].map((isKept) =>
        step(async () => {
          const all = leaves(device);
          const loss = productOf(all, isKept);
          const { savedBytes } = new Graph(loss).summary();
          backward(loss);
          const { liveBytes } = device.memory();
          return { savedBytes, liveBytes, gradients: await gradientsOf(all) };
        }),
      );
      const [kept, again] = [await runs[0], await runs[1]];
      expect(again.gradients).toEqual(kept.gradients);
      expect(kept.savedBytes - again.savedBytes).toBe(resultBytes);
      // Neither is left when the backward pass has gone by.
      expect(again.liveBytes).toBe(kept.liveBytes);
    });

    test('is there for a second pass over a graph that was kept, and gone after the step', async () => {
      const before = device.memory().liveBytes;
      await step(async () => {
        const all = leaves(device);
        const loss = productOf(all, false);
        backward(loss, null, { retainGraph: true });
        const twice = await gradientsOf(all, 2);
        backward(loss);
        expect(await gradientsOf(all)).toEqual(twice);
      });
      expect(device.memory().liveBytes).toBe(before);
    });

    test('is right where what it was computed from froze in between', async () => {
      await step(async () => {
        const [live, frozen] = [leaves(device), leaves(device)];
        backward(productOf(live, false));
        const loss = productOf(frozen, false);
        const { weight, ...others } = frozen;
        for (const { node } of Object.values(others)) if (node instanceof LeafNode) node.live = false;
        backward(loss);
        const { x, weight: found } = await gradientsOf(frozen);
        expect(x).toBeNull();
        expect(found).toEqual((await gradientsOf(live)).weight);
      });
    });
  });

  test('one computation serves all that need it', async () => {
    await step(async () => {
      const { x, gain, weight } = leaves(device);
      const normal = rmsNorm(x, gain);
      const loss = sum(
        add(matmul(normal, weight), matmul(normal, requireGradient(random([columns, 8], { seed: 6, device })))),
      );
      const before = snapshotWork(device);
      backward(loss);
      expect(workSince(device, before).dispatches.get('normalize')).toBe(1);
    });
  });

  test('small results are kept: a dispatch would cost more', async () => {
    await step(async () => {
      const { x, gain, weight } = leaves(device, 255);
      const loss = sum(matmul(rmsNorm(x, gain), weight));
      const before = snapshotWork(device);
      backward(loss);
      expect(workSince(device, before).dispatches.get('normalize')).toBeUndefined();
    });
  });
});
