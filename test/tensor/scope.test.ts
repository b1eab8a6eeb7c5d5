import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type Device,
  forget,
  keep,
  ReleasedTensorError,
  requireGradient,
  StepError,
  scope,
  step,
  sum,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { currentScope, currentStep } from '../../src/tensor/scope.ts';
import { onEachDevice, onWebGpu, ownDevices } from '../devices.ts';

function live(device: Device): [number, number] {
  const { liveBuffers, liveBytes } = device.memory();
  return [liveBuffers, liveBytes];
}

onEachDevice(
  (device) => {
    const numbers = (...values: number[]) => tensor(values, { device });
    // Constants stay with the device; these are there before anything is counted.
    beforeAll(() => step(() => void numbers(1).mul(2).mul(3)));

    describe('a step', () => {
      test('gives back everything that was made in it, across awaits', async () => {
        const x = numbers(1, 2, 3);
        const before = live(device);
        const made: Tensor[] = [];
        await step(async () => {
          made.push(x.mul(2));
          await made[0].data();
          made.push(made[0].mul(2));
          await new Promise((resolve) => setTimeout(resolve, 1));
          made.push(made[1].reshape([3, 1]), sum(made[1]));
          expect(await made[3].item()).toBe(24);
        });
        expect(made.map((each) => each.isReleased)).toEqual([true, true, true, true]);
        expect(live(device)).toEqual(before);
        expect(await x.toArray()).toEqual([1, 2, 3]);
      });

      test('gives back what it returns, and hands on values', async () => {
        const result = await step(async () => ({ y: numbers(1, 2), value: await numbers(3).item() }));
        expect(result.value).toBe(3);
        expect(result.y.isReleased).toBe(true);
      });

      test('gives back everything if its body throws, at once or later', async () => {
        const before = live(device);
        const bodies = [
          () => {
            numbers(1, 2).exp();
            throw new Error('in the body');
          },
          async () => {
            await numbers(1, 2).exp().data();
            numbers(1, 2).exp();
            throw new Error('in the body');
          },
          async () => {
            scope('inner', () => {
              numbers(1, 2).exp();
              throw new Error('in the body');
            });
          },
        ];
        for (const body of bodies) {
          await expect(step(body)).rejects.toThrow('in the body');
          expect(live(device)).toEqual(before);
          expect([currentScope(), currentStep()]).toEqual([null, null]);
        }
        expect(await step(() => numbers(4).item())).toBe(4);
      });

      test('refuses another one inside it, also after an await', async () => {
        const before = live(device);
        await step(async () => {
          const x = numbers(1, 2);
          for (const nested of [step(() => numbers(3)), x.data().then(() => step(() => numbers(3)))]) {
            await expect(nested).rejects.toThrow(StepError);
            await expect(nested).rejects.toThrow('a step was opened while another one is open');
          }
          // The one that was open goes on.
          expect(await x.mul(2).toArray()).toEqual([2, 4]);
        });
        expect(live(device)).toEqual(before);
      });

      test('waits for those that were asked for before it, also where they fail', async () => {
        const before = live(device);
        const order: string[] = [];
        const one = (name: string) =>
          step(async () => {
            order.push(`${name} begins`);
            await numbers(1).mul(2).item();
            order.push(`${name} ends`);
            if (name === 'b') throw new Error('in the body');
          });
        const ends = await Promise.allSettled(['a', 'b', 'c'].map(one));
        expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect(order).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
        expect(live(device)).toEqual(before);
      });

      test('owns nothing of what other code makes while it waits', async () => {
        let open = () => {};
        const waiting = step(
          () =>
            new Promise<void>((resolve) => {
              open = resolve;
            }),
        );
        const x = numbers(1, 2);
        const y = scope('outside', () => x.mul(2));
        open();
        await waiting;
        expect(await y.add(x).toArray()).toEqual([3, 6]);
        for (const each of [x, y]) each.release();
      });

      test('leaves alone what was made before it, and what is made after it', async () => {
        const before = numbers(1, 2);
        await step(() => before.mul(2));
        const after = before.mul(3);
        await step(() => {});
        expect(await after.toArray()).toEqual([3, 6]);
      });

      test('releases a view of a tensor that stays, and not the tensor', async () => {
        const x = numbers(1, 2, 3);
        const before = live(device);
        const view = await step(() => x.slice([1]));
        expect(view.isReleased).toBe(true);
        expect(live(device)).toEqual(before);
        expect(await x.slice([1]).toArray()).toEqual([2, 3]);
      });
    });

    describe('a tensor that was released', () => {
      test('says which operation made it, its shape and why it is gone, whatever is done with it', async () => {
        const x = numbers(1, 2);
        const gone = await step(() => x.reshape([2, 1]).exp());
        const uses: [string, () => unknown][] = [
          ['add', () => gone.add(x)],
          ['mul', () => x.mul(gone)],
          ['matmul', () => gone.matmul(gone)],
          ['sum', () => gone.sum()],
          ['reshape', () => gone.reshape([2])],
          ['slice', () => gone.slice([1])],
          ['keep', () => keep('gone', gone)],
          ['backward', () => gone.backward()],
        ];
        for (const [name, use] of uses) {
          expect(use).toThrow(ReleasedTensorError);
          expect(use).toThrow(`${name}: the tensor [2, 1] made by 'exp' was released because its step ended`);
        }
        await expect(gone.data()).rejects.toThrow("data: the tensor [2, 1] made by 'exp' was released");
        await expect(gone.toArray()).rejects.toThrow(ReleasedTensorError);
        const one = await step(() => numbers(1));
        await expect(one.item()).rejects.toThrow(ReleasedTensorError);
      });

      test('is released once', () => {
        const x = numbers(1, 2);
        const view = x.reshape([2, 1]);
        const before = live(device);
        x.release();
        x.release();
        expect(live(device)).toEqual(before);
        expect(() => x.exp()).toThrow('because release() was called');
        expect(view.isReleased).toBe(false);
        view.release();
        expect(live(device)).toEqual([before[0] - 1, before[1] - 8]);
      });

      test('may leave a read behind that is under way', async () => {
        const reading = await step(() => ({ promise: numbers(1, 2).mul(2).toArray() }));
        await step(() => numbers(7, 7).mul(2));
        expect(await reading.promise).toEqual([2, 4]);
      });
    });

    describe('a scope', () => {
      test('gives back all but what it returns: a tensor, a list, an object of them', async () => {
        await step(async () => {
          const x = numbers(1, 2, 3);
          const before = live(device);
          const single = scope('forward', () => x.mul(2).mul(2).mul(2));
          const list = scope('forward', () => [x.mul(2), { nested: x.mul(2).mul(2) }, 'text', null]);
          expect(live(device)).toEqual([before[0] + 3, before[1] + 36]);
          expect(await single.toArray()).toEqual([8, 16, 24]);
          expect(list).toHaveLength(4);
        });
      });

      test('hands on to the scope around it', async () => {
        await step(async () => {
          let inner: Tensor | null = null;
          const outer = scope('outer', () => {
            inner = scope('inner', () => numbers(1, 2).mul(2));
            return inner.mul(2);
          });
          expect(() => inner?.exp()).toThrow("made by 'mul' was released because its outer ended");
          expect(await outer.toArray()).toEqual([4, 8]);
        });
      });

      test('outside a step, what it returns lives on', async () => {
        const before = live(device);
        const kept = scope('set-up', () => numbers(1, 2).mul(2));
        await step(() => {});
        expect(await kept.toArray()).toEqual([2, 4]);
        expect(live(device)[0]).toBe(before[0] + 1);
        kept.release();
      });

      test('releases what its backward pass does not need, and keeps what it needs', async () => {
        await step(async () => {
          const x = requireGradient(numbers(1, 2));
          const loss = scope('forward', () => x.mul(x).exp().sum());
          loss.backward();
          const expected = [1, 2].map((value) => Math.fround(2 * value * Math.exp(value * value)));
          const gradient = (await x.gradient?.data()) ?? [];
          for (const [i, value] of expected.entries()) expect(gradient[i] / value).toBeCloseTo(1, 5);
        });
      });

      test('takes no asynchronous function', () => {
        const before = live(device);
        expect(() => scope('late', async () => numbers(1))).toThrow(StepError);
        expect(() => scope('late', async () => numbers(1))).toThrow("scope 'late' got an asynchronous function");
        expect(live(device)).toEqual(before);
      });
    });

    describe('what is kept by name', () => {
      test('outlives its step, until it is forgotten', async () => {
        const before = live(device);
        const x = await step(() => keep('state', numbers(1, 2).mul(3)));
        expect(await x.toArray()).toEqual([3, 6]);
        forget('state');
        expect(() => x.exp()).toThrow("made by 'mul' was released because 'state' was forgotten");
        expect(live(device)).toEqual(before);
        forget('state');
      });

      test('gives way to another tensor of that name, not to itself', async () => {
        const before = live(device);
        const first = await step(() => keep('state', numbers(1, 2)));
        keep('state', first);
        expect(first.isReleased).toBe(false);
        const second = await step(() => keep('state', first.mul(2)));
        expect(() => first.exp()).toThrow("was released because another tensor was kept as 'state'");
        expect(await second.toArray()).toEqual([2, 4]);
        expect(live(device)[0]).toBe(before[0] + 1);
        forget('state');
      });

      test('is lost to no tensor that cannot be kept', async () => {
        const first = await step(() => keep('state', numbers(1, 2)));
        const gone = await step(() => numbers(3));
        expect(() => keep('state', gone)).toThrow(ReleasedTensorError);
        expect(await first.toArray()).toEqual([1, 2]);
        forget('state');
      });
    });
  },
  await ownDevices(),
);

