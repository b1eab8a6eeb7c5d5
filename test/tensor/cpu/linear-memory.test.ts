import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { full, matmul, step, zeros } from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { LinearMemory } from '../../../src/tensor/cpu/linear-memory.ts';
import { linearMemory } from '../../../src/tensor/cpu/open-memory.ts';
import { platform } from '../../../src/tensor/platform/platform.ts';
import { expectClose, random, runs } from '../../shapes.ts';

/** Setup builds it; without it the cpu device would run the plain loops, and every test of the vectors would tell nothing. */
function newMemory(): LinearMemory {
  const bytes = platform.readVectorLoops('plain');
  if (!bytes) throw new Error('the vector loops are not built: run node scripts/setup.mjs');
  return new LinearMemory('plain', new WebAssembly.Module(bytes));
}

function allocate(memory: LinearMemory, bytes: number): number {
  const address = memory.allocate(bytes);
  if (address === null) throw new Error(`${bytes} bytes were refused`);
  return address;
}

describe('blocks', () => {
  test('do not overlap, and what was freed serves again, in parts and with its neighbours', () => {
    const memory = newMemory();
    const [first, second, third] = [1024, 1024, 1024].map((bytes) => allocate(memory, bytes));
    expect([second - first, third - second]).toEqual([1024, 1024]);
    memory.free(first, 1024);
    expect(allocate(memory, 512)).toBe(first);
    expect(allocate(memory, 1024)).toBe(third + 1024);
    memory.free(second, 1024);
    expect(allocate(memory, 1536)).toBe(first + 512);
    // All is one place again, and the end of the memory.
    for (const [address, bytes] of [
      [third, 1024],
      [first, 512],
      [third + 1024, 1024],
      [first + 512, 1536],
    ]) {
      memory.free(address, bytes);
    }
    expect(allocate(memory, 2 ** 20)).toBe(first);
  });

  test('are where a list of what is taken says, in any order', () => {
    const sizes = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 40 }), frees: fc.nat({ max: 5 }) }));
    const property = fc.property(sizes, (calls) => {
      const memory = newMemory();
      const taken: { address: number; bytes: number }[] = [];
      for (const { bytes: units, frees } of calls) {
        const bytes = 256 * units;
        const address = allocate(memory, bytes);
        for (const other of taken) {
          expect(address + bytes <= other.address || other.address + other.bytes <= address).toBe(true);
        }
        taken.push({ address, bytes });
        if (frees === 0) continue;
        const [gone] = taken.splice((frees * units) % taken.length, 1);
        memory.free(gone.address, gone.bytes);
      }
      for (const { address, bytes } of taken) memory.free(address, bytes);
      expect(allocate(memory, 2 ** 20)).toBe(2 ** 20);
    });
    fc.assert(property, runs(50));
  });

  test('keep their content, and the views made of them, when the memory grows', () => {
    const memory = newMemory();
    const address = allocate(memory, 16);
    const view = new Float32Array(memory.buffer, address, 4);
    view.set([1, 2, 3, 4]);
    const before = memory.buffer.byteLength;
    const large = allocate(memory, 64 * 1024 * 1024);
    expect(memory.buffer.byteLength).toBeGreaterThan(before);
    new Float32Array(memory.buffer, large, 16 * 1024 * 1024).fill(7);
    expect([...new Float32Array(memory.buffer, address, 4)]).toEqual([1, 2, 3, 4]);
    view[0] = 9;
    expect(new Float32Array(memory.buffer, address, 1)[0]).toBe(9);
  });

  test('are refused beyond what 32 bits address', () => {
    expect(newMemory().allocate(2 ** 32)).toBeNull();
  });
});

test('without room for intermediate values nothing is computed, and the call says so', () => {
  const memory = newMemory();
  const call = (memory: LinearMemory, scratchBytes: number) =>
    memory.call(memory.find('matmul'), new Array(22).fill(1), { parts: 0, scratchBytes }, 0, 1);
  expect(call(memory, 2 ** 21)).toBe(true);
  const full = newMemory();
  for (const bytes of [2 ** 31, 2 ** 30, 2 ** 29, 2 ** 28, 2 ** 27, 2 ** 26, 2 ** 25, 2 ** 24]) full.allocate(bytes);
  expect(call(full, 2 ** 21)).toBe(true);
  while (full.allocate(2 ** 22) !== null);
  expect(call(full, 2 ** 23)).toBe(false);
});

