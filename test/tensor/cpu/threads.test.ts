import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  attention,
  backward,
  gradientOf,
  matmul,
  requireGradient,
  step,
  sum,
} from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { JobBoard, LostThreadError } from '../../../src/tensor/cpu/job-board.mjs';
import { linearMemory } from '../../../src/tensor/cpu/open-memory.ts';
import type { Device } from '../../../src/tensor/device.ts';
import { random } from '../../shapes.ts';

const [alone, three] = [new CpuDevice({ threads: 1 }), new CpuDevice({ threads: 3 })];

/** Products of odd sizes in a batch, and attention over several parts of a head, with their gradients. */
function compute(device: Device): Promise<number[][]> {
  return step(async () => {
    const [a, b] = [random([3, 70, 51], { seed: 1, device }), random([3, 51, 77], { seed: 2, device })].map((each) =>
      requireGradient(each),
    );
    const inputs = [3, 4, 5].map((seed) => requireGradient(random([2, 75, 2, 12], { seed, device })));
    const mixed = attention(inputs[0], inputs[1], inputs[2], { causal: true });
    const product = matmul(a, b);
    backward(sum(product));
    backward(sum(mixed));
    const gradients = [a, b, ...inputs].map((each) => gradientOf(each));
    const results = [product, mixed, ...gradients.flatMap((each) => each ?? [])];
    expect(results).toHaveLength(7);
    return Promise.all(results.map(async (each) => [...(await each.data())]));
  });
}

test('what several threads compute is the same, bit for bit', async () => {
  const memory = linearMemory();
  if (!memory) throw new Error('the vector loops are not built: run node scripts/setup.mjs');
  const expected = await compute(alone);
  const before = memory.partsOfHelpers;
  // Helpers start while the first calls run without them.
  const deadline = performance.now() + 20_000;
  while (memory.partsOfHelpers < before + 500) {
    expect(performance.now()).toBeLessThan(deadline);
    expect(await compute(three)).toEqual(expected);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
});

test('a device of one thread asks nobody', async () => {
  const before = linearMemory()?.partsOfHelpers;
  await compute(alone);
  expect(linearMemory()?.partsOfHelpers).toBe(before);
});

test.each([0, 1.5, 65, Number.NaN])('%s threads are refused', (threads) => {
  expect(() => new CpuDevice({ threads })).toThrow(ArgumentError);
  expect(() => new CpuDevice({ threads })).toThrow(`from 1 to 64, got ${threads}`);
});

test('helpers do not keep a process that is done', () => {
  const index = new URL('../../../src/index.ts', import.meta.url);
  const script = `
    const { openDevice, matmul, ones, step } = await import('${index}');
    const device = await openDevice('cpu', { threads: 4 });
    const a = ones([256, 256], { device });
    for (let i = 0; i < 20; i++) await step(async () => void matmul(a, a));
    console.log((await a.data()).length);
  `;
  const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect({ status, stdout: stdout.trim() }).toEqual({ status: 0, stdout: '65536' });
});

describe('a job', () => {
  const shared = { values: [], scratch: 0, scratchBytes: 0 };

  test.each([1, 5, 16, 50, 77])('of %s parts has each of them computed once', (parts) => {
    const done: number[] = [];
    const notes = (_scratch: number, first: number, end: number) => {
      for (let part = first; part < end; part++) done.push(part);
    };
    new JobBoard().perform({ ...shared, functionIndex: 0, parts, threads: 3 }, [notes]);
    expect(done).toEqual(Array.from({ length: parts }, (_, part) => part));
  });

  test('that fails here does not spoil the next', () => {
    const board = new JobBoard();
    const job = { ...shared, parts: 5, threads: 2 };
    const fails = () => {
      throw new Error('as intended');
    };
    expect(() => board.perform({ ...job, functionIndex: 0 }, [fails, () => {}])).toThrow('as intended');
    board.perform({ ...job, functionIndex: 1 }, [fails, () => {}]);
  });

  test('that another thread has taken parts of and never finishes is given up', async () => {
    const board = new JobBoard(undefined, 2);
    const script = `
      const { workerData } = require('node:worker_threads');
      const ends = () => process.exit();
      import(workerData.path).then(({ JobBoard }) => new JobBoard(workerData.buffer).help([ends], 1));
    `;
    const path = new URL('../../../src/tensor/cpu/job-board.mjs', import.meta.url).href;
    const helper = new Worker(script, { eval: true, workerData: { path, buffer: board.buffer }, execArgv: [] });
    const slow = () => {
      for (const end = performance.now() + 0.5; performance.now() < end; );
    };
    const performUntilLost = async () => {
      for (const deadline = performance.now() + 20_000; performance.now() < deadline; ) {
        board.perform({ ...shared, functionIndex: 0, parts: 40, threads: 2 }, [slow]);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    try {
      expect(board.isBroken).toBe(false);
      await expect(performUntilLost()).rejects.toThrow(LostThreadError);
      expect(board.isBroken).toBe(true);
    } finally {
      await helper.terminate();
    }
  });

  test('that fails on another thread says so, and does not spoil the next', async () => {
    const board = new JobBoard();
    const script = `
      const { workerData } = require('node:worker_threads');
      const fails = () => { throw new Error('as intended'); };
      import(workerData.path).then(({ JobBoard }) => new JobBoard(workerData.buffer).help([fails, () => {}], 1));
    `;
    const path = new URL('../../../src/tensor/cpu/job-board.mjs', import.meta.url).href;
    const helper = new Worker(script, { eval: true, workerData: { path, buffer: board.buffer }, execArgv: [] });
    const slow = () => {
      for (const end = performance.now() + 0.5; performance.now() < end; );
    };
    const perform = (functionIndex: number) =>
      board.perform({ ...shared, functionIndex, parts: 40, threads: 2 }, [slow, slow]);
    const performUntilItFails = async () => {
      for (const deadline = performance.now() + 20_000; performance.now() < deadline; ) {
        perform(0);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    try {
      await expect(performUntilItFails()).rejects.toThrow('failed on another thread');
      perform(1);
    } finally {
      await helper.terminate();
    }
  });
});
