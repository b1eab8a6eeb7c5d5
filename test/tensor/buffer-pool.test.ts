import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OutOfMemoryError, scope, tensor, zeros } from '../../src/index.ts';
import { BufferPool, type DeviceBuffer } from '../../src/tensor/buffer-pool.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { collectGarbage } from '../nn/tiny.ts';
import { runs } from '../shapes.ts';

function makePool(budget = Number.POSITIVE_INFINITY) {
  const alive = new Map<number, number>();
  const pool = new BufferPool<number>({
    create: (size, id) => {
      alive.set(id, size);
      return id;
    },
    destroy: (resource, id) => {
      expect(resource).toBe(id);
      expect(alive.delete(id)).toBe(true);
    },
    budget,
  });
  return { pool, alive };
}

test('the free buffer with the lowest id is handed out first, whatever came back first', () => {
  const { pool } = makePool();
  const buffers = [1, 2, 3, 4].map((bytes) => pool.acquire(bytes));
  for (const i of [2, 0, 3, 1]) pool.giveBack(buffers[i]);
  expect([1, 2, 3, 4].map((bytes) => pool.acquire(bytes).id)).toEqual([0, 1, 2, 3]);
});

test('a steady loop gets the same buffers in every round', () => {
  const { pool, alive } = makePool();
  const round = () => {
    const first = pool.acquire(100);
    const second = pool.acquire(1000);
    pool.giveBack(first);
    const third = pool.acquire(90);
    pool.giveBack(third);
    pool.giveBack(second);
    return [first.id, second.id, third.id];
  };
  const ids = round();
  for (let i = 0; i < 5; i++) expect(round()).toEqual(ids);
  expect(alive.size).toBe(2);
});

test('only buffers of the same rounded size are handed out again', () => {
  const { pool } = makePool();
  const small = pool.acquire(256);
  pool.giveBack(small);
  expect(pool.acquire(257).id).not.toBe(small.id);
  expect(pool.acquire(1).id).toBe(small.id);
});

test('nothing that is live is handed out, and the report is exact, in any order of calls', () => {
  const calls = fc.array(
    fc.oneof(fc.record({ bytes: fc.nat({ max: 1500 }) }), fc.record({ back: fc.nat({ max: 30 }) })),
    {
      maxLength: 60,
    },
  );
  const property = fc.property(calls, fc.boolean(), (calls, trims) => {
    const { pool, alive } = makePool();
    const live: DeviceBuffer[] = [];
    let peak = 0;
    for (const call of calls) {
      if ('bytes' in call) {
        const buffer = pool.acquire(call.bytes);
        expect(live.map(({ id }) => id)).not.toContain(buffer.id);
        expect(alive.get(buffer.id)).toBeGreaterThanOrEqual(call.bytes);
        expect(pool.resource(buffer)).toBe(buffer.id);
        live.push(buffer);
      } else {
        for (const buffer of live.splice(call.back % (live.length + 1), 1)) pool.giveBack(buffer);
        if (trims) pool.trim();
      }
      const liveBytes = live.reduce((sum, { byteLength }) => sum + byteLength, 0);
      peak = Math.max(peak, liveBytes);
      expect(pool.report()).toEqual({
        liveBuffers: live.length,
        liveBytes,
        reservedBuffers: alive.size,
        reservedBytes: [...alive.values()].reduce((sum, size) => sum + size, 0),
        peakBytes: peak,
      });
    }
  });
  fc.assert(property, runs(100));
});

test('trim destroys what is free, and only that', () => {
  const { pool, alive } = makePool();
  const [kept, free] = [pool.acquire(300), pool.acquire(300)];
  pool.giveBack(free);
  pool.trim();
  expect([...alive.keys()]).toEqual([kept.id]);
  expect(pool.report()).toMatchObject({ liveBytes: 300, reservedBuffers: 1, reservedBytes: 512 });
  expect(() => pool.resource(free)).toThrow(`buffer ${free.id} was destroyed`);
  expect(pool.resource(pool.acquire(300))).not.toBe(free.id);
});

test('trim up to a size leaves larger buffers for requests of their own size', () => {
  const { pool, alive } = makePool();
  const [small, large] = [pool.acquire(512), pool.acquire(768)];
  for (const buffer of [small, large]) pool.giveBack(buffer);
  pool.trim(512);
  expect([...alive]).toEqual([[large.id, 768]]);
  expect(pool.acquire(768).id).toBe(large.id);
});

test('what was destroyed leaves nothing behind, and its handle serves no more', async () => {
  const pool = new BufferPool<number>({ create: (_, id) => id, destroy: () => {}, budget: 1e9 });
  const old = pool.acquire(1);
  const churn = (count: number) => {
    for (let i = 0; i < count; i++) {
      pool.giveBack(pool.acquire(1));
      pool.trim();
    }
  };
  churn(10_000);
  pool.giveBack(old);
  pool.trim();
  expect(() => pool.resource(old)).toThrow('buffer 0 was destroyed');
  const heap = async () => {
    await collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = await heap();
  churn(200_000);
  // A word for each would be 1.6 MB.
  expect((await heap()) - before).toBeLessThan(8e5);
});

test('the peak is counted anew after resetPeak', () => {
  const { pool } = makePool();
  const buffer = pool.acquire(1000);
  pool.giveBack(pool.acquire(500));
  expect(pool.report().peakBytes).toBe(1500);
  pool.resetPeak();
  expect(pool.report().peakBytes).toBe(1000);
  pool.giveBack(buffer);
  expect(pool.report().peakBytes).toBe(1000);
});

test('a budget is kept to the byte, and what was there stays usable', () => {
  const { pool } = makePool(1024);
  const first = pool.acquire(512);
  const second = pool.acquire(512);
  expect(() => pool.acquire(1)).toThrow(OutOfMemoryError);
  expect(() => pool.acquire(1)).toThrow(
    'tensor: a buffer of 256 bytes does not fit: tensors hold 1024 bytes, 1024 are reserved, and the budget is 1024',
  );
  expect(pool.report()).toMatchObject({ liveBuffers: 2, liveBytes: 1024, reservedBytes: 1024 });
  pool.giveBack(second);
  expect(pool.acquire(300).id).toBe(second.id);
  expect(pool.resource(first)).toBe(first.id);
});

test('free buffers of other sizes make room before a budget refuses', () => {
  const { pool } = makePool(1024);
  const small = pool.acquire(256);
  pool.giveBack(pool.acquire(512));
  pool.acquire(768);
  expect(pool.report()).toMatchObject({ liveBuffers: 2, reservedBytes: 1024 });
  expect(pool.resource(small)).toBe(small.id);
});

test('a device refuses what its budget does not hold, and goes on', async () => {
  const device = new CpuDevice({ memoryBudget: 4096 });
  const x = tensor([1, 2, 3], { device });
  expect(() => zeros([1024], { device })).toThrow(OutOfMemoryError);
  expect(() => scope('loop', () => Array.from({ length: 100 }, () => x.exp()))).toThrow(OutOfMemoryError);
  expect(device.memory().liveBuffers).toBe(1);
  expect(await x.mul(2).toArray()).toEqual([2, 4, 6]);
});