test('room for intermediate values grows, and is one place until then', () => {
  const memory = newMemory();
  const small = memory.scratch(100);
  expect(memory.scratch(50)).toBe(small);
  const large = memory.scratch(100_000) ?? 0;
  expect(large).not.toBe(small);
  new Uint8Array(memory.buffer, large, 100_000).fill(1);
  expect(memory.scratch(100_000)).toBe(large);
});

test('a device of the plain loops computes the same, and says what it is', async () => {
  const [plain, vectors] = [new CpuDevice({ kernels: 'reference' }), new CpuDevice()];
  expect([plain.adapter, vectors.adapter]).toEqual([
    'JavaScript loops on one thread',
    expect.stringMatching(
      /^WebAssembly vectors \((plain|relaxed|wide)\) on (one thread|\d threads), and JavaScript loops$/,
    ),
  ]);
  await step(async () => {
    const [expected, actual] = [plain, vectors].map((device) =>
      matmul(random([9, 5], { seed: 1, device }), random([5, 11], { seed: 2, device })),
    );
    await expectClose(actual, expected);
  });
});

test('two devices share the memory and not the budget', () => {
  const [first, second] = [new CpuDevice({ memoryBudget: 4096 }), new CpuDevice()];
  expect(() => zeros([2000], { device: first })).toThrow('the budget is 4096');
  const tensor = zeros([2000], { device: second });
  expect(first.memory().liveBytes).toBe(0);
  expect(second.memory().liveBytes).toBe(8000);
  tensor.release('the test is over');
});

test('batches of many lengths leave no buffers of each', async () => {
  const device = new CpuDevice();
  const kept = zeros([1000], { device });
  let most = 0;
  for (let length = 1; length <= 60; length++) {
    await step(() => {
      for (let i = 0; i < 4; i++) zeros([length * 2 ** 17], { device });
    });
    most = Math.max(most, device.memory().reservedBytes);
  }
  // The largest step takes 126 MB; all lengths together would take 4 GB.
  expect(most).toBeLessThan(5e8);
  kept.release('the test is over');
});

test('free buffers make room for others before the memory grows', async () => {
  const memory = linearMemory();
  if (!memory) throw new Error('the vector loops are not built: run node scripts/setup.mjs');
  const device = new CpuDevice();
  const rooms = [3, 5, 7, 11, 13].map((megabytes) => megabytes * 2 ** 20);
  await step(() => rooms.map((bytes) => zeros([bytes / 4], { device })));
  const { byteLength } = memory.buffer;
  // As much at a time as before, in pieces of which no free buffer has the size.
  await step(() => Array.from({ length: 9 }, (_, i) => zeros([2 ** 20 + i], { device })));
  expect(memory.buffer.byteLength).toBe(byteLength);
});

test('tensors beyond what WebAssembly addresses compute the same, and that is told once', async () => {
  const memory = linearMemory();
  if (!memory) throw new Error('the vector loops are not built: run node scripts/setup.mjs');
  const taken: { address: number; bytes: number }[] = [];
  for (let bytes = 2 ** 31; bytes >= 256; bytes /= 2) {
    for (let address = memory.allocate(bytes); address !== null; address = memory.allocate(bytes)) {
      taken.push({ address, bytes });
    }
  }
  const warned = vi.spyOn(platform, 'warn').mockImplementation(() => {});
  const device = new CpuDevice();
  const sum = await step(() =>
    full([1000], 2, { device })
      .add(full([1000], 3, { device }))
      .sum()
      .item(),
  );
  expect(sum).toBe(5000);
  expect(warned.mock.calls.map(([message]) => message)).toEqual([expect.stringContaining('used up the 4 GiB')]);
  warned.mockRestore();
  for (const { address, bytes } of taken) memory.free(address, bytes);
});