describe('garbage collection', () => {
  setFlagsFromString('--expose_gc');
  const collectGarbage: unknown = runInNewContext('gc');

  /** Collects garbage, and lets finalizers run, until `done`. */
  async function collect(done: () => boolean, rounds: number): Promise<void> {
    if (typeof collectGarbage !== 'function') expect.fail('no garbage collector to call');
    for (let i = 0; i < rounds && !done(); i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  test('gives back a tensor that nobody owns or holds', async () => {
    const device = new CpuDevice();
    const held = tensor([1, 2], { device });
    for (let i = 0; i < 50; i++) held.exp().reshape([2, 1]);
    expect(device.memory().liveBuffers).toBe(51);
    await collect(() => device.memory().liveBuffers === 1, 50);
    expect(device.memory().liveBuffers).toBe(1);
    expect(await held.toArray()).toEqual([1, 2]);
  });

  test('does not give back again what was released', async () => {
    const device = new CpuDevice();
    const views = Array.from({ length: 20 }, (_, i) => {
      const whole = tensor([i, i], { device });
      const view = whole.reshape([2, 1]);
      whole.release();
      return view;
    });
    await collect(() => device.memory().liveBuffers < 20, 8);
    expect(device.memory().liveBuffers).toBe(20);
    for (const [i, view] of views.entries()) expect(await view.toArray()).toEqual([[i], [i]]);
  });
});

test('a step whose tensors all live in inner scopes still gives the event loop its turn', async () => {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  await step(() => scope('inner', () => void tensor([1], { device: new CpuDevice() }).exp()));
  expect(turned).toBe(true);
});

test('the error of a step is the one its body threw', async () => {
  const failing = step(() => {
    throw new RangeError('from the body');
  });
  await expect(failing).rejects.toThrow('from the body');
});

onWebGpu((device) => {
  test('a step whose tensors all live in inner scopes is submitted when it ends', async () => {
    // What other tests left recorded would be submitted too.
    await device.synchronize();
    const before = device.made.submissions;
    await step(() => scope('inner', () => void tensor([1], { device }).exp()));
    expect(device.made.submissions).toBe(before + 1);
  });
});
