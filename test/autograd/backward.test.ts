import { describe, expect, test } from 'vitest';
import { LeafNode, type OperationNode } from '../../src/autograd/node.ts';
import { record } from '../../src/autograd/record.ts';
import {
  ArgumentError,
  BackwardError,
  concatenate,
  DeviceMismatchError,
  DTypeError,
  detach,
  forget,
  gradientOf,
  keep,
  noGrad,
  ReleasedTensorError,
  requireGradient,
  ShapeError,
  scope,
  snapshotWork,
  step,
  sum,
  type Tensor,
  tensor,
  workSince,
  zeros,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { cpu, onEachDevice, webgpu } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';

function leafOf(tensor: Tensor): LeafNode {
  if (tensor.node instanceof LeafNode) return tensor.node;
  throw new Error('not a leaf');
}

function operationOf(tensor: Tensor): OperationNode {
  if (tensor.node && !(tensor.node instanceof LeafNode)) return tensor.node;
  throw new Error('no operation was recorded');
}

onEachDevice((device) => {
  const numbers = (...values: number[]) => tensor(values, { device });
  const leaf = (...values: number[]) => requireGradient(numbers(...values));

  describe('the walk', () => {
    test('x + x hands both operands one gradient, and it counts twice', async () => {
      await step(async () => {
        const x = leaf(1, 2);
        sum(x.add(x)).backward();
        expect(await x.gradient?.toArray()).toEqual([2, 2]);
      });
    });

    test('x · x, and x used three times', async () => {
      await step(async () => {
        const x = leaf(2, 3);
        x.mul(x).add(x).sum().backward();
        expect(await x.gradient?.toArray()).toEqual([5, 7]);
      });
    });

    test('paths of different length meet before the node they come from is visited', async () => {
      await step(async () => {
        const x = leaf(1, 2);
        const shared = x.mul(3);
        const long = shared.exp().log().neg().neg();
        shared.add(long).add(shared).sum().backward();
        await expectClose(x.gradient ?? zeros([]), numbers(9, 9));
      });
    });

    test('a gradient that is still needed elsewhere is not added to in place', async () => {
      await step(async () => {
        const x = leaf(1, 1);
        const y = leaf(1, 1);
        // The gradient of the sum goes unchanged to both, and to x once more.
        x.add(y).add(x).sum().backward();
        expect(await y.gradient?.toArray()).toEqual([1, 1]);
        expect(await x.gradient?.toArray()).toEqual([2, 2]);
      });
    });

    test('the seed weights the outputs, and stays as it was', async () => {
      await step(async () => {
        const x = leaf(1, 2);
        const seed = numbers(10, 100);
        x.add(x).backward(seed);
        expect(await x.gradient?.toArray()).toEqual([20, 200]);
        x.neg().backward(seed);
        expect(await x.gradient?.toArray()).toEqual([10, 100]);
        expect(await seed.toArray()).toEqual([10, 100]);
      });
    });

    test('a leaf is its own gradient path', async () => {
      await step(async () => {
        const x = leaf(3);
        x.backward();
        expect(await x.gradient?.toArray()).toEqual([1]);
      });
    });

    test('two passes accumulate what one over the sum gives', async () => {
      await step(async () => {
        const w = random([3, 2], { seed: 1, device });
        const [whole, parts] = [requireGradient(w), requireGradient(w.view({ shape: w.shape }, 'parts'))];
        const batches = [2, 3].map((seed) => random([4, 3], { seed, device }));
        const losses = (weights: Tensor) => batches.map((batch) => batch.matmul(weights).tanh().sum());
        const [first, second] = losses(whole);
        first.add(second).backward();
        for (const loss of losses(parts)) loss.backward();
        await expectClose(parts.gradient ?? zeros([]), whole.gradient ?? zeros([]));
      });
    });

    test('the gradient of a step is gone with the step, and the next one starts anew', async () => {
      const x = leaf(1, 2);
      await step(() => sum(x.mul(3)).backward());
      expect(x.gradient).toBeNull();
      await step(async () => {
        sum(x.mul(5)).backward();
        expect(await x.gradient?.toArray()).toEqual([5, 5]);
      });
    });

    test('only leaves have a gradient', async () => {
      await step(() => {
        const x = leaf(1);
        const y = x.mul(2);
        y.backward();
        expect(y.gradient).toBeNull();
        expect(numbers(1).gradient).toBeNull();
        expect(gradientOf(x)).toBe(x.gradient);
      });
    });

    test('requireGradient of a result is refused; of a detached one it cuts the graph', async () => {
      await step(async () => {
        const x = leaf(1, 2, 3, 4);
        const result = x.mul(2).reshape([2, 2]).transpose().slice([1]);
        expect(() => requireGradient(result)).toThrow(/'slice' is computed from tensors that need a gradient.*detach/);
        const cut = requireGradient(detach(result));
        cut.mul(10).sum().backward();
        expect(await cut.gradient?.toArray()).toEqual([[10, 10]]);
        expect(x.gradient).toBeNull();
      });
    });

    test('a chain of 5,000 operations neither overflows the stack nor visits a node twice', async () => {
      await step(async () => {
        const x = leaf(1);
        let y: Tensor = x;
        for (let i = 0; i < 5000; i++) y = y.add(y);
        y = y.mul(0);
        const before = device.work.totalDispatches;
        y.backward(numbers(1));
        // One for the product, and for each sum one that adds its two equal contributions.
        expect(device.work.totalDispatches - before).toBe(5001);
        expect(await x.gradient?.toArray()).toEqual([0]);
      });
    });
  });

  describe('what is recorded', () => {
    test('nothing where no input is live', () => {
      const x = numbers(1, 2);
      const frozen = leaf(3, 4);
      leafOf(frozen).live = false;
      for (const result of [x.add(x), x.mul(frozen), frozen.exp(), frozen.reshape([2, 1]), concatenate([x, frozen])]) {
        expect(result.node).toBeUndefined();
      }
      leafOf(frozen).live = true;
      expect(x.mul(frozen).node).toBeDefined();
    });

    test('nothing under noGrad, across awaits, until it settles or throws', async () => {
      const x = leaf(1, 2);
      expect(noGrad(() => x.exp()).node).toBeUndefined();
      expect(x.exp().node).toBeDefined();
      const late = await noGrad(async () => {
        await x.data();
        return x.exp();
      });
      expect(late.node).toBeUndefined();
      expect(x.exp().node).toBeDefined();
      const failed = noGrad(async () => {
        await x.data();
        throw new Error('inside');
      });
      await expect(failed).rejects.toThrow('inside');
      expect(x.exp().node).toBeDefined();
      expect(() =>
        noGrad(() => {
          throw new Error('at once');
        }),
      ).toThrow('at once');
      expect(x.exp().node).toBeDefined();
    });

    test('nothing of the backward pass itself', async () => {
      await step(() => {
        const x = leaf(1, 2);
        x.exp().sum().backward();
        expect(x.gradient?.node).toBeUndefined();
      });
    });
  });

  describe('what is saved', () => {
    test('an operand only if the other side needs it', async () => {
      await step(() => {
        const make = () => [random([4, 3], { seed: 1, device }), random([3, 2], { seed: 2, device })];
        const cases: [boolean, boolean, [number, number]][] = [
          [false, false, [1, 1]],
          [true, false, [1, 2]],
          [false, true, [2, 1]],
          [true, true, [2, 2]],
        ];
        for (const [liveX, liveW, references] of cases) {
          const [x, w] = make();
          if (liveX) requireGradient(x);
          if (liveW) requireGradient(w);
          scope('forward', () => x.matmul(w));
          expect([x.storage.references, w.storage.references]).toEqual(references);
        }
      });
    });

    test('an operation that needs no operand saves none', async () => {
      await step(() => {
        const x = leaf(1, 2);
        for (const result of [x.add(1), x.neg(), x.sum(), x.reshape([2, 1]), x.slice([1])]) {
          expect(operationOf(result).rules.flatMap(({ saved }) => saved)).toEqual([]);
        }
        expect(operationOf(x.exp()).rules.flatMap(({ saved }) => saved)).toHaveLength(1);
      });
    });

    test('what is saved outlives the tensor it came from', async () => {
      await step(async () => {
        const x = leaf(1, 2);
        const hidden = x.mul(3);
        const result = hidden.mul(hidden).sum();
        hidden.release();
        result.backward();
        expect(await x.gradient?.toArray()).toEqual([18, 36]);
      });
    });

    test('the backward pass frees it', async () => {
      const x = random([64], { seed: 1, device });
      requireGradient(x);
      await step(() => {
        const before = device.memory().liveBytes;
        const loss = scope('forward', () => {
          const hidden = x.exp();
          return hidden.tanh().mul(hidden).sum();
        });
        // The exponential, its tanh, and the sum; the product is what nobody needs.
        expect(device.memory().liveBytes - before).toBe(256 + 256 + 4);
        loss.backward();
        // The sum, and the gradient of x.
        expect(device.memory().liveBytes - before).toBe(4 + 256);
      });
    });
  });

  describe('what is frozen', () => {
    test('a leaf frozen between forward and backward gets no gradient, and nothing is dispatched for it', async () => {
      await step(async () => {
        const x = random([4, 3], { seed: 1, device });
        const make = () => [2, 3].map((seed) => requireGradient(random([3, 3], { seed, device })));
        const run = (freeze: boolean) => {
          const [first, second] = make();
          const loss = x.matmul(first).matmul(second).sum();
          if (freeze) leafOf(first).live = false;
          const before = snapshotWork(device);
          loss.backward();
          return { first, second, matmuls: workSince(device, before).dispatches.get('matmul') };
        };
        const whole = run(false);
        const frozen = run(true);
        expect(whole.matmuls).toBe(3);
        // Neither the gradient of the first matrix nor that of its product, which only that one needs.
        expect(frozen.matmuls).toBe(1);
        expect(frozen.first.gradient).toBeNull();
        expect(await frozen.second.gradient?.data()).toEqual(await whole.second.gradient?.data());
      });
    });

    test('a graph recorded with a frozen leaf dispatches nothing below it', async () => {
      await step(() => {
        const x = random([4, 3], { seed: 1, device });
        const [first, second] = [2, 3].map((seed) => requireGradient(random([3, 3], { seed, device })));
        leafOf(first).live = false;
        const loss = x.matmul(first).matmul(second).sum();
        const before = snapshotWork(device);
        loss.backward();
        expect(workSince(device, before).dispatches.get('matmul')).toBe(1);
      });
    });

    test('where nothing live is left, backward says so', async () => {
      await step(() => {
        const x = leaf(1, 2);
        const loss = x.exp().sum();
        leafOf(x).live = false;
        expect(() => loss.backward()).toThrow(BackwardError);
        expect(() => loss.backward()).toThrow("backward: 'sum' [] depends on nothing that needs a gradient");
        expect(x.gradient).toBeNull();
        expect(() => requireGradient(numbers(1)).exp().sum().backward()).not.toThrow();
      });
    });
  });

  describe('two halves of a batch', () => {
    const splitRun = (samples: number, split: boolean, part?: [number, number]) => {
      const w = requireGradient(random([3, 2], { seed: 1, device }), 'w');
      if (split) leafOf(w).requestHalves();
      const batch = random([samples, 5, 3], { seed: 2, device });
      const x = part ? batch.slice([part[0]], [part[1]]) : batch;
      x.matmul(w).tanh().sum().backward();
      return w;
    };

    test.each([4, 5, 2, 3])(
      'of %d samples each is the gradient of its half, and they sum to the whole',
      async (samples) => {
        await step(async () => {
          const split = splitRun(samples, true);
          const halves = leafOf(split).halves ?? zeros([]);
          expect(halves.shape).toEqual([2, 3, 2]);
          const cut = Math.ceil(samples / 2);
          for (const [half, part] of [[0, cut] as const, [cut, samples] as const].entries()) {
            const alone = splitRun(samples, false, [...part]).gradient ?? zeros([]);
            await expectClose(halves.slice([half], [half + 1]).reshape([3, 2]), alone, { absolute: 1e-5 });
          }
          await expectClose(split.gradient ?? zeros([]), splitRun(samples, false).gradient ?? zeros([]), {
            absolute: 1e-5,
          });
          await expectClose(sum(halves, { axes: 0 }), split.gradient ?? zeros([]), { absolute: 1e-6 });
        });
      },
    );

    test('they accumulate over micro-batches like the gradient', async () => {
      await step(async () => {
        const w = requireGradient(random([3, 2], { seed: 1, device }), 'w');
        leafOf(w).requestHalves();
        const x = random([4, 3], { seed: 2, device });
        x.matmul(w).sum().backward();
        const once = await leafOf(w).halves?.data();
        x.matmul(w).sum().backward();
        const twice = await leafOf(w).halves?.data();
        expect(twice).toEqual(once?.map((value) => 2 * value));
        await expectClose(sum(leafOf(w).halves ?? zeros([]), { axes: 0 }), w.gradient ?? zeros([]));
      });
    });

    test('a sum that was asked for between two parts is taken anew', async () => {
      await step(async () => {
        const w = requireGradient(random([3, 2], { seed: 1, device }), 'w');
        leafOf(w).requestHalves();
        const x = random([4, 3], { seed: 2, device });
        x.matmul(w).sum().backward();
        const once = await w.gradient?.data();
        x.matmul(w).sum().backward();
        expect(await w.gradient?.data()).toEqual(once?.map((value) => 2 * value));
      });
    });

    test.each([true, false])(
      'a part that came whole ends them (the whole first: %s), and the gradient holds both',
      async (first) => {
        await step(async () => {
          const w = requireGradient(random([3, 2], { seed: 1, device }), 'w');
          const x = random([4, 3], { seed: 2, device });
          for (const split of first ? [false, true] : [true, false]) {
            const endRequest = split ? leafOf(w).requestHalves() : () => {};
            x.matmul(w).sum().backward();
            endRequest();
          }
          expect(leafOf(w).halves).toBeNull();
          const alone = requireGradient(random([3, 2], { seed: 1, device }), 'w');
          x.matmul(alone).sum().backward();
          await expectClose(w.gradient ?? zeros([]), (alone.gradient ?? zeros([])).mul(2), { absolute: 1e-5 });
        });
      },
    );

    test('they come while anybody asks for them', async () => {
      const w = requireGradient(random([3, 2], { seed: 1, device }), 'w');
      const leaf = leafOf(w);
      const comeInHalves = () =>
        step(() => {
          random([4, 3], { seed: 2, device }).matmul(w).sum().backward();
          return leaf.halves !== null;
        });
      expect(await comeInHalves()).toBe(false);
      const [endFirst, endSecond] = [leaf.requestHalves(), leaf.requestHalves()];
      endFirst();
      // Ending twice does not end what somebody else asked for.
      endFirst();
      expect(await comeInHalves()).toBe(true);
      endSecond();
      expect(await comeInHalves()).toBe(false);
      w.release();
    });

    test('a batch of one has none', async () => {
      await step(() => {
        expect(() => splitRun(1, true)).toThrow(BackwardError);
        expect(() => splitRun(1, true)).toThrow(
          'matmul: the gradient of w was asked for in two halves, but the batch holds 1 samples (allowed: 2 or more)',
        );
      });
    });
  });

  describe('bad input', () => {
    test('an output of several elements needs a seed of its shape', () => {
      const y = leaf(1, 2).exp();
      expect(() => y.backward()).toThrow(ShapeError);
      expect(() => y.backward()).toThrow('backward: an output of shape [2] needs a seed gradient of that shape');
      expect(() => y.backward(numbers(1, 2, 3))).toThrow(ShapeError);
      expect(() => y.backward(numbers(1, 2, 3))).toThrow('backward: seed [3] for an output [2]');
      expect(() => y.backward(numbers(1, 2))).not.toThrow();
    });

    test('nothing that needs a gradient', () => {
      const x = numbers(1).exp();
      expect(() => x.backward()).toThrow(BackwardError);
      expect(() => x.backward()).toThrow("backward: 'exp' [1] depends on nothing that needs a gradient");
    });

    test('a graph is walked once', async () => {
      await step(() => {
        const x = leaf(1, 2);
        const hidden = x.exp();
        const loss = hidden.sum();
        loss.backward();
        expect(() => loss.backward()).toThrow(BackwardError);
        expect(() => loss.backward()).toThrow("backward: the graph below 'sum' was already walked");
        expect(() => hidden.mul(2).sum().backward()).toThrow("backward: the graph below 'exp' was already walked");
      });
    });

    test('a tensor of a step that is over', async () => {
      const x = leaf(1, 2);
      const loss = await step(() => x.exp().sum());
      expect(() => loss.backward()).toThrow(ReleasedTensorError);
      expect(() => loss.backward()).toThrow(
        "backward: the tensor [] made by 'sum' was released because its step ended",
      );
      expect(x.gradient).toBeNull();
    });

    test('an output that was kept, but not what its gradient needs', async () => {
      const x = leaf(1, 2);
      const loss = await step(() => keep('loss', x.exp().sum()));
      expect(() => loss.backward()).toThrow(/made by 'exp' was released because its step ended/);
      forget('loss');
    });

    test('a rule that gives a gradient of the wrong shape or dtype is named', async () => {
      await step(() => {
        const x = leaf(1, 2, 3);
        const wrong = (gradient: Tensor) =>
          record('broken', numbers(1, 2, 3), [{ input: x, gradient: () => gradient }]).sum();
        expect(() => wrong(numbers(1, 2)).backward()).toThrow(ShapeError);
        expect(() => wrong(numbers(1, 2)).backward()).toThrow(
          "backward: 'broken' gave a gradient [2] of f32 for an input [3] of f32",
        );
        const integers = tensor(Int32Array.of(1, 2, 3), { device });
        expect(() => wrong(integers).backward()).toThrow("'broken' gave a gradient [3] of i32 for an input [3] of f32");
        expect(x.gradient).toBeNull();
      });
    });

    test('integers take no gradient', () => {
      const x = tensor(Int32Array.of(1), { device });
      expect(() => requireGradient(x)).toThrow(DTypeError);
      expect(() => requireGradient(x)).toThrow('requireGradient: integers have no gradient');
    });
  });
});

test('operands of different devices are refused by name', () => {
  const other = webgpu ?? new CpuDevice();
  const x = tensor([1, 2], { device: cpu });
  const y = tensor([1, 2], { device: other });
  for (const [name, act] of [
    ['add', () => x.add(y)],
    ['matmul', () => x.reshape([1, 2]).matmul(y.reshape([2, 1]))],
    ['matmul', () => x.reshape([2, 1]).matmul(x.reshape([1, 2]), y)],
    ['concatenate', () => concatenate([x, y])],
  ] as const) {
    expect(act).toThrow(DeviceMismatchError);
    expect(act).toThrow(new RegExp(`^${name}: one operand is .* on cpu .*, one .*\\[.*\\] on ${other.kind}`));
  }
});

test('a seed from another device is refused', () => {
  const x = requireGradient(tensor([1, 2], { device: cpu }));
  const seed = tensor([1, 2], { device: new CpuDevice() });
  expect(() => x.exp().backward(seed)).toThrow(DeviceMismatchError);
});

onEachDevice((device) => {
  test('a gradient kept by name is not added to by later steps', async () => {
    const w = requireGradient(tensor([1, 2], { device, owner: null }));
    for (let i = 0; i < 3; i++) {
      await step(async () => {
        expect(gradientOf(w)).toBeNull();
        w.mul(3).sum().backward();
        keep('gradient', gradientOf(w) ?? w);
        expect(await gradientOf(w)?.toArray()).toEqual([3, 3]);
      });
    }
    forget('gradient');
    w.release();
  });

  test('detach cuts a value off from its graph', async () => {
    await step(() => {
      const w = requireGradient(tensor([2], { device }));
      const y = w.mul(3);
      expect(y.node).toBeDefined();
      expect(detach(y).node).toBeUndefined();
      y.mul(detach(y)).sum().backward();
      return expect(gradientOf(w)?.toArray()).resolves.toEqual([18]);
    });
  });
});

onEachDevice((device) => {
  test('a graph that is kept can be walked again, and adds up', async () => {
    await step(async () => {
      const x = requireGradient(tensor([1, 2], { device }));
      const y = x.mul(x).exp().sum();
      y.backward(null, { retainGraph: true });
      const once = [...((await x.gradient?.data()) ?? [])];
      y.backward();
      expect([...((await x.gradient?.data()) ?? [])]).toEqual(once.map((gradient) => Math.fround(2 * gradient)));
      expect(() => y.backward()).toThrow(/already walked.*retainGraph: true/);
      expect(() => Reflect.apply(y.backward, y, [{ retainGraph: true }])).toThrow(ArgumentError);
      expect(() => Reflect.apply(y.backward, y, [null, { retain_graph: true }])).toThrow(
        "there is no option 'retain_graph'",
      );
    });
  });
});
