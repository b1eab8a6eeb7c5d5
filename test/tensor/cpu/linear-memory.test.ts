import { describe, expect, test } from 'vitest';
import { matmul, step, zeros } from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { LinearMemory } from '../../../src/tensor/cpu/linear-memory.ts';
import { platform } from '../../../src/tensor/platform/platform.ts';
import { expectClose, random } from '../../shapes.ts';

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
  test('do not overlap, and one that was freed serves again for its size alone', () => {
    const memory = newMemory();
    const [first, second] = [allocate(memory, 1024), allocate(memory, 1024)];
    expect(Math.abs(first - second)).toBeGreaterThanOrEqual(1024);
    memory.free(first, 1024);
    expect(allocate(memory, 512)).not.toBe(first);
    expect(allocate(memory, 1024)).toBe(first);
    expect(allocate(memory, 1024)).not.toBe(first);
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
