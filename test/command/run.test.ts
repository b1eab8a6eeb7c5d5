import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OptionError } from '../../command/options.ts';
import { runCommand } from '../../command/run.ts';
import { RunFolderError } from '../../command/run-folder.ts';
import { ShapeError } from '../../src/index.ts';

let statusBefore: typeof process.exitCode;

beforeEach(() => {
  statusBefore = process.exitCode;
});

afterEach(() => {
  process.exitCode = statusBefore;
  vi.restoreAllMocks();
});

test.each([
  [new OptionError('--steps must be a number', 'npm start'), 2],
  [new RunFolderError('runs/a holds a run already'), 1],
  [new ShapeError('add: shapes differ'), 1],
])('%s is told in words', async (error, status) => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
  await runCommand(async () => {
    throw error;
  });
  expect(printed.mock.calls).toEqual([[error.message]]);
  expect(process.exitCode).toBe(status);
});

test('a fault of the program keeps its stack', async () => {
  const fault = new TypeError('x is undefined');
  await expect(
    runCommand(async () => {
      throw fault;
    }),
  ).rejects.toBe(fault);
});
